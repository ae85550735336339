// @ts-check

// Text that is made here as a file, saved without asking anyone.

import { el } from "./dom.js";

/**
 * Lets the person save this text.
 * @param {string} name
 * @param {string} type
 * @param {string} text
 */
export function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}
