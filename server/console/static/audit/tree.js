/**
 * The Merkle tree of RFC 6962 section 2.1: roots as it grows, and proofs from a log's tiles.
 * Sizes may pass 2^32, so that nothing here shifts bits.
 */

import { nodeHash, sha256 } from "./bytes.js";
import { WIDTH } from "./tiles.js";

/** The hashes of the largest complete subtrees, left to right: all that appending needs. */
export class Frontier {
  /** @param {{height: number, hash: Uint8Array}[]} peaks */
  constructor(peaks = []) {
    this.peaks = peaks;
  }

  copy() {
    return new Frontier([...this.peaks]);
  }

  /** Append a complete subtree over 2^height leaves; what is there is a multiple of as many. */
  async add(hash, height = 0) {
    let value = hash;
    let at = height;
    while (this.peaks.length > 0 && this.peaks.at(-1).height === at) {
      value = await nodeHash(this.peaks.pop().hash, value);
      at += 1;
    }
    this.peaks.push({ height: at, hash: value });
  }

  /** @returns {Promise<Uint8Array>} the root. */
  async root() {
    const hashes = this.peaks.map((peak) => peak.hash);
    if (hashes.length === 0) return sha256(new Uint8Array());
    let root = hashes.pop();
    while (hashes.length > 0) root = await nodeHash(hashes.pop(), root);
    return root;
  }
}

/** @param {Uint8Array[]} hashes a power of two of them. @returns {Promise<Uint8Array>} over all. */
export async function complete(hashes) {
  let level = hashes;
  while (level.length > 1) {
    const pairs = [];
    for (let at = 0; at < level.length; at += 2) pairs.push(nodeHash(level[at], level[at + 1]));
    level = await Promise.all(pairs);
  }
  return level[0];
}

/** Hashes of a tree of one size, from its tiles as they stand. */
export class TiledTree {
  /** @param {import("./tiles.js").Reader} reader @param {number} size */
  constructor(reader, size) {
    this.reader = reader;
    this.size = size;
    this.kept = new Map();
  }

  /**
   * PATH(index, D[0:size]), nearest sibling first.
   * @returns {Promise<Uint8Array[]>}
   */
  async inclusionProof(index) {
    const path = [];
    let [start, stop] = [0, this.size];
    while (stop - start > 1) {
      const middle = start + split(stop - start);
      if (index < middle) {
        path.push(this.#range(middle, stop));
        stop = middle;
      } else {
        path.push(this.#range(start, middle));
        start = middle;
      }
    }
    return (await Promise.all(path)).reverse();
  }

  /**
   * The roots of this tree and of its first `old` leaves, from the same nodes: what a consistency
   * proof (RFC 6962 section 2.1.2) shows. If the first one is the signed root, so is the other the
   * root that these leaves had.
   * @param {number} old from 1 to below the tree's size.
   * @returns {Promise<{root: Uint8Array, before: Uint8Array}>}
   */
  async rootSince(old) {
    const peaks = [];
    const walk = async (start, stop) => {
      if (start >= old) return this.#range(start, stop);
      if (stop <= old) {
        peaks.push({ hash: await this.#range(start, stop) });
        return peaks.at(-1).hash;
      }
      const middle = start + split(stop - start);
      const left = await walk(start, middle);
      return nodeHash(left, await walk(middle, stop));
    };
    const root = await walk(0, this.size);
    return { root, before: await new Frontier(peaks).root() };
  }

  /** MTH(D[start:stop]) of a range that is a node of the tree. */
  async #range(start, stop) {
    const count = stop - start;
    const height = Math.ceil(Math.log2(count));
    if (count === 2 ** height) return this.#node(height, start / count);
    const middle = start + split(count);
    const [left, right] = await Promise.all([
      this.#range(start, middle), this.#range(middle, stop),
    ]);
    return nodeHash(left, right);
  }

  /** The complete subtree `index` over 2^height leaves, made from the tile that it lies in. */
  async #node(height, index) {
    const level = Math.floor(height / 8);
    const count = 2 ** (height % 8); // hashes of the tile under it
    const first = index * count;
    const tile = await this.#tile(level, Math.floor(first / WIDTH));
    return complete(tile.slice(first % WIDTH, (first % WIDTH) + count));
  }

  #tile(level, index) {
    const name = `${level}/${index}`;
    if (!this.kept.has(name)) {
      const hashes = Math.floor(this.size / WIDTH ** level);
      const width = Math.min(WIDTH, hashes - index * WIDTH);
      this.kept.set(name, this.reader.tile(level, index, width));
    }
    return this.kept.get(name);
  }
}

/**
 * The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).
 * @returns {Promise<?Uint8Array>} null for a proof of another length than this place has.
 */
export async function rootOfProof(index, size, leaf, proof) {
  let [node, last, hash] = [index, size - 1, leaf];
  for (const sibling of proof) {
    if (last === 0) return null;
    if (node % 2 === 1 || node === last) {
      hash = await nodeHash(sibling, hash);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      hash = await nodeHash(hash, sibling);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 ? hash : null;
}

/** The largest power of two below a count. */
function split(count) {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}
