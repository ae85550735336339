// @ts-check

// Headers as people write them: one a line, `Name: value`.

import { FieldError } from "../../lib/form.js";

/**
 * The headers in a text, by name.
 * @param {string} field
 * @param {string} text
 * @returns {Record<string, string>}
 */
export function headersIn(field, text) {
  const lines = text.split("\n").filter((line) => line.trim());
  return Object.fromEntries(
    lines.map((line) => {
      const [, name, value] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*:\s*(.*?)\s*$/.exec(line) ?? [];
      if (!name) throw new FieldError(field, `Write each header as Name: value, one a line.`);
      return [name.toLowerCase(), value];
    }),
  );
}

/** @param {Record<string, string> | null | undefined} headers */
export const headerLines = (headers) =>
  Object.entries(headers ?? {})
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");

/**
 * Secret headers as the server takes them; undefined without any, which leaves what is stored.
 * @param {string} text
 */
export function secretsIn(text) {
  const secrets = Object.entries(headersIn("secretHeaders", text));
  return secrets.length > 0 ? Object.fromEntries(secrets.map(([name, value]) => [name, { value }])) : undefined;
}
