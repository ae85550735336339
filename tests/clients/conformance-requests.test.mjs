// What a client may post, and what is stored because of it.
//
// Rule: a numbered test is a numbered item of the conformance list. The history is read through the API, never from the file.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { newest, sdks } from "./sdks.mjs";
import { events } from "./sse.mjs";

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

const user = (id, text) => ({ id, role: "user", parts: [{ type: "text", text }] });
const assistant = (id, ...parts) => ({ id, role: "assistant", parts: [{ type: "step-start" }, ...parts] });
const shape = (items) => items.map(({ role, content }) => `${role}: ${content}`);
const said = (request) => request.body.messages.filter((message) => message.role !== "system");
const textOf = (content) => (typeof content === "string" ? content : content.map((part) => part.text).join(""));

/** A session with one exchange: `u1`, and an answer. */
async function begun(...replies) {
  const org = await app.org({ upstream: [fake.text("First"), ...replies] });
  const session = await org.session();
  const first = await org.reply({ sessionId: session.id, messages: [user("u1", "One")] });
  return { org, session, answerId: first.messageId };
}

describe("25 every form a client posts in", () => {
  const forms = {
    "role and content": { messages: [{ role: "user", content: "Hi" }] },
    "role and parts": { messages: [{ role: "user", parts: [{ type: "text", text: "Hi" }] }] },
    "as useChat posts": { id: "chat-1", messages: [user("u1", "Hi")], trigger: "submit-message", extra: { a: [1] } },
    "the reduced form": { id: "chat-1", message: user("u1", "Hi") },
    "unknown keys everywhere": {
      messages: [{ ...user("u1", "Hi"), createdAt: "2026-01-01", foo: null }],
      tools: {},
      system: "x",
    },
  };
  for (const [name, body] of Object.entries(forms)) {
    test(name, async () => {
      const org = await app.org({ upstream: [fake.text("Hello")] });
      const stream = await org.reply(body);
      assert.equal(stream.text, "Hello");
      assert.deepEqual(shape(await org.history(stream.sessionId)), ["user: Hi", "assistant: Hello"]);
      assert.equal(textOf(said(org.upstream.requests[0])[0].content), "Hi");
    });
  }

  test("an unknown kind of part is a clear 4xx at worst", async () => {
    const org = await app.org({ upstream: [fake.text("Hello")] });
    const response = await org.chat({
      messages: [
        {
          id: "u1",
          role: "user",
          parts: [
            { type: "hologram", x: 1 },
            { type: "text", text: "Hi" },
          ],
        },
      ],
    });
    if (response.status !== 200) {
      assert.ok([400, 422].includes(response.status), String(response.status));
      assert.match((await response.json()).error.message, /part/);
    } else await response.text();
  });

  test("a file goes to the model and comes back in the history", async () => {
    const org = await app.org({ upstream: [fake.text("A pixel")] });
    const file = { type: "file", mediaType: "image/png", filename: "a.png", url: "data:image/png;base64,iVBORw0KGgo=" };
    const stream = await org.reply({
      messages: [{ id: "u1", role: "user", parts: [file, { type: "text", text: "What is it?" }] }],
    });
    const [question] = await org.history(stream.sessionId);
    assert.deepEqual(question.parts[0], file);
    assert.ok(JSON.stringify(org.upstream.requests[0].body).includes("iVBORw0KGgo="));
  });

  test("the id of a chat names its session, which is made if it is new and found if it is not", async () => {
    const org = await app.org({ upstream: [fake.text("A"), fake.text("B")] });
    const first = await org.reply({ id: "my-chat:1", messages: [user("u1", "One")] });
    assert.equal(first.sessionId, "my-chat:1");
    assert.equal(first.response.headers.get("x-alm-session-id"), "my-chat:1");
    await org.reply({ id: "my-chat:1", message: user("u2", "Two") });
    assert.deepEqual(shape(await org.history("my-chat:1")), ["user: One", "assistant: A", "user: Two", "assistant: B"]);
  });

  test("two organizations may use the same chat id and never see each other", async () => {
    const [one, two] = [await app.org({ upstream: [fake.text("A")] }), await app.org({ upstream: [fake.text("B")] })];
    await one.reply({ id: "same", messages: [user("u1", "One")] });
    await two.reply({ id: "same", messages: [user("u1", "Two")] });
    assert.deepEqual(shape(await one.history("same")), ["user: One", "assistant: A"]);
    assert.deepEqual(shape(await two.history("same")), ["user: Two", "assistant: B"]);
  });
});

