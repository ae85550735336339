// @ts-check

// What the live panel shows of a reply, after each of its events.

/** What the panel keeps of the raw events; the reply below it has all of them. */
const RAW_CHARS_MAX = 200_000;

/**
 * The reply after one more event.
 * @param {LiveReply} reply
 * @param {string} data
 * @returns {LiveReply}
 */
export function withEvent(reply, data) {
  const next = { ...reply, events: reply.events + 1, raw: (reply.raw + data + "\n").slice(-RAW_CHARS_MAX) };
  if (data === "[DONE]") return next.state === "arriving" ? { ...next, state: "complete" } : next;
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    return next; // not one of ours: it is in the raw events
  }
  if (chunk?.type === "text-delta") return { ...next, text: reply.text + chunk.delta };
  if (chunk?.type === "abort") return { ...next, state: "stopped" };
  if (chunk?.type === "error") return { ...next, text: `${reply.text}\n${chunk.errorText}`, state: "failed" };
  return next;
}

/**
 * A reply of which nothing has come yet.
 * @type {LiveReply}
 */
export const emptyReply = { text: "", raw: "", events: 0, state: "arriving" };
