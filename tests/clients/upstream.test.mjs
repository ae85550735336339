// Recorded upstream streams, through the real server and through the AI SDK's own provider: what a person sees is the same.
//
// Rule: compared are the parts of the first step in the order of their start, and how it ended. Not compared is what both may
// choose: ids, how text is cut into deltas, whether a text part is closed before or after a tool call begins, and what becomes
// of a tool call, because the recorded ones call tools that this server does not have.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { newest } from "./sdks.mjs";
import { readStream } from "./sse.mjs";

const FOLDER = new URL("../golden/upstream/", import.meta.url);

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

const recordings = (await readdir(FOLDER).catch(() => [])).filter((name) => name.endsWith(".sse")).sort();

test("there are recordings", () => assert.ok(recordings.length > 0, `no .sse file in ${FOLDER.pathname}`));

for (const name of recordings) {
  test(name, async () => {
    const bytes = await readFile(new URL(name, FOLDER));
    assert.deepEqual(await throughServer(bytes), summary((await ours(name)) ?? (await throughSdk(bytes))));
  });
}

/** The chunks of a recording where the server means to do better than the SDK; the decoder's own tests say why. */
async function ours(name) {
  const lines = await readFile(new URL(name.replace(/sse$/, "ours.jsonl"), FOLDER), "utf8").catch(() => undefined);
  return lines
    ?.trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

async function throughServer(bytes) {
  // A prime number of bytes in a packet, so that every kind of boundary is cut somewhere.
  const org = await app.org({ upstream: [fake.bytes(bytes, 61), fake.text("Done.")] });
  const response = await org.chat("Go on.");
  if (response.status === 502) return { parts: [], ended: "error" };
  return summary((await readStream(response)).chunks);
}

async function throughSdk(bytes) {
  const reply = async () => new Response(bytes, { headers: { "content-type": "text/event-stream" } });
  const provider = createOpenAICompatible({ name: "upstream", baseURL: "http://upstream.test", fetch: reply });
  const tools = Object.fromEntries(
    namesIn(bytes).map((name) => [name, newest.tool({ inputSchema: newest.jsonSchema({ type: "object" }) })]),
  );
  const result = newest.streamText({ model: provider("m"), tools, prompt: "Go on.", maxRetries: 0, onError: () => {} });
  const chunks = [];
  for await (const chunk of result.toUIMessageStream({ sendSources: true })) chunks.push(chunk);
  return chunks;
}

/** Every tool a recording might call. */
function namesIn(bytes) {
  return [...new Set([...bytes.toString().matchAll(/"name":\s*"([\w-]+)"/g)].map(([, name]) => name))];
}

/** What a person sees of the first step, and how the turn ended if that was all. */
function summary(chunks) {
  const end = chunks.findIndex((chunk) => chunk.type === "finish-step");
  const step = end < 0 ? chunks : chunks.slice(0, end);
  const parts = [];
  const open = new Map();
  const begin = (key, part) => {
    parts.push(part);
    open.set(key, part);
  };
  for (const { type, id, delta, toolCallId, toolName, inputTextDelta, url, title } of step) {
    if (type === "text-start" || type === "reasoning-start")
      begin(`${type} ${id}`, { part: type.replace("-start", ""), text: "" });
    if (type === "text-delta" || type === "reasoning-delta")
      open.get(`${type.replace("-delta", "-start")} ${id}`).text += delta;
    if (type === "tool-input-start") begin(toolCallId, { part: "call", tool: toolName, text: "" });
    if (type === "tool-input-delta") open.get(toolCallId).text += inputTextDelta;
    if (type === "source-url") parts.push({ part: "source", url, title });
  }
  const called = parts.some((part) => part.part === "call");
  const failed = chunks.some((chunk) => chunk.type === "error");
  const finish = chunks.find((chunk) => chunk.type === "finish");
  return {
    parts: parts.filter((part) => part.text !== ""),
    ended: failed ? "error" : called ? "called" : finish?.finishReason,
  };
}