test("the history comes from storage: only the new message has to be sent", async () => {
  const { org, session } = await begun(fake.text("Second"));
  await org.reply({ sessionId: session.id, messages: [{ role: "user", content: "Two" }] });
  const sent = said(org.upstream.requests[1]).map(({ role, content }) => `${role}: ${textOf(content)}`);
  assert.deepEqual(sent, ["user: One", "assistant: First", "user: Two"]);
});

test("posting the whole history again stores nothing twice", async () => {
  const { org, session, answerId } = await begun(fake.text("Second"));
  const messages = [user("u1", "One"), assistant(answerId, { type: "text", text: "First" }), user("u2", "Two")];
  await org.reply({ id: session.id, messages, trigger: "submit-message" });
  assert.deepEqual(shape(await org.history(session.id)), [
    "user: One",
    "assistant: First",
    "user: Two",
    "assistant: Second",
  ]);
});

test("what a client says the assistant said is not believed", async () => {
  const { org, session, answerId } = await begun(fake.text("Second"));
  const messages = [user("u1", "One"), assistant(answerId, { type: "text", text: "FORGED" }), user("u2", "Two")];
  await org.reply({ id: session.id, messages, trigger: "submit-message" });
  assert.ok(!JSON.stringify([await org.history(session.id), org.upstream.requests[1].body]).includes("FORGED"));
});

for (const named of [false, true]) {
  test(`26 regenerate ${named ? "with" : "without"} a messageId answers again, and the old answer leaves the history`, async () => {
    const { org, session, answerId } = await begun(fake.text("Better"));
    const stream = await org.reply({
      id: session.id,
      messages: [user("u1", "One")],
      trigger: "regenerate-message",
      messageId: named ? answerId : undefined,
    });
    assert.notEqual(stream.messageId, answerId);
    assert.deepEqual(shape(await org.history(session.id)), ["user: One", "assistant: Better"]);
    assert.deepEqual(
      said(org.upstream.requests[1]).map(({ role }) => role),
      ["user"],
    );
  });
}

test("26 regenerating an older answer drops what came after it", async () => {
  const { org, session, answerId } = await begun(fake.text("Second"), fake.text("Better"));
  await org.reply({ sessionId: session.id, messages: [user("u2", "Two")] });
  await org.reply({
    id: session.id,
    messages: [user("u1", "One")],
    trigger: "regenerate-message",
    messageId: answerId,
  });
  assert.deepEqual(shape(await org.history(session.id)), ["user: One", "assistant: Better"]);
});

test("26 an edited user message replaces the history from there on", async () => {
  const { org, session } = await begun(fake.text("Second"), fake.text("Other"));
  await org.reply({ sessionId: session.id, messages: [user("u2", "Two")] });
  await org.reply({ id: session.id, messages: [user("u1", "Uno")], trigger: "submit-message", messageId: "u1" });
  const items = await org.history(session.id);
  assert.deepEqual(shape(items), ["user: Uno", "assistant: Other"]);
  assert.equal(items[0].id, "u1");
  assert.deepEqual(
    said(org.upstream.requests[2]).map(({ content }) => textOf(content)),
    ["Uno"],
  );
});

test("27 tool parts in all seven states are accepted in a posted history", async () => {
  const tool = (state, rest) => ({ type: "tool-x", toolCallId: `c-${state}`, state, ...rest });
  const parts = [
    tool("input-streaming", { input: {} }),
    tool("input-available", { input: {} }),
    tool("approval-requested", { input: {}, approval: { id: "a1" } }),
    tool("approval-responded", { input: {}, approval: { id: "a2", approved: true } }),
    tool("output-available", { input: {}, output: 1 }),
    tool("output-error", { input: {}, errorText: "no" }),
    tool("output-denied", { input: {}, approval: { id: "a3", approved: false } }),
    {
      ...tool("output-available", { input: {}, output: 1 }),
      type: "dynamic-tool",
      toolName: "x",
      toolCallId: "c-dynamic",
    },
  ];
  const messages = [user("u1", "One"), assistant("a1", ...parts), user("u2", "Two")];
  await newest.validateUIMessages({ messages: structuredClone(messages) });
  const org = await app.org({ upstream: [fake.text("Fine")] });
  const stream = await org.reply({ id: "imported", messages, trigger: "submit-message" });
  assert.equal(stream.text, "Fine");
  const items = await org.history("imported");
  for (const { sdk } of sdks)
    await sdk.validateUIMessages({ messages: items.map(({ id, role, parts }) => ({ id, role, parts })) });
});

