// @ts-check

// Tables as CSV files (RFC 4180), made here and saved without asking anyone.

import { el } from "./dom.js";

/**
 * Lets the person save these rows as a file.
 * @param {string} name
 * @param {unknown[][]} rows
 */
export function saveCsv(name, rows) {
  const address = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
  el("a", { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

/**
 * Rows as CSV.
 * @param {unknown[][]} rows
 */
export const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

// A spreadsheet takes text that begins with = + - or @ for a formula, and notes are foreign text.
/** @param {unknown} value */
function cell(value) {
  const text = typeof value === "string" ? value.replace(/^(?=[=+\-@\t\r])/, "'") : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
