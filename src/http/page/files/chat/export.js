// @ts-check

// A whole session as a file, or on paper.

import { call } from "../lib/api.js";
import { notify } from "../lib/dom.js";
import { save } from "../lib/save.js";
import { nameOf } from "./tool.js";

/** Messages that are asked for at once. */
const PAGE = 100;
/** Longest name of a file, without its ending. */
const NAME_CHARS_MAX = 60;

/**
 * Saves the session of this chat.
 * @param {import("./chat.js").Chat} chat
 * @param {"md" | "json"} kind
 */
export async function exportChat(chat, kind) {
  const { session } = chat;
  const name =
    session.label
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
      .slice(0, NAME_CHARS_MAX) || "session";
  try {
    const messages = await all(chat);
    if (kind === "json")
      save(`${name}.json`, "application/json", `${JSON.stringify({ session, messages }, null, 2)}\n`);
    else
      save(
        `${name}.md`,
        "text/markdown",
        markdown(session.label, messages, (message) => chat.who(message)),
      );
  } catch (error) {
    if (!chat.signal.aborted) notify(error.message);
  }
}

/**
 * Prints the session of this chat, its earliest messages too.
 * @param {import("./chat.js").Chat} chat
 */
export async function printChat({ history, signal }) {
  for (let before; history.cursor && history.cursor !== before && !signal.aborted;) {
    before = history.cursor;
    await history.earlier();
  }
  print();
}

/** @param {import("./chat.js").Chat} chat */
async function all({ sessionPath, signal }) {
  /** @type {Api.Message[]} */
  const messages = [];
  for (let cursor = ""; ;) {
    const path = `${sessionPath}/messages?order=asc&pageSize=${PAGE}${cursor}`;
    const { items, hasMore, nextCursor } = await call("GET", path, undefined, { signal });
    messages.push(...items);
    if (!hasMore) return messages;
    cursor = `&cursor=${encodeURIComponent(nextCursor)}`;
  }
}

/**
 * @param {string} label
 * @param {Api.Message[]} messages
 * @param {(message: Api.Message) => string} who
 */
export const markdown = (label, messages, who) =>
  `# ${label}\n${messages.map((message) => `\n## ${who(message)}, ${message.createdAt}\n\n${message.parts.map(partText).filter(Boolean).join("\n\n")}\n`).join("")}`;

/** @param {any} part */
function partText(part) {
  const { type, text, filename, mediaType } = part;
  if (type === "text") return text;
  if (type === "reasoning") return text && `> ${text.replaceAll("\n", "\n> ")}`;
  if (type === "file") return `*File: ${filename ?? mediaType}*`;
  if (type.startsWith("tool-") || type === "dynamic-tool") return `*Tool: ${nameOf(part)}*`;
  return "";
}
