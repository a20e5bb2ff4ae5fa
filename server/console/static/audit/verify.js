/**
 * Verifies a whole log from its static files. The server is asked for files and for no verdict.
 *
 * 1. The checkpoint is read, and the log's signature on it checked.
 * 2. It is held against the head that was verified here before: a log does not shrink.
 * 3. Every entry is hashed and compared with its leaf in the tiles of level 0.
 * 4. Every tile is hashed and compared with its hash in the tile above.
 * 5. The root of the entries is the one that was signed; the root of as many entries as the head of
 *    before had is its root.
 * 6. The cosignatures by witnesses whose keys stand in the log, or were handed in, hold.
 */

import { equal, hex, leafHash, text } from "./bytes.js";
import { Broken, Unknown } from "./faults.js";
import { LOG, cosignatures, openCheckpoint, parseKey, witnessOf } from "./notes.js";
import { ENTRIES, WIDTH, tilePath } from "./tiles.js";
import { Frontier, TiledTree, complete } from "./tree.js";

const AHEAD = 4; // bundles that are on their way while one is hashed
const ENROLLED = '"type":"ParticipantEnrolled"}';

/**
 * @typedef {{origin: string, size: number, root: string}} Head root in hexadecimal.
 * @typedef {{head: Head, note: string, strangers: string[],
 *   cosigned: {id: string, who: string, time: bigint}[], continued: ?Head}} Verified
 */

/**
 * Verify it.
 * @param {Object} how
 * @param {import("./tiles.js").Reader} how.reader
 * @param {import("./notes.js").Key} how.key the log's.
 * @param {import("./notes.js").Key[]} [how.witnesses] keys that were handed in.
 * @param {?Head} [how.before] the head that was verified before.
 * @param {function(number, number): void} [how.progress] entries done, and all.
 * @returns {Promise<Verified>}
 * @throws {Broken} it does not hold. @throws {Unknown} nothing can be said.
 */
export async function verifyLog({ reader, key, witnesses = [], before = null, progress }) {
  const note = await reader.checkpoint();
  const signed = await openCheckpoint(note, key); // 1
  const old = before !== null && before.origin === signed.origin ? before : null;
  if (old !== null && signed.size < old.size) {
    throw new Broken("shrunk", { got: signed.size, expected: old.size }); // 2
  }
  const walk = new Walk(reader, signed, old);
  await walk.entries(progress ?? (() => undefined)); // 3, 4
  await walk.end(); // 5
  const known = new Map(witnesses.map((one) => [one.id, one]));
  for (const one of walk.enrolled.values()) known.set(one.key.id, one.key);
  const { cosigned, strangers } = await cosignatures(note, key, [...known.values()]); // 6
  return {
    head: { origin: signed.origin, size: signed.size, root: hex(signed.root) },
    note,
    strangers,
    cosigned: cosigned.map(({ key: { id }, time }) => (
      { id, time, who: walk.enrolled.get(id)?.who ?? id })),
    continued: old,
  };
}

/** One pass over the log. */
class Walk {
  constructor(reader, signed, before) {
    this.reader = reader;
    this.signed = signed;
    this.before = before;
    this.enrolled = new Map(); // witnesses' keys that the log names, by id
    this.frontier = new Frontier();
    this.published = null; // of the leaves as the tiles have them, once they differ
    this.fault = null; // the first entry that its leaf does not fit
    this.rows = []; // by level from 1 on, the hashes of the tile that is being filled
  }

  async entries(progress) {
    const bundles = Math.ceil(this.signed.size / WIDTH);
    const coming = [];
    let asked = 0;
    for (let index = 0; index < bundles; index += 1) {
      for (; asked < bundles && asked <= index + AHEAD; asked += 1) coming.push(this.#ask(asked));
      await this.#bundle(index, ...(await coming.shift()));
      progress(Math.min(this.signed.size, (index + 1) * WIDTH), this.signed.size);
    }
  }

  /** A bundle and the leaves that the log published for it. */
  #ask(index) {
    const width = Math.min(WIDTH, this.signed.size - index * WIDTH);
    const pair = Promise.all([
      this.reader.bundle(index, width), this.reader.tile(0, index, width),
    ]);
    pair.catch(() => undefined); // told of where it is awaited, not before
    return pair;
  }

