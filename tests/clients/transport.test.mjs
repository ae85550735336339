// Whole conversations through the SDK's own chat core, in every version people have.
//
// Rule: what the view shows at the end is compared with what the server stored. Every POST is counted, and a client that posts
// more often than it should is stopped at `POSTS_MAX`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { Chat as ReactChat } from "@ai-sdk/react";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { memoryChat, newest, sdks } from "./sdks.mjs";

const POSTS_MAX = 6;

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

/** A chat of this SDK with an organization of its own; `posts` are the bodies it sent. */
async function open(sdk, replies, options = {}) {
  const org = options.org ?? (await app.org({ upstream: replies }));
  const id = options.id ?? `chat-${org.slug}`;
  const posts = [];
  const counted = (input, init) => {
    if (init?.method === "POST" && posts.push(JSON.parse(init.body)) > POSTS_MAX)
      throw new Error("the client posts without end");
    return fetch(input, init);
  };
  const errors = [];
  const chat = memoryChat(sdk, {
    ...options,
    id,
    api: `${org.api}/chat`,
    headers: org.headers,
    fetch: counted,
    transport: { body: { model: org.model }, ...options.transport },
    onError: (error) => errors.push(error),
  });
  return { org, chat, posts, errors, stored: () => org.history(id) };
}

const textOf = (message) =>
  message.parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");
const shown = (chat) => chat.messages.map((message) => `${message.role}: ${textOf(message)}`);
const kept = (items) => items.map((item) => `${item.role}: ${item.content}`);

/** The view and the store agree, message by message. */
async function agree({ chat, stored }) {
  const items = await stored();
  assert.deepEqual(shown(chat), kept(items));
  assert.deepEqual(
    chat.messages.map((message) => message.id),
    items.map((item) => item.id),
  );
}

