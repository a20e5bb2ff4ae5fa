/**
 * Bytes and their texts, and the hashes of RFC 6962 section 2.1. Everything here is pure.
 */

export const HASH_BYTES = 32;

/** @param {Uint8Array} data @returns {Promise<Uint8Array>} its SHA-256. */
export async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

/** SHA-256(0x00 || entry): the prefix keeps a leaf from passing as an inner node. */
export function leafHash(entry) {
  const data = new Uint8Array(1 + entry.length);
  data.set(entry, 1);
  return sha256(data);
}

/** SHA-256(0x01 || left || right). */
export function nodeHash(left, right) {
  return sha256(concat(Uint8Array.of(1), left, right));
}

/** @param {...Uint8Array} pieces @returns {Uint8Array} one after the other. */
export function concat(...pieces) {
  const made = new Uint8Array(pieces.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of pieces) {
    made.set(one, at);
    at += one.length;
  }
  return made;
}

/** Whether two byte strings are the same. Nothing that is compared here is secret. */
export function equal(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** @returns {string} lower-case hexadecimal. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {?Uint8Array} the bytes of lower-case hexadecimal; null for anything else. */
export function fromHex(text) {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) return null;
  return Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
}

/** @returns {string} base64 as RFC 4648 section 4 spells it. */
export function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return btoa(text);
}

/** @returns {?Uint8Array} the bytes of the one spelling; null for any other. */
export function fromBase64(text) {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  try {
    const found = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return base64(found) === text ? found : null;
  } catch {
    return null;
  }
}

export const utf8 = (text) => new TextEncoder().encode(text);

/** @returns {?string} text of UTF-8; null for other bytes. */
export function text(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
