// An MCP server that misbehaves, as a command: `node evil-mcp.mjs MOOD`. It speaks the old protocol; what its mood says is in MOODS.
//
// Rule: it starts as any other does, so that it is taken in. What it does comes with a list, a call, or the end of the handshake.

import { createInterface } from "node:readline";

const MIB = 1024 * 1024;
const tool = (name, more = {}) => ({ name, description: `Does ${name}.`, inputSchema: { type: "object" }, ...more });

const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const answer = (id, result) => say({ id, result });
const text = (text) => ({ content: [{ type: "text", text }] });

/** Writes it again and again, as fast as it is taken. */
function flood(bytes) {
  const more = () => {
    while (process.stdout.write(bytes));
    process.stdout.once("drain", more);
  };
  more();
}
const notice = (method, params) => `${JSON.stringify({ jsonrpc: "2.0", method, params })}\n`;
const ping = `${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" })}\n`;

let lists = 0;
let reading;

/** What each mood does: `start` after the handshake, `list` and `call` instead of what a good server answers. */
const MOODS = {
  good: {},
  silent: { call: () => {} },
  dies: { call: () => process.exit(3) },
  half: { call: () => process.stdout.write('{"jsonrpc":"2.0","id":', () => process.exit(0)) },
  huge: { call: (id) => answer(id, text("x".repeat(5 * MIB))) },
  "endless-line": { call: () => flood("x".repeat(MIB)) },
  "no-result": { call: (id) => say({ id }) },
  "a-text": { call: (id) => answer(id, { content: "just a text", isError: "perhaps" }) },
  "wrong-ids": {
    call: (id) => {
      answer(id + 1_000, text("not yours"));
      answer(String(id), text("yours"));
    },
  },
  garbage: {
    start: () => process.stdout.write('\u0000\u0001 not a message\n[1,2]\n{"a":1}\n'.repeat(10_000)),
  },
  "flood-of-notices": { start: () => flood(notice("notifications/message", { level: "info", data: "x" }).repeat(500)) },
  "flood-of-changes": { start: () => flood(notice("notifications/tools/list_changed").repeat(500)) },
  "flood-of-progress": {
    call: (id, { _meta }) => {
      const progress = notice("notifications/progress", { progressToken: _meta.progressToken, progress: 1 });
      process.stdout.write(progress.repeat(20_000), () => answer(id, text("done at last")));
    },
  },
  // It asks whether we are there, always, and hears no answer.
  "flood-of-questions": {
    call: (id) => {
      reading.pause();
      process.stdin.pause();
      flood(ping.repeat(500));
      setTimeout(() => answer(id, text("done at last")), 3_000);
    },
  },
  "endless-list": { list: (id) => answer(id, { tools: [tool(`t${++lists}`)], nextCursor: String(lists) }) },
  "looping-list": { list: (id) => answer(id, { tools: [tool(`t${++lists}`)], nextCursor: "again" }) },
  "large-pages": {
    list: (id) => answer(id, { tools: [tool(`t${++lists}`, { x: "y".repeat(3 * MIB) })], nextCursor: String(lists) }),
  },
  "bad-schemas": {
    list: (id) =>
      answer(id, {
        tools: [
          tool("good"),
          tool("none", { inputSchema: null }),
          tool("array", { inputSchema: { type: "array" } }),
          tool("kind", { inputSchema: { type: "object", properties: { a: { type: "strin" } } } }),
          tool("file", { inputSchema: { properties: { a: { $ref: "file:///etc/passwd" } } } }),
          tool("large", { inputSchema: { type: "object", description: "x".repeat(40_000) } }),
          tool("good"),
          { inputSchema: { type: "object" } },
          "no tool",
        ],
      }),
  },
  "another-each-time": {
    list: (id) => answer(id, { tools: [tool("t", { description: `Version ${++lists} of ${process.pid}.` })] }),
  },
};

const mood = MOODS[process.argv[2]];
const handlers = {
  initialize: ({ id }) =>
    answer(id, {
      protocolVersion: "2025-11-25",
      capabilities: { tools: { listChanged: true } },
      serverInfo: { name: "evil", version: "1" },
    }),
  "notifications/initialized": () => mood.start?.(),
  "tools/list": ({ id }) => (mood.list ?? ((id) => answer(id, { tools: [tool("t")] })))(id),
  "tools/call": ({ id, params }) => (mood.call ?? ((id) => answer(id, text("fine"))))(id, params),
};

reading = createInterface({ input: process.stdin });
reading.on("line", (line) => {
  const message = JSON.parse(line);
  if (message.method === undefined) return;
  const handler = handlers[message.method];
  if (handler) handler(message);
  else if (message.id !== undefined) say({ id: message.id, error: { code: -32601, message: "Method not found" } });
});
reading.on("close", () => process.exit(0));
