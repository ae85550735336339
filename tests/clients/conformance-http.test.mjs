// The chat endpoint as HTTP: head, pace, and every way to fail before and after the stream has begun.
//
// Rule: a numbered test is a numbered item of the conformance list. Nothing waits for a clock: an upstream that waits, waits
// for the test. The two exceptions are the server's own waits, for a head and for its heartbeat, which the test can only sit out.

import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { after, before, describe, test } from "node:test";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { events, readStream } from "./sse.mjs";

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

const hello = { messages: [{ role: "user", content: "Hello" }] };

/** Posts with bare `node:http`, which adds no header and hides none. */
async function post(org, body, headers = {}) {
  const text = JSON.stringify({ model: org.model, ...body });
  const outgoing = request(`${org.api}/chat`, {
    method: "POST",
    headers: {
      ...org.headers,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
      ...headers,
    },
  });
  outgoing.end(text);
  const [response] = await once(outgoing, "response");
  return response;
}

/** The envelope of a failure, checked. */
async function failure(response, status, code) {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.match(response.headers.get("content-type"), /^application\/json/);
  const body = JSON.parse(text);
  assert.deepEqual([body.success, body.error.code], [false, code], text);
  assert.ok(body.error.message.length > 0 && body.error.requestId === response.headers.get("x-request-id"), text);
  return body.error;
}

test("1 the head has the five headers of the protocol, no length and no encoding", async () => {
  const org = await app.org({ upstream: [fake.text("Hi")] });
  const response = await post(org, hello, { "accept-encoding": "gzip, br" });
  response.resume();
  assert.equal(response.statusCode, 200);
  const expected = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    connection: "keep-alive",
    "x-vercel-ai-ui-message-stream": "v1",
    "x-accel-buffering": "no",
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(response.headers[name], value, name);
  for (const name of ["content-length", "content-encoding"]) assert.equal(response.headers[name], undefined, name);
  await once(response, "end");
});

for (const accept of [undefined, "text/event-stream", "*/*", "application/json"]) {
  test(`2 a client that sends ${accept ? `Accept: ${accept}` : "no Accept"} gets a stream`, async () => {
    const org = await app.org({ upstream: [fake.text("Hi")] });
    const response = await post(org, hello, accept ? { accept } : {});
    assert.equal(response.headers["content-type"], "text/event-stream");
    const all = [];
    for await (const event of events(response)) all.push(event);
    assert.ok(all.at(-1).done);
  });
}

test("3 the head and the start leave before the model has said a word", async () => {
  const speak = Promise.withResolvers();
  const org = await app.org({ upstream: [fake.gated([speak.promise, "At last"])] });
  const response = await org.chat(hello);
  const reader = events(response.body);
  assert.equal((await reader.next()).value.comment, "stream-open");
  assert.equal((await reader.next()).value.chunk.type, "start");
  speak.resolve();
  let last;
  for await (const event of reader) last = event;
  assert.ok(last.done);
});

test("3 each word leaves before the next one comes", async () => {
  const words = ["one ", "two ", "three ", "four ", "five"];
  const gates = words.map(() => Promise.withResolvers());
  const org = await app.org({ upstream: [fake.gated(...words.map((word, at) => [gates[at].promise, word]))] });
  gates[0].resolve();
  let text = "";
  for await (const { chunk } of events((await org.chat(hello)).body)) {
    if (chunk?.type !== "text-delta") continue;
    text += chunk.delta;
    // The next word exists only once this one has arrived, so a buffer anywhere would hang here.
    const whole = words.findIndex((_, at) => words.slice(0, at + 1).join("") === text);
    if (whole >= 0) gates[whole + 1]?.resolve();
  }
  assert.equal(text, words.join(""));
});

test("3 a model that is slow to answer at all gets a stream, not an error", async () => {
  const org = await app.org({ upstream: [fake.deaf()] });
  const response = await org.chat(hello);
  assert.equal(response.status, 200);
  const reader = events(response.body);
  assert.equal((await reader.next()).value.comment, "stream-open");
  assert.equal((await reader.next()).value.chunk.type, "start");
  await reader.return();
});

test("5 a silent model is covered by comments, never by an empty event", async () => {
  const org = await app.org({ upstream: [fake.silent()] });
  const heard = [];
  for await (const event of events((await org.chat(hello)).body)) {
    heard.push(event.comment ?? event.chunk.type);
    if (event.comment === "keep-alive") break;
  }
  assert.deepEqual(
    heard.filter((word) => word !== "start-step"),
    ["stream-open", "start", "keep-alive"],
  );
});