for (const { name, sdk } of sdks) {
  describe(name, () => {
    test("a conversation of three turns", async () => {
      const view = await open(sdk, [fake.text("A", "1"), fake.reasoning("Hm", "A2"), fake.text("A3")]);
      const { chat, posts, errors } = view;
      for (const text of ["Q1", "Q2", "Q3"]) await chat.sendMessage({ text });
      assert.deepEqual(errors, []);
      assert.equal(chat.status, "ready");
      assert.deepEqual(shown(chat), [
        "user: Q1",
        "assistant: A1",
        "user: Q2",
        "assistant: A2",
        "user: Q3",
        "assistant: A3",
      ]);
      assert.equal(posts.length, 3);
      assert.equal(chat.messages.at(-1).metadata.sessionId, chat.id);
      assert.ok(chat.messages.at(-1).metadata.usage.totalTokens > 0);
      await agree(view);
    });

    test("19 a tool the server runs is shown with its output, and nothing is posted again", async () => {
      const view = await open(sdk, [fake.toolCall("current_time"), fake.text("Noon.")], {
        sendAutomaticallyWhen: sdk.lastAssistantMessageIsCompleteWithToolCalls,
      });
      const { chat, posts, errors } = view;
      await chat.sendMessage({ text: "What time is it?" });
      await chat.sendMessage({ text: "Thanks." });
      assert.deepEqual(errors, []);
      assert.equal(posts.length, 2);
      const tool = chat.messages[1].parts.find((part) => part.type === "tool-current_time");
      assert.equal(tool.state, "output-available");
      assert.ok(JSON.stringify(tool.output).length > 2);
      await agree(view);
    });

    const endings = {
      "a model that only ever calls tools": [fake.toolCall("current_time")],
      "tool arguments cut by the cap": [fake.toolCall("current_time", ['{"utcOffsetMinutes": 6'], "length")],
      "a tool that does not exist": [fake.toolCall("launch_rockets"), fake.text("I cannot.")],
    };
    for (const [ending, replies] of Object.entries(endings)) {
      test(`19 ${ending} does not make the client post without end`, async () => {
        const org = await app.org({ upstream: replies });
        const session = await org.session({ maxSteps: 3 });
        const { chat, posts } = await open(sdk, [], {
          org,
          id: session.id,
          sendAutomaticallyWhen: sdk.lastAssistantMessageIsCompleteWithToolCalls,
        });
        await chat.sendMessage({ text: "Go." });
        assert.equal(
          posts.length,
          1,
          chat.messages
            .at(-1)
            ?.parts.map((part) => `${part.type} ${part.state ?? ""}`)
            .join(", "),
        );
        assert.ok(org.upstream.requests.length <= 4, String(org.upstream.requests.length));
      });
    }

    for (const named of [false, true]) {
      test(`26 regenerate ${named ? "with" : "without"} a messageId`, async () => {
        const view = await open(sdk, [fake.text("A1"), fake.text("Better")]);
        const { chat, posts, errors } = view;
        await chat.sendMessage({ text: "Q1" });
        await chat.regenerate(named ? { messageId: chat.messages.at(-1).id } : undefined);
        assert.deepEqual(errors, []);
        assert.equal(posts[1].trigger, "regenerate-message");
        assert.deepEqual(shown(chat), ["user: Q1", "assistant: Better"]);
        await agree(view);
      });
    }

    test("26 an edited question replaces what followed", async () => {
      const view = await open(sdk, [fake.text("A1"), fake.text("A2"), fake.text("Other")]);
      const { chat, errors } = view;
      await chat.sendMessage({ text: "Q1" });
      await chat.sendMessage({ text: "Q2" });
      await chat.sendMessage({ text: "Uno", messageId: chat.messages[0].id });
      assert.deepEqual(errors, []);
      assert.deepEqual(shown(chat), ["user: Uno", "assistant: Other"]);
      await agree(view);
    });

    test("an error in mid-stream is shown, the text so far stays, and the next question works", async () => {
      const view = await open(sdk, [fake.errorObject("So far"), fake.text("A2")]);
      const { chat, errors } = view;
      await chat.sendMessage({ text: "Q1" });
      assert.deepEqual([chat.status, errors.length, textOf(chat.messages.at(-1))], ["error", 1, "So far"]);
      assert.ok(!/sk-|AI_|JSON/.test(errors[0].message), errors[0].message);
      await chat.sendMessage({ text: "Q2" });
      assert.deepEqual([chat.status, textOf(chat.messages.at(-1))], ["ready", "A2"]);
      await agree(view);
    });

    test("a failure before the stream reaches the view as the envelope", async () => {
      const { chat, errors } = await open(sdk, [fake.status(500)]);
      await chat.sendMessage({ text: "Q1" });
      assert.equal(chat.status, "error");
      const body = JSON.parse(errors[0].responseBody ?? errors[0].message);
      assert.deepEqual([body.success, body.error.code], [false, "MODEL_UNAVAILABLE"]);
    });

    test("the reduced form {message, id}", async () => {
      const org = await app.org({ upstream: [fake.text("A1"), fake.text("A2")] });
      const prepareSendMessagesRequest = ({ id, messages }) => ({
        body: { message: messages.at(-1), id, model: org.model },
      });
      const view = await open(sdk, [], { org, transport: { prepareSendMessagesRequest } });
      for (const text of ["Q1", "Q2"]) await view.chat.sendMessage({ text });
      assert.deepEqual(view.errors, []);
      assert.deepEqual(Object.keys(view.posts[1]).sort(), ["id", "message", "model"]);
      await agree(view);
    });

    test("a chat that is opened again from the stored history goes on", async () => {
      const { org, chat } = await open(sdk, [fake.toolCall("current_time"), fake.text("A1"), fake.text("A2")]);
      await chat.sendMessage({ text: "Q1" });
      const messages = await sdk.validateUIMessages({
        messages: (await org.history(chat.id)).map(({ id, role, parts, metadata }) => ({
          id,
          role,
          parts,
          metadata: metadata ?? undefined,
        })),
      });
      const again = await open(sdk, [], { org, id: chat.id, messages });
      await again.chat.sendMessage({ text: "Q2" });
      assert.deepEqual(again.errors, []);
      assert.deepEqual(shown(again.chat).slice(-2), ["user: Q2", "assistant: A2"]);
      await agree(again);
    });

    test("29 a client that leaves in mid-answer finds the whole answer stored", async () => {
      const speak = Promise.withResolvers();
      const { org, chat } = await open(sdk, [fake.gated([undefined, "Half"], [speak.promise, " and half"])]);
      const sending = chat.sendMessage({ text: "Q1" });
      await shownText(chat, "Half");
      await chat.stop();
      await sending;
      speak.resolve();
      const items = await org.historyWhen(chat.id, (items) => items.length === 2);
      assert.deepEqual([items[1].content, items[1].status], ["Half and half", "complete"]);
    });
  });
}

test("useChat's own Chat class holds a conversation", async () => {
  const org = await app.org({ upstream: [fake.text("A1"), fake.toolCall("current_time"), fake.text("A2")] });
  const chat = new ReactChat({
    id: "react-chat",
    transport: new newest.DefaultChatTransport({
      api: `${org.api}/chat`,
      headers: org.headers,
      body: { model: org.model },
    }),
  });
  await chat.sendMessage({ text: "Q1" });
  await chat.sendMessage({ text: "Q2" });
  assert.equal(chat.error, undefined);
  await agree({ chat, stored: () => org.history("react-chat") });
});

/** Resolves once the chat shows this text. The chat core tells nobody of its changes, so each turn of the event loop looks. */
async function shownText(chat, text) {
  const shows = (message) => message?.role === "assistant" && textOf(message).includes(text);
  while (!shows(chat.messages.at(-1))) {
    assert.notEqual(chat.status, "error", chat.error?.message);
    await setImmediate();
  }
}
