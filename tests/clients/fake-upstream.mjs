// A scripted OpenAI-compatible model on a loopback port. It also misbehaves, on request.
//
// Rule: what it does depends on nothing but its script. Every test has an endpoint of its own, with its own base URL and its
// own list of requests, so tests can run beside each other.
// Deliberately absent: delays. A reply that must wait waits for a promise of the test's.

import { createServer } from "node:http";
import { setImmediate } from "node:timers/promises";

const DONE = "data: [DONE]\n\n";

/** Starts the server. `endpoint(replies)` makes a base URL whose n-th request gets the n-th reply, and the last one after that. */
export async function startFakeUpstream() {
  const endpoints = [];
  const server = createServer(async (request, response) => {
    const [, number, ...path] = request.url.split("/");
    const endpoint = endpoints[Number(number)];
    if (!endpoint) return response.writeHead(404).end();
    if (path.at(-1) === "models") return json(response, 200, { object: "list", data: [{ id: "m", object: "model" }] });
    const text = await readAll(request);
    endpoint.requests.push({ headers: request.headers, path: path.join("/"), body: JSON.parse(text) });
    const reply = endpoint.replies[Math.min(endpoint.requests.length, endpoint.replies.length) - 1];
    await reply(new Reply(response), endpoint.requests.at(-1));
  });
  // A test that fails while it sets up stops nothing; its process must end all the same.
  server.listen(0, "127.0.0.1").unref();
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    endpoint(replies) {
      const endpoint = { replies, requests: [] };
      endpoint.baseUrl = `http://127.0.0.1:${server.address().port}/${endpoints.push(endpoint) - 1}/v1`;
      return endpoint;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The writing end of one reply. */
class Reply {
  constructor(response) {
    this.response = response;
    /** Settles once the caller has hung up. */
    this.gone = new Promise((resolve) => response.once("close", resolve));
  }

  /** Sends the head, alone in its packet. */
  async head(status = 200, headers = { "content-type": "text/event-stream" }) {
    this.response.writeHead(status, headers).flushHeaders();
    await setImmediate();
  }

  /** Sends bytes, alone in their packet as far as one can ask for that. */
  async raw(bytes) {
    if (!this.response.headersSent) await this.head();
    if (this.response.destroyed) return;
    if (!this.response.write(bytes))
      await Promise.race([new Promise((resolve) => this.response.once("drain", resolve)), this.gone]);
    await setImmediate();
  }

  /** Sends one server-sent event. */
  event(value) {
    return this.raw(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
  }

  /** Ends the body as HTTP wants it. */
  end() {
    this.response.end();
  }

  /** Drops the connection. */
  cut() {
    this.response.destroy();
  }
}

/** A chunk with one choice. */
export function chunk(delta, finish_reason = null) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta, finish_reason }],
  };
}

/** The chunk that counts tokens. */
export function usage(prompt_tokens = 10, completion_tokens = 5, details = {}) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [],
    usage: { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens, ...details },
  };
}

/** One fragment of a tool call. */
export function call(fields) {
  const { index, id, name, args } = fields;
  const tool = { function: {} };
  if (index !== undefined) tool.index = index;
  if (id !== undefined) Object.assign(tool, { id, type: "function" });
  if (name !== undefined) tool.function.name = name;
  if (args !== undefined) tool.function.arguments = args;
  return chunk({ tool_calls: [tool] });
}

/** Sends these chunks, then ends well. */
export function chunks(...values) {
  return async (reply) => {
    for (const value of values) await reply.event(value);
    await reply.raw(DONE);
    reply.end();
  };
}

/** Says these pieces of text, with a finish reason and usage. */
export function text(...pieces) {
  return chunks(
    chunk({ role: "assistant", content: "" }),
    ...pieces.map((content) => chunk({ content })),
    chunk({}, "stop"),
    usage(),
  );
}

/** Thinks, then speaks. `key` is the field the thoughts are in. */
export function reasoning(thought, answer, key = "reasoning_content") {
  return chunks(chunk({ role: "assistant", [key]: thought }), chunk({ content: answer }), chunk({}, "stop"), usage());
}

