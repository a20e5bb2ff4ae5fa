/**
 * What may be wrong. The page has a sentence for each code; `values` stand in its places.
 */

/** The log is not what was signed, or not what it was. This makes the banner red. */
export class Broken extends Error {
  /** @param {string} code @param {Object<string, string|number>} values */
  constructor(code, values = {}) {
    super(`${code} ${JSON.stringify(values)}`);
    this.code = code;
    this.values = values;
  }
}

/** Nothing is known about the log: no answer, or a key that was not typed whole. */
export class Unknown extends Error {
  /** @param {string} code @param {Object<string, string|number>} values */
  constructor(code, values = {}) {
    super(`${code} ${JSON.stringify(values)}`);
    this.code = code;
    this.values = values;
  }
}
