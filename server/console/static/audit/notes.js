/**
 * Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature),
 * with Ed25519. The same rules as the program's `ledger/note.py`: one spelling of everything, and a
 * wrong signature by a known key is an alarm, an unknown key is nobody.
 */

import { base64, concat, equal, fromBase64, hex, sha256, utf8 } from "./bytes.js";
import { Broken, Unknown } from "./faults.js";

export const LOG = 1;
export const WITNESS = 4;
export const MAX_NOTE_BYTES = 1_000_000;
const MAX_SIGNATURES = 100;
const KEY_BYTES = 32;

/**
 * @typedef {{name: string, kind: number, hash: Uint8Array, raw: Uint8Array, id: string,
 *   text: string}} Key
 * @typedef {{origin: string, size: number, root: Uint8Array}} Checkpoint
 */

// y of the points of low order, little-endian, without the sign of x (RFC 8032, RFC 7748 4.1), and
// the two that spell 0 and 1 once more. A signature under such a key proves nothing.
const LOW_ORDER = new Set([
  "00".repeat(32),
  `01${"00".repeat(31)}`,
  `ec${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(30)}7f`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

/**
 * A key as people exchange it: `name+hash+base64`.
 * @returns {Promise<Key>}
 * @throws {Unknown} malformed, of a kind nobody knows, a hash of another key, or of low order.
 */
export async function parseKey(spelled) {
  const [, name, hash, encoded] = /^([^+\s]{1,255})\+([0-9a-f]{8})\+(.+)$/.exec(spelled) ?? [];
  const data = encoded === undefined ? null : fromBase64(encoded);
  if (data === null || data.length !== 1 + KEY_BYTES) {
    throw new Unknown("key-form", { got: spelled.slice(0, 120) });
  }
  const made = await keyOf(name, data[0], data.slice(1));
  if (hex(made.hash) !== hash || (made.kind !== LOG && made.kind !== WITNESS)) {
    throw new Unknown("key-form", { got: spelled.slice(0, 120) });
  }
  return made;
}

/** @param {Key} key a log's. @returns {Promise<Key>} its owner as a witness of other logs. */
export function witnessOf(key) {
  return keyOf(key.name, WITNESS, key.raw);
}

async function keyOf(name, kind, raw) {
  const y = raw.slice();
  y[31] &= 0x7f;
  if (LOW_ORDER.has(hex(y))) throw new Unknown("key-low-order", { name });
  const hash = (await sha256(concat(utf8(`${name}\n`), Uint8Array.of(kind), raw))).slice(0, 4);
  const id = `${name}+${hex(hash)}`;
  return { name, kind, hash, raw, id, text: `${id}+${base64(concat(Uint8Array.of(kind), raw))}` };
}

/** @returns {Promise<boolean>} whether the key with these 32 bytes signed the message. */
export async function signed(raw, signature, message) {
  if (signature.length !== 64) return false;
  try {
    const key = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
  } catch (error) {
    if (error.name === "NotSupportedError") throw new Unknown("no-ed25519");
    return false; // no point of the curve
  }
}

/**
 * Text and signature lines; nothing is verified yet.
 * @returns {{text: string, lines: {name: string, hash: Uint8Array, signature: Uint8Array}[]}}
 * @throws {Broken} malformed.
 */
export function splitNote(note) {
  const end = note.lastIndexOf("\n\n");
  // eslint-disable-next-line no-control-regex -- these are what a note must not hold
  if (end < 0 || !note.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/.test(note)) {
    throw new Broken("note-form", { got: note.slice(0, 120) });
  }
  const lines = note.slice(end + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw new Broken("note-form", { got: `${lines.length}` });
  return { text: note.slice(0, end + 1), lines: lines.map(signatureLine) };
}

function signatureLine(line) {
  const [, name, encoded] = /^\u2014 ([^+\s]{1,255}) (\S+)$/.exec(line) ?? [];
  const raw = encoded === undefined ? null : fromBase64(encoded);
  if (raw === null || raw.length <= 4) throw new Broken("note-form", { got: line.slice(0, 120) });
  return { name, hash: raw.slice(0, 4), signature: raw.slice(4) };
}

/** @returns {Checkpoint} @throws {Broken} not the one spelling of a checkpoint. */
export function parseCheckpoint(body) {
  const [, origin, size, encoded] = /^([^\n]+)\n(0|[1-9][0-9]{0,15})\n(\S+)\n$/.exec(body) ?? [];
  const root = encoded === undefined ? null : fromBase64(encoded);
  if (root === null || root.length !== 32 || !Number.isSafeInteger(Number(size))) {
    throw new Broken("checkpoint-form", { got: body.slice(0, 160) });
  }
  return { origin, size: Number(size), root };
}

const isBy = (line, key) => line.name === key.name && equal(line.hash, key.hash);

/**
 * The checkpoint of a note, once the log is seen to have signed it.
 * @param {string} note
 * @param {Key} key the log's; its name is the origin that is expected.
 * @returns {Promise<Checkpoint>}
 * @throws {Broken} malformed, no signature by this key, a wrong one, or another log's.
 */
export async function openCheckpoint(note, key) {
  const { text, lines } = splitNote(note);
  const own = lines.filter((line) => isBy(line, key));
  if (own.length === 0) {
    const there = lines.map((line) => `${line.name}+${hex(line.hash)}`).join(", ");
    throw new Broken("unsigned", { expected: key.id, got: there.slice(0, 300) });
  }
  for (const line of own) {
    if (!(await signed(key.raw, line.signature, utf8(text)))) {
      throw new Broken("log-signature", { who: key.id });
    }
  }
  const found = parseCheckpoint(text);
  if (found.origin !== key.name) {
    throw new Broken("origin", { expected: key.name, got: found.origin });
  }
  return found;
}

/**
 * Who of these witnesses cosigned a note, and whose lines are nobody's that is known.
 * @param {string} note whose log's signature was verified.
 * @param {Key} log
 * @param {Key[]} witnesses
 * @returns {Promise<{cosigned: {key: Key, time: bigint}[], strangers: string[]}>} times are POSIX
 *   seconds, the newest of each.
 * @throws {Broken} a wrong signature by one of them.
 */
export async function cosignatures(note, log, witnesses) {
  const { text, lines } = splitNote(note);
  const cosigned = [];
  for (const key of witnesses) {
    const times = [];
    for (const line of lines.filter((one) => isBy(one, key))) {
      times.push(await cosignedAt(text, line.signature, key));
    }
    if (times.length > 0) cosigned.push({ key, time: times.reduce((a, b) => (a > b ? a : b)) });
  }
  const known = [log, ...witnesses];
  const strangers = lines.filter((line) => !known.some((key) => isBy(line, key)));
  return { cosigned, strangers: strangers.map((line) => `${line.name}+${hex(line.hash)}`) };
}

/** The time of a cosignature/v1 that holds: eight bytes of time, then the signature over both. */
async function cosignedAt(text, signature, key) {
  if (signature.length === 72) {
    const time = new DataView(signature.buffer, signature.byteOffset, 8).getBigUint64(0);
    const message = utf8(`cosignature/v1\ntime ${time}\n${text}`);
    if (time < 1n << 63n && (await signed(key.raw, signature.slice(8), message))) return time;
  }
  throw new Broken("cosignature", { who: key.id });
}