describe("4 what fails before the stream is a status and the envelope", () => {
  const cases = {
    "no key": [{ authorization: "" }, hello, 401, "UNAUTHORIZED"],
    "a key that never was": [{ authorization: `Bearer alm_live_${"0".repeat(48)}` }, hello, 401, "UNAUTHORIZED"],
    "another organization's name": [{ "x-alumia-org": "somebody-else" }, hello, 403, "FORBIDDEN"],
    "no messages": [{}, {}, 400, "BAD_REQUEST"],
    "messages of a wrong type": [{}, { messages: "Hello" }, 400, "BAD_REQUEST"],
    "an unknown session": [{}, { ...hello, sessionId: "no-such-session" }, 404, "NOT_FOUND"],
    "an unknown agent": [{}, { ...hello, agentId: "no-such-agent" }, 404, "NOT_FOUND"],
    "an unknown model": [{}, { ...hello, model: "fake/unheard-of" }, 422, "VALIDATION_ERROR"],
  };
  for (const [name, [headers, body, status, code]] of Object.entries(cases)) {
    test(name, async () => {
      const org = await app.org({ upstream: [fake.text("never")] });
      const error = await failure(await org.chat(body, headers), status, code);
      assert.equal(org.upstream.requests.length, 0, "the model was not asked");
      if (status === 401) assert.ok(!JSON.stringify(error).includes("alm_live_"));
    });
  }

  test("a body that is not JSON, or not declared as JSON", async () => {
    const org = await app.org();
    const send = (body, type) =>
      fetch(`${org.api}/chat`, { method: "POST", body, headers: { ...org.headers, "content-type": type } });
    await failure(await send('{"messages":', "application/json"), 400, "BAD_REQUEST");
    await failure(await send("", "application/json"), 400, "BAD_REQUEST");
    await failure(await send(JSON.stringify(hello), "text/plain"), 400, "BAD_REQUEST");
  });

  test("an empty balance and a paid model", async () => {
    const org = await app.org({ upstream: [fake.text("never")], price: "1/2" });
    const error = await failure(await org.chat(hello), 402, "PAYMENT_REQUIRED");
    assert.deepEqual(error.details, { balanceMicrocents: 0, model: "fake/m" });
    assert.equal(org.upstream.requests.length, 0);
  });

  const upstreams = {
    "an upstream that refuses our key": fake.status(401),
    "an upstream that knows no such model": fake.status(404),
    "an upstream that is out of breath": fake.status(429, { "retry-after": "60" }),
    "an upstream that broke": fake.status(500),
    "an upstream that drops the connection": async (reply) => reply.cut(),
  };
  for (const [name, reply] of Object.entries(upstreams)) {
    test(`${name}, and leaves no trace`, async () => {
      // It fails until it is told not to, however often it is asked.
      let repaired = false;
      const org = await app.org({ upstream: [(...call) => (repaired ? fake.text("Fine now") : reply)(...call)] });
      const session = await org.session();
      const response = await org.chat({ ...hello, sessionId: session.id });
      const text = await response.clone().text();
      assert.ok([502, 503].includes(response.status), `${response.status} ${text}`);
      await failure(response, response.status, response.status === 502 ? "MODEL_UNAVAILABLE" : "SERVICE_UNAVAILABLE");
      assert.ok(!text.includes("sk-leaked") && !text.includes(new URL(org.upstream.baseUrl).host), text);
      assert.deepEqual(await org.history(session.id), []);
      repaired = true;
      assert.equal((await org.reply({ ...hello, sessionId: session.id })).text, "Fine now");
      assert.equal((await org.history(session.id)).length, 2);
    });
  }

  test("an upstream nobody listens at", async () => {
    const org = await app.org();
    await app.cli(
      "providers",
      "add",
      "--org",
      org.slug,
      "--slug",
      "gone",
      "--base-url",
      "http://127.0.0.1:1/v1",
      "--model",
      "m",
    );
    await failure(await org.chat({ ...hello, model: "gone/m" }), 502, "MODEL_UNAVAILABLE");
  });
});

test("an upstream that answers with a page instead of a stream is an error, and nobody sees the page", async () => {
  const page = async (reply) => {
    await reply.head(200, { "content-type": "text/html" });
    await reply.raw("<html>Welcome to nginx</html>");
    reply.end();
  };
  const response = await (await app.org({ upstream: [page] })).chat(hello);
  const text = await response.text();
  assert.ok(response.status === 502 || text.includes('{"type":"error"'), text);
  assert.ok(!text.includes("nginx"), text);
});

test("6 a stream that fails still ends with [DONE] and an end of body", async () => {
  const org = await app.org({ upstream: [fake.cutInEvent("Half")] });
  const stream = await readStream(await org.chat(hello));
  assert.ok(stream.types.includes("error"));
});

test("33 a reader that does not read holds up neither the turn nor anybody else", async () => {
  const org = await app.org({ upstream: [fake.long(50_000), fake.text("Quick")] });
  const session = await org.session();
  const stuck = await post(org, { ...hello, sessionId: session.id });
  stuck.pause();
  const [, answer] = await org.historyWhen(session.id, (items) => items.length === 2);
  assert.equal(answer.status, "complete");
  assert.ok(answer.content.length > 300_000);
  assert.equal((await org.reply(hello)).text, "Quick");
  // What it did not read is still there for it, to the end.
  let last;
  for await (const event of events(stuck)) last = event;
  assert.ok(last.done);
});
