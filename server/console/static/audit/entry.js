/**
 * One entry: whether it stands in the log under a signed head, and whether what it holds in
 * somebody's name was signed by them (DSSE envelopes, Ed25519).
 */

import { base64, concat, equal, fromBase64, fromHex, hex, leafHash, sha256, text, utf8 }
  from "./bytes.js";
import { Broken } from "./faults.js";
import { signed } from "./notes.js";
import { WIDTH } from "./tiles.js";
import { TiledTree, rootOfProof } from "./tree.js";

/** A log under a head whose signature was checked. */
export class SignedTree {
  /**
   * @param {import("./tiles.js").Reader} reader
   * @param {import("./notes.js").Checkpoint} head
   */
  constructor(reader, head) {
    this.reader = reader;
    this.head = head;
    this.tree = new TiledTree(reader, head.size);
    this.bundles = new Map();
  }

  /**
   * A line of the log, once its inclusion is seen.
   * @returns {Promise<{line: Uint8Array, leaf: Uint8Array, proof: Uint8Array[]}>}
   * @throws {Broken} it does not stand there under this head.
   */
  async line(index) {
    const { size } = this.head;
    if (!(index < size)) throw new Broken("beyond", { index, expected: size });
    const line = (await this.#bundle(Math.floor(index / WIDTH)))[index % WIDTH];
    const [leaf, proof] = await Promise.all([leafHash(line), this.tree.inclusionProof(index)]);
    const root = await rootOfProof(index, size, leaf, proof);
    if (root === null || !equal(root, this.head.root)) {
      const got = root === null ? "" : hex(root);
      throw new Broken("inclusion", { index, size, expected: hex(this.head.root), got });
    }
    return { line, leaf, proof };
  }

  /**
   * The entry of a line: of one that is logged in parts, the parts together.
   * @throws {Broken} the parts are not those whose SHA-256 the line names.
   */
  async whole(index, line) {
    const entry = JSON.parse(text(line));
    if (entry.type !== "EntryWhole") return { entry, bytes: line };
    const { parts, sha256: expected } = entry.body;
    const texts = [];
    for (let at = index - parts; at < index; at += 1) {
      const part = (await this.#bundle(Math.floor(at / WIDTH)))[at % WIDTH];
      texts.push(JSON.parse(text(part)).body.text);
    }
    const bytes = utf8(texts.join(""));
    const got = hex(await sha256(bytes));
    if (got !== expected) throw new Broken("parts", { index, expected, got });
    return { entry: JSON.parse(text(bytes)), bytes };
  }

  #bundle(index) {
    if (!this.bundles.has(index)) {
      const width = Math.min(WIDTH, this.head.size - index * WIDTH);
      this.bundles.set(index, this.reader.bundle(index, width));
    }
    return this.bundles.get(index);
  }
}

/**
 * A proof to hand on (C2SP tlog-proof), which `tds audit check` reads.
 * @param {{line: Uint8Array, proof: Uint8Array[]}} proven
 */
export function proofText(index, { line, proof }, note) {
  const hashes = proof.map((hash) => `${base64(hash)}\n`).join("");
  return `c2sp.org/tlog-proof@v1\nextra ${base64(line)}\nindex ${index}\n${hashes}\n${note}`;
}

/**
 * The envelopes that an entry of a type holds: field of the body, the field that names the signer
 * ("" is the space's registrar), and the only type of payload that may stand there. The same table
 * as the auditors' `statements.py`.
 */
const OWN = "application/vnd.tdspace.";
export const STATEMENTS = {
  ProductRegistered: [["envelope", "participant", "product"]],
  AgreementConcluded: [
    ["envelope", "assigner", "agreement"],
    ["verification", "assignee", "agreement-verification"],
  ],
  ConsentWithdrawn: [["envelope", "participant", "withdrawal"]],
  CertificateIssued: [["envelope", "", "certificate"]],
  OfferPublished: [["envelope", "participant", "offer"]],
  ReceiptAccepted: [["envelope", "participant", "receipt"]],
  KeyRotated: [["envelope", "participant", "key-change"]],
};

/**
 * Whether an envelope in an entry was signed by whoever the entry says, with a key that another
 * entry of the same log names as theirs.
 *
 * @param {SignedTree} tree
 * @param {Object} entry
 * @param {string[]} statement a row of `STATEMENTS`.
 * @param {number} keyEntry where the key is said to stand; a wrong place leads to no key.
 * @returns {Promise<{keyid: string, payloadType: string, payload: string}>}
 * @throws {Broken} the signature does not hold, or it is another's or of another type.
 */
export async function checkEnvelope(tree, entry, [field, signer, kind], keyEntry) {
  const who = signer === "" ? "" : String(entry.body[signer]);
  const envelope = JSON.parse(text(fromBase64(entry.body[field])));
  const [{ keyid, sig }] = envelope.signatures;
  const { payloadType } = envelope;
  if (payloadType !== `${OWN}${kind}+json`) {
    throw new Broken("statement-type", { field, expected: `${OWN}${kind}+json`, got: payloadType });
  }
  const { line } = await tree.line(keyEntry);
  const raw = keysOf((await tree.whole(keyEntry, line)).entry).get(who);
  const expected = raw === undefined ? "" : hex(await sha256(raw));
  if (expected !== keyid) throw new Broken("signer", { field, who, expected, got: keyid });
  const payload = fromBase64(envelope.payload);
  if (!(await signed(raw, fromBase64(sig), pae(payloadType, payload)))) {
    throw new Broken("statement", { field, who });
  }
  return { keyid, payloadType, payload: text(payload) };
}

/** DSSE's pre-authentication encoding: type and payload cannot be mistaken for another pair. */
export function pae(type, payload) {
  const kind = utf8(type);
  return concat(utf8(`DSSEv1 ${kind.length} `), kind, utf8(` ${payload.length} `), payload);
}

/** The keys for statements that an entry names, by participant; the registrar's under "". */
function keysOf({ type, body }) {
  const keys = new Map();
  const people = type === "SpaceCreated" ? body.participants : [body];
  if (["SpaceCreated", "ParticipantEnrolled", "KeyRotated"].includes(type)) {
    for (const one of people) {
      const raw = fromHex(String(one.receipt_key ?? ""));
      if (raw?.length === 32) keys.set(one.participant, raw);
    }
  }
  if (type === "SpaceCreated") {
    const raw = fromHex(String(body.space.registrar_key));
    if (raw?.length === 32) keys.set("", raw);
  }
  return keys;
}
