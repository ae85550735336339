// Replays every recorded upstream stream through the AI SDK's own OpenAI-compatible provider and server, and writes down
// the UI chunks that come out. The Rust decoder is compared with these files (src/turn/step_tests.rs).
//
//   npm ci && npm run record
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { jsonSchema, streamText, tool } from "ai";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const folder = new URL("../golden/upstream/", import.meta.url);
const anything = () => tool({ inputSchema: jsonSchema({ type: "object" }) });
const tools = { get_time: anything(), get_weather: anything(), search: anything() };

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith(".sse"))
  .sort()) {
  const chunks = await replay(readFileSync(new URL(file, folder)));
  const lines = normalise(chunks).map((chunk) => JSON.stringify(chunk) + "\n");
  writeFileSync(new URL(file.replace(/\.sse$/, ".expected.jsonl"), folder), lines.join(""));
  console.log(file, lines.length);
}

async function replay(body) {
  const reply = () => new Response(body, { headers: { "content-type": "text/event-stream" } });
  const provider = createOpenAICompatible({
    name: "upstream",
    baseURL: "http://upstream.test",
    fetch: async () => reply(),
  });
  const result = streamText({ model: provider("m"), tools, prompt: "x", maxRetries: 0, onError: () => {} });
  const chunks = [];
  const ui = result.toUIMessageStream({
    sendSources: true,
    onError: () => "*",
    messageMetadata: ({ part }) => (part.type === "finish" ? usage(part.totalUsage) : undefined),
  });
  for await (const chunk of ui) chunks.push(chunk);
  return chunks;
}

function usage({ inputTokens, outputTokens, inputTokenDetails, outputTokenDetails }) {
  if (inputTokens === undefined && outputTokens === undefined) return {};
  const { cacheReadTokens } = inputTokenDetails;
  const { reasoningTokens } = outputTokenDetails;
  return { usage: [inputTokens, cacheReadTokens, outputTokens, reasoningTokens] };
}

// Ids are numbered by first appearance and neighbouring deltas of one part are joined: neither is a matter of meaning.
function normalise(chunks) {
  const open = new Map(); // the SDK uses an id again once its part has ended
  const calls = new Map();
  let parts = 0;
  const out = [];
  for (const { dynamic, providerMetadata, ...chunk } of chunks) {
    if (chunk.type === "start") continue;
    if (/^(text|reasoning)-start$/.test(chunk.type)) open.set(chunk.id, `part${parts++}`);
    if (chunk.id !== undefined) chunk.id = open.get(chunk.id);
    if (chunk.sourceId !== undefined) chunk.sourceId = `part${parts++}`;
    if (chunk.toolCallId !== undefined) {
      if (!calls.has(chunk.toolCallId)) calls.set(chunk.toolCallId, `call${calls.size}`);
      chunk.toolCallId = calls.get(chunk.toolCallId);
    }
    const last = out.at(-1);
    const joins = last?.type === chunk.type && last.id === chunk.id && last.toolCallId === chunk.toolCallId;
    if (joins && chunk.delta !== undefined) last.delta += chunk.delta;
    else if (joins && chunk.inputTextDelta !== undefined) last.inputTextDelta += chunk.inputTextDelta;
    else if (chunk.delta !== "" && chunk.inputTextDelta !== "") out.push(chunk);
  }
  return out;
}