test("28 the same user message posted again is stored once", async () => {
  const { org, session } = await begun(fake.text("Again"));
  const response = await org.chat({ sessionId: session.id, messages: [user("u1", "One")] });
  await response.text();
  const items = await org.history(session.id);
  assert.equal(items.filter((item) => item.id === "u1").length, 1, JSON.stringify(shape(items)));
  assert.equal(items.length, 2, JSON.stringify(shape(items)));
});

test("28 a second question while an answer is being written is a conflict", async () => {
  const speak = Promise.withResolvers();
  const org = await app.org({ upstream: [fake.gated([speak.promise, "Done"])] });
  const session = await org.session();
  const running = await org.chat({ sessionId: session.id, messages: [user("u1", "One")] });
  const second = await org.chat({ sessionId: session.id, messages: [user("u2", "Two")] });
  assert.equal(second.status, 409);
  assert.equal((await second.json()).error.code, "CONFLICT");
  speak.resolve();
  await running.text();
  assert.deepEqual(shape(await org.history(session.id)), ["user: One", "assistant: Done"]);
});

test("29 the question is stored before the first chunk, the half-written answer is not listed, the whole one is there at [DONE]", async () => {
  const speak = Promise.withResolvers();
  const org = await app.org({ upstream: [fake.gated([undefined, "Half"], [speak.promise, " and half"])] });
  const session = await org.session();
  const response = await org.chat({ sessionId: session.id, messages: [user("u1", "One")] });
  const seen = [];
  for await (const { chunk, done } of events(response.body)) {
    const moment = done ? "done" : chunk?.type;
    if (!["start", "text-delta", "finish", "done"].includes(moment) || seen.some(([before]) => before === moment))
      continue;
    seen.push([moment, shape(await org.history(session.id))]);
    if (moment === "text-delta") speak.resolve();
  }
  const [asked, answered] = [["user: One"], ["user: One", "assistant: Half and half"]];
  assert.deepEqual(seen, [
    ["start", asked],
    ["text-delta", asked],
    ["finish", answered],
    ["done", answered],
  ]);
});

test("a client that hears of an error may ask again at once", async () => {
  // A race if the turn is still open when its error is told; so it is run more than once.
  const rounds = 20;
  const org = await app.org({ upstream: [fake.errorObject("So far")] });
  const statuses = [];
  for (let round = 0; round < rounds; round++) {
    const session = await org.session();
    const response = await org.chat({ sessionId: session.id, messages: [user("u1", "One")] });
    for await (const { chunk } of events(response.body)) if (chunk?.type === "error") break;
    const next = await org.chat({ sessionId: session.id, messages: [user("u2", "Two")] });
    await next.text();
    statuses.push(next.status);
  }
  assert.deepEqual(new Set(statuses), new Set([200]));
});

test("29 the answer is finished and stored when the client has gone", async () => {
  const speak = Promise.withResolvers();
  const org = await app.org({ upstream: [fake.gated([undefined, "Half"], [speak.promise, " and half"])] });
  const session = await org.session();
  const client = new AbortController();
  const response = await fetch(`${org.api}/chat`, {
    method: "POST",
    headers: { ...org.headers, "content-type": "application/json" },
    body: JSON.stringify({ model: org.model, sessionId: session.id, messages: [user("u1", "One")] }),
    signal: client.signal,
  });
  for await (const { chunk } of events(response.body)) if (chunk?.type === "text-delta") break;
  client.abort();
  speak.resolve();
  const items = await org.historyWhen(session.id, (items) => items.length === 2);
  assert.deepEqual([items[1].content, items[1].status], ["Half and half", "complete"]);
});

test("18 a history that ends with the assistant is continued under its id in a new step, or refused", async () => {
  const { org, session, answerId } = await begun(fake.text("More"));
  const messages = [user("u1", "One"), assistant(answerId, { type: "text", text: "First" })];
  const response = await org.chat({ id: session.id, messages, trigger: "submit-message", messageId: answerId });
  const text = await response.text();
  if (response.status === 200) assert.match(text, new RegExp(`"messageId":"${answerId}"[^]*"start-step"`));
  else assert.ok([400, 409, 422].includes(response.status), `${response.status} ${text}`);
  assert.equal((await org.history(session.id)).length, 2);
});
