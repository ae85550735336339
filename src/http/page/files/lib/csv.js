// @ts-check

// Tables as CSV files (RFC 4180), made here.

import { save } from "./save.js";

/**
 * Lets the person save these rows as a file.
 * @param {string} name
 * @param {unknown[][]} rows
 */
export const saveCsv = (name, rows) => save(name, "text/csv", csv(rows));

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
