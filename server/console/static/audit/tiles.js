/**
 * The static files of a log (C2SP tlog-tiles), read over HTTP and believed in nothing.
 */

import { HASH_BYTES, text } from "./bytes.js";
import { Broken, Unknown } from "./faults.js";
import { MAX_NOTE_BYTES } from "./notes.js";

export const WIDTH = 256;
export const ENTRIES = "entries";
const MAX_BUNDLE_BYTES = WIDTH * (2 + 65_535);
const TRIES = 3;

/** @returns {string} `tile/0/x001/067.p/12`; level is a number or `ENTRIES`. */
export function tilePath(level, index, width = WIDTH) {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g);
  const last = groups.pop();
  const name = [...groups.map((three) => `x${three}`), last].join("/");
  return `tile/${level}/${name}${width < WIDTH ? `.p/${width}` : ""}`;
}

/** Reads one log's files. */
export class Reader {
  /** @param {string} prefix address of the log, without a slash at its end. */
  constructor(prefix) {
    this.prefix = prefix;
  }

  /** @returns {Promise<string>} the signed head, as it stands. */
  async checkpoint() {
    const bytes = await this.#file("checkpoint", MAX_NOTE_BYTES);
    if (bytes === null) throw new Broken("missing", { place: "checkpoint" });
    const note = text(bytes);
    if (note === null) throw new Broken("note-form", { got: "" });
    return note;
  }

  /** @returns {Promise<Uint8Array[]>} the first `width` hashes of a tile. */
  async tile(level, index, width) {
    const { bytes, place, whole } = await this.#piece(level, index, width, WIDTH * HASH_BYTES);
    if (bytes.length !== whole * HASH_BYTES) {
      throw new Broken("tile-length", { place, expected: whole * HASH_BYTES, got: bytes.length });
    }
    return Array.from({ length: width }, (_, at) =>
      bytes.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES));
  }

  /** @returns {Promise<Uint8Array[]>} the first `width` entries of a bundle. */
  async bundle(index, width) {
    const { bytes, place, whole } = await this.#piece(ENTRIES, index, width, MAX_BUNDLE_BYTES);
    const entries = [];
    let at = 0;
    while (at + 2 <= bytes.length && entries.length < whole) {
      const end = at + 2 + (bytes[at] << 8) + bytes[at + 1];
      if (end > bytes.length || end === at + 2) break;
      entries.push(bytes.subarray(at + 2, end));
      at = end;
    }
    if (entries.length !== whole || at !== bytes.length) {
      const first = index * WIDTH + entries.length;
      throw new Broken("bundle-form", { place, index: first, expected: whole, got: entries.length });
    }
    return entries.slice(0, width);
  }

  /** A tile or bundle, or the full one where a partial one is gone because the log grew. */
  async #piece(level, index, width, most) {
    const place = tilePath(level, index, width);
    const bytes = await this.#file(place, most);
    if (bytes !== null) return { bytes, place, whole: width };
    const full = tilePath(level, index);
    const grown = width < WIDTH ? await this.#file(full, most) : null;
    if (grown === null) throw new Broken("missing", { place });
    return { bytes: grown, place: full, whole: WIDTH };
  }

  /** @returns {Promise<?Uint8Array>} a file; null where there is none. Nothing comes from a cache. */
  async #file(path, most) {
    for (let left = TRIES; ; left -= 1) {
      try {
        const answer = await fetch(`${this.prefix}/${path}`, {
          cache: "no-store",
          redirect: "error",
        });
        if (answer.status === 404) return null;
        if (answer.status === 401) throw new Unknown("signed-out");
        if (answer.ok) return await bounded(answer, path, most);
        if (answer.status < 500 || left === 1) {
          throw new Unknown("unreachable", { place: path, got: answer.status });
        }
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // what fetch throws for a network that fails
        if (left === 1) throw new Unknown("unreachable", { place: path, got: error.message });
      }
      await new Promise((done) => setTimeout(done, 400));
    }
  }
}

/** The body of an answer, read no further than it may be long. */
async function bounded(answer, path, most) {
  const reader = answer.body.getReader();
  const pieces = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > most) {
      await reader.cancel();
      throw new Broken("too-long", { place: path, expected: most });
    }
    pieces.push(value);
  }
  const made = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    made.set(piece, at);
    at += piece.length;
  }
  return made;
}