/** Refuses in the field made for it. */
export function refusal(sentence) {
  return chunks(chunk({ role: "assistant", refusal: sentence }), chunk({}, "stop"), usage());
}

/** Calls one tool, its arguments in `args.length` fragments. */
export function toolCall(name, args = ["{}"], finish = "tool_calls", id = "call_1") {
  const [first, ...rest] = args;
  const start = call({ index: 0, id, name, args: first });
  return chunks(start, ...rest.map((fragment) => call({ index: 0, args: fragment })), chunk({}, finish), usage());
}

/** Calls several tools in one step: `[name, input]` each, with the ids `c1`, `c2`, … */
export function toolCalls(...named) {
  const starts = named.map(([name, input], index) =>
    call({ index, id: `c${index + 1}`, name, args: JSON.stringify(input) }),
  );
  return chunks(...starts, chunk({}, "tool_calls"), usage());
}

/** Answers with a status, an optional head and a JSON body. */
export function status(code, headers = {}, body = { error: { message: SECRET, type: "x", code: null } }) {
  return async (reply) => json(reply.response, code, body, headers);
}

/** What must never be seen on our wire: a key, as upstreams like to quote it. */
export const SECRET = "Incorrect API key provided: sk-leaked-0123456789";

/** Speaks, then reports an error at HTTP 200. */
export function errorObject(...pieces) {
  return chunks(...pieces.map((content) => chunk({ content })), {
    error: { code: 502, message: SECRET, metadata: { url: "http://10.1.2.3/" } },
  });
}

/** Speaks, then drops the connection in the middle of an event. */
export function cutInEvent(...pieces) {
  return async (reply) => {
    for (const content of pieces) await reply.event(chunk({ content }));
    await reply.raw('data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"cont');
    reply.cut();
  };
}

/** Speaks and ends the body cleanly, with no finish reason and no `[DONE]`. */
export function noFinish(...pieces) {
  return async (reply) => {
    for (const content of pieces) await reply.event(chunk({ content }));
    reply.end();
  };
}

/** Takes the request and never answers, not even with a head. */
export function deaf() {
  return (reply) => reply.gone;
}

/** Sends a head and then nothing. */
export function silent() {
  return async (reply) => {
    await reply.head();
    await reply.gone;
  };
}

/** Says each piece only when the promise beside it has settled: `gated([open, 'One'], [next, ' two'])`. */
export function gated(...pairs) {
  return async (reply) => {
    await reply.head();
    for (const [gate, content] of pairs) {
      await Promise.race([gate, reply.gone]);
      await reply.event(chunk({ content }));
    }
    await reply.event(chunk({}, "stop"));
    await reply.event(usage());
    await reply.raw(DONE);
    reply.end();
  };
}

/** Says `count` words of text as fast as they are taken, then ends well. */
export function long(count) {
  return async (reply) => {
    const hundred = Array.from(
      { length: 100 },
      (_, i) => `data: ${JSON.stringify(chunk({ content: `word${i} ` }))}\n\n`,
    ).join("");
    for (let sent = 0; sent < count; sent += 100) await reply.raw(hundred);
    await reply.event(chunk({}, "stop"));
    await reply.event(usage(10, count));
    await reply.raw(DONE);
    reply.end();
  };
}

/** Sends these exact bytes, cut into packets of `size` bytes. */
export function bytes(buffer, size = buffer.length) {
  return async (reply) => {
    for (let at = 0; at < buffer.length; at += size) await reply.raw(buffer.subarray(at, at + size));
    reply.end();
  };
}

/** The bytes of a reply that ends well; `newline` between the lines. */
export function recorded(values, newline = "\n") {
  const lines = [...values.map((value) => `data: ${JSON.stringify(value)}`), "data: [DONE]"];
  return Buffer.from(lines.map((line) => line + newline + newline).join(""));
}

function json(response, code, body, headers = {}) {
  response.writeHead(code, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

async function readAll(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}