  async #bundle(index, entries, leaves) {
    const start = index * WIDTH;
    const hashes = await Promise.all(entries.map(leafHash));
    const at = hashes.findIndex((hash, place) => !equal(hash, leaves[place]));
    if (at >= 0 && this.fault === null) {
      this.published = this.frontier.copy();
      this.fault = {
        index: start + at,
        place: tilePath(ENTRIES, index, entries.length),
        tile: tilePath(0, index, entries.length),
        expected: hex(leaves[at]),
        got: hex(hashes[at]),
      };
    }
    if (this.published !== null) await addAll(this.published, leaves);
    await this.#continued(start, hashes);
    if (hashes.length === WIDTH) {
      const whole = await complete(hashes);
      await this.frontier.add(whole, 8);
      if (this.fault === null) await this.#above(1, whole);
    } else {
      await addAll(this.frontier, hashes);
    }
    for (const entry of entries) await this.#learn(entry);
  }

  /** Whether the entries up to the head of before have its root. */
  async #continued(start, hashes) {
    const size = this.before?.size ?? -1;
    if (size <= start || size > start + hashes.length) return;
    const then = this.frontier.copy();
    await addAll(then, hashes.slice(0, size - start));
    this.rootOfBefore = hex(await then.root());
  }

  /** The hash of a full tile takes its place in the tile above; that one is compared once full. */
  async #above(level, hash) {
    const row = (this.rows[level] ??= { index: 0, hashes: [] });
    row.hashes.push(hash);
    if (row.hashes.length < WIDTH) return;
    await this.#compare(level, row);
    const whole = await complete(row.hashes);
    this.rows[level] = { index: row.index + 1, hashes: [] };
    await this.#above(level + 1, whole);
  }

  async #compare(level, { index, hashes }) {
    const there = await this.reader.tile(level, index, hashes.length);
    const at = hashes.findIndex((hash, place) => !equal(hash, there[place]));
    if (at >= 0) {
      const place = tilePath(level, index, hashes.length);
      throw new Broken("tile", { place, at, expected: hex(hashes[at]), got: hex(there[at]) });
    }
  }

  /** Take in a participant's key, by which its node cosigns. */
  async #learn(entry) {
    if (entry.length < ENROLLED.length) return;
    if (text(entry.subarray(-ENROLLED.length)) !== ENROLLED) return;
    try {
      const { body } = JSON.parse(text(entry));
      const key = await parseKey(body.log_key);
      const witness = key.kind === LOG ? await witnessOf(key) : key;
      this.enrolled.set(witness.id, { key: witness, who: String(body.participant) });
    } catch {
      // In another form than governance writes: nobody's key. `tds audit replay` names such entries.
    }
  }

  async end() {
    const root = await this.frontier.root();
    if (this.fault !== null) {
      const published = await this.published.root();
      const entryFits = equal(root, this.signed.root);
      const leafFits = equal(published, this.signed.root);
      const code = entryFits ? "leaf-changed" : leafFits ? "entry-changed" : "entry-differs";
      throw new Broken(code, this.fault);
    }
    for (const [level, row] of this.rows.entries()) {
      if (row !== undefined && row.hashes.length > 0) await this.#compare(level, row);
    }
    if (!equal(root, this.signed.root)) {
      const { size } = this.signed;
      throw new Broken("root", { size, expected: hex(this.signed.root), got: hex(root) });
    }
    if (this.before === null) return;
    const then = this.before.size === 0 ? this.before.root : this.rootOfBefore;
    if (then !== this.before.root) {
      const { size } = this.before;
      throw new Broken("rewritten", { size, expected: this.before.root, got: String(then) });
    }
  }
}

async function addAll(frontier, hashes) {
  if (hashes.length === WIDTH) {
    await frontier.add(await complete(hashes), 8);
    return;
  }
  for (const hash of hashes) await frontier.add(hash);
}

/**
 * The head alone: signed, and such that the one that was verified before can have grown into it, by
 * the few hashes of the tiles that show this.
 * @param {import("./tiles.js").Reader} reader
 * @param {string} note
 * @param {import("./notes.js").Key} key
 * @param {?Head} before
 * @returns {Promise<import("./notes.js").Checkpoint>}
 * @throws {Broken} @throws {Unknown}
 */
export async function checkHead(reader, note, key, before) {
  const signed = await openCheckpoint(note, key);
  if (before === null || before.origin !== signed.origin) return signed;
  const { size, root } = signed;
  if (size < before.size) throw new Broken("shrunk", { got: size, expected: before.size });
  if (before.size === 0) return signed;
  const found = before.size === size ? { root, before: root }
    : await new TiledTree(reader, size).rootSince(before.size);
  if (!equal(found.root, root)) {
    throw new Broken("root", { size, expected: hex(root), got: hex(found.root) });
  }
  if (hex(found.before) !== before.root) {
    const values = { size: before.size, expected: before.root, got: hex(found.before) };
    throw new Broken("rewritten", values);
  }
  return signed;
}

/**
 * The log's key and those of witnesses, as somebody typed them, one a line.
 * @returns {Promise<{key: ?import("./notes.js").Key, witnesses: import("./notes.js").Key[]}>}
 * @throws {Unknown} a line that is no key, or two keys of logs.
 */
export async function parseKeys(typed) {
  const lines = typed.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (lines.length > 100) throw new Unknown("key-form", { got: String(lines.length) });
  const keys = await Promise.all(lines.map(parseKey));
  const logs = keys.filter((one) => one.kind === LOG);
  if (logs.length > 1) throw new Unknown("key-two", { got: logs[1].id });
  return { key: logs[0] ?? null, witnesses: keys.filter((one) => one.kind !== LOG) };
}
