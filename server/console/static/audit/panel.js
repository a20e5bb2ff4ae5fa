/**
 * What both pages of the log share: their words, the red banner, and what this browser remembers.
 */

import { Broken, Unknown } from "./faults.js";
import { checkHead, parseKeys } from "./verify.js";

const KEPT = "tds-audit";
const MAX_KEPT = 100_000;

/** The part of a page that verifies. */
export class Panel {
  constructor() {
    this.place = document.getElementById("verify");
    this.words = JSON.parse(this.place.dataset.words);
    this.language = this.place.dataset.language;
    this.shownKey = this.place.dataset.key;
    this.alarm = document.getElementById("alarm");
    this.verdict = document.getElementById("verdict");
  }

  /** Words with values in their places. */
  say(key, values = {}) {
    const text = this.words[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
  }

  /** @param {number} seconds POSIX. @returns {string} a moment, in the page's language. */
  moment(seconds) {
    return new Date(seconds * 1000).toLocaleString(this.language, { timeZoneName: "short" });
  }

  /** Nothing is said any more. */
  clear() {
    this.alarm.replaceChildren();
    this.verdict.replaceChildren();
  }

  /** A green statement: the first line in bold, the others under it. */
  holds(first, lines) {
    const box = element("div", "done");
    box.append(element("p", "", element("strong", "", first)));
    box.append(...lines.map((line) => element("p", "", line)));
    this.verdict.replaceChildren(box);
  }

  /**
   * What was thrown: the red banner if the log does not hold, else why nothing is known.
   * @param {HTMLElement} [at] in the place of the banner.
   */
  failed(error, at = this.alarm) {
    const broken = error instanceof Broken;
    const box = element("div", broken ? "alarm" : "wrong");
    box.setAttribute("role", "alert");
    box.append(element("p", "", element("strong", "", this.say(broken ? "alarm" : "unknown"))));
    box.append(element("p", "", this.#why(error)));
    if (broken) box.append(element("p", "", this.say("alarm-do")));
    at.replaceChildren(box);
  }

  #why(error) {
    if (error instanceof Broken) return this.say(`fault-${error.code}`, error.values);
    if (error instanceof Unknown) return this.say(`why-${error.code}`, error.values);
    return this.say("why-unexpected", { got: String(error).slice(0, 300) });
  }

  /**
   * The keys to verify under: those that were typed, else the one that somebody gave here before,
   * else the one that this server shows.
   * @returns {Promise<{key: Object, witnesses: Object[], yours: boolean}>}
   * @throws {Unknown} what was typed is no key. @throws {Broken} the server's key is another now.
   */
  async keys(typed = "") {
    if (globalThis.crypto?.subtle === undefined) throw new Unknown("no-crypto");
    const kept = this.remembered();
    const given = typed.trim() || (kept?.yours ? kept.keys : "");
    if (given !== "") {
      const { key, witnesses } = await parseKeys(given);
      if (key === null) throw new Unknown("key-missing");
      return { key, witnesses, yours: true };
    }
    if (kept !== null && kept.key !== this.shownKey) {
      throw new Broken("key-changed", { expected: kept.key, got: this.shownKey });
    }
    return { ...(await parseKeys(this.shownKey)), yours: false };
  }

  /** The signed head, held against what this browser verified before. */
  async head(reader, key) {
    const note = await reader.checkpoint();
    return { note, head: await checkHead(reader, note, key, this.remembered()) };
  }

  /**
   * The head that was verified in this browser last, of whatever log this address had.
   * @returns {?{origin: string, size: number, root: string, key: string, keys: string,
   *   yours: boolean, time: number}} null if there is none, or it cannot be read.
   */
  remembered() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
      const whole = kept !== null && Number.isSafeInteger(kept.size) && kept.size >= 0
        && /^[0-9a-f]{64}$/.test(kept.root) && Number.isFinite(kept.time)
        && ["origin", "key", "keys"].every((name) => typeof kept[name] === "string");
      return whole ? kept : null;
    } catch {
      return null; // no storage, as where a browser forbids it, or not what was kept
    }
  }

  /** Remember a head whose whole log was verified. */
  remember(head, { key, yours }, keys) {
    const kept = { ...head, key: key.text, keys: yours ? keys : "", yours, time: Date.now() / 1000 };
    const text = JSON.stringify(kept);
    if (text.length > MAX_KEPT) return;
    try {
      localStorage.setItem(KEPT, text);
    } catch {
      // No storage: the next visit has nothing to compare with, and says so.
    }
  }

  forget() {
    localStorage.removeItem(KEPT);
  }
}

/** An element with a class and what is in it, as text. */
export function element(name, className, ...inner) {
  const made = document.createElement(name);
  if (className !== "") made.className = className;
  made.append(...inner);
  return made;
}
