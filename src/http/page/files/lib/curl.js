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

/**
 * The same for programs, with the clients of OpenAI's API, and what they read their key from.
 * @param {string} key
 * @returns {Record<string, string>}
 */
export const snippets = (key) => ({
  JS: lines(
    "// npm install openai; node --env-file=.env ask.mjs",
    'import OpenAI from "openai";',
    "",
    "const reply = await new OpenAI().chat.completions.create({",
    '  model: "ala",',
    `  messages: ${JSON.stringify(QUESTION.messages)},`,
    "  stream: true,",
    "});",
    'for await (const part of reply) process.stdout.write(part.choices[0]?.delta.content ?? "");',
  ),
  Python: lines(
    "# pip install openai; set -a; . ./.env; python ask.py",
    "from openai import OpenAI",
    "",
    "reply = OpenAI().chat.completions.create(",
    '    model="ala",',
    `    messages=${JSON.stringify(QUESTION.messages)},`,
    "    stream=True,",
    ")",
    "for part in reply:",
    "    if part.choices:",
    '        print(part.choices[0].delta.content or "", end="", flush=True)',
  ),
  ".env": lines(`OPENAI_BASE_URL=${location.origin}/v1`, `OPENAI_API_KEY=${key}`, `ALM_KEY=${key}`),
});

/** @param {string[]} texts */
const lines = (...texts) => texts.join("\n");

// In single quotes a shell leaves everything as it is, but for the quote itself.
/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
