// @ts-check

// How strong a new password is, said honestly: an upper bound of what a guesser has to try, and no rule but the server's.

import { el, h } from "./dom.js";

/** The server's own rule. */
export const PASSWORD_CHARS_MIN = 8;

const FAIR_BITS = 50;
const GOOD_BITS = 70;
const COMMON = /^(password|passwort|qwerty|letmein|welcome|admin|iloveyou|abc|12345|1q2w3e)/i;

/**
 * At most so many bits: as if each character that is no repetition or neighbour had been thrown with dice.
 * @param {string} password
 */
export function bitsAtMost(password) {
  /** @type {[RegExp, number][]} */
  const kinds = [
    [/[a-z]/, 26],
    [/[A-Z]/, 26],
    [/\d/, 10],
    [/[^a-zA-Z\d]/, 33],
  ];
  const alphabet = kinds.reduce((sum, [kind, size]) => sum + (kind.test(password) ? size : 0), 0);
  const codes = [...password].map((character) => character.codePointAt(0) ?? 0);
  const fresh = codes.filter((code, at) => at === 0 || Math.abs(code - codes[at - 1]) > 1).length;
  const distinct = new Set(codes).size;
  return Math.min(fresh, distinct * 2) * Math.log2(alphabet || 1);
}

/**
 * What to say of a password: how full the meter is, of 3, and the words.
 * @param {string} password
 * @returns {[number, string]}
 */
export function judge(password) {
  if (password === "") return [0, "Several words together are strong and easy to remember."];
  const missing = PASSWORD_CHARS_MIN - [...password].length;
  if (missing > 0) return [0, `At least ${PASSWORD_CHARS_MIN} characters, ${missing} more to go.`];
  const bits = bitsAtMost(password);
  if (COMMON.test(password) || bits < FAIR_BITS) return [1, "Weak: easy to guess for a program. You can still use it."];
  if (bits < GOOD_BITS) return [2, "Fair: safe from guessing on this page, but perhaps not if the database is stolen."];
  return [3, "Strong, if you use it nowhere else."];
}

/**
 * A meter that follows the password field.
 * @param {HTMLInputElement} password
 */
export function strength(password) {
  const meter = el("meter", { min: 0, max: 3, low: 2, high: 3, optimum: 3, "aria-label": "Password strength" });
  const words = el("p.hint", { role: "status" });
  const follow = () => {
    const [level, text] = judge(password.value);
    meter.value = level;
    words.textContent = text;
  };
  password.addEventListener("input", follow);
  follow();
  return h("div.strength", meter, words);
}
