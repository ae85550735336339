// @ts-check

// The same call on the command line.

import { caller } from "./api.js";

const QUESTION = { messages: [{ role: "user", content: "Summarise the periodic table in 3 sentences." }] };

/**
 * `curl` for a chat; without a key it takes it from the variable ALM_KEY.
 * @param {{ key?: string, body?: unknown }} [options]
 */
export function chatCurl({ key, body = QUESTION } = {}) {
  return [
    `curl -N -X POST ${location.origin}/api/v1/chat`,
    `-H "Authorization: Bearer ${key ?? "$ALM_KEY"}"`,
    `-H "X-Alumia-Org: ${caller.org}"`,
    `-H "Content-Type: application/json"`,
    `-d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}

// In single quotes a shell leaves everything as it is, but for the quote itself.
/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
