// A page that is reloaded in mid-answer, in every version people have: it asks for the stored history, then for the running
// answer, as `useChat({ messages, resume: true })` does.
//
// Rule: what a page shows at the end is compared with what the server stored.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { memoryChat, newest, sdks } from "./sdks.mjs";

/** Pages that are opened one after the other while one answer is written. */
const PAGES = 3;

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

/** A page: the chat of that version, with the history as the server lists it at this moment. */
async function page({ sdk, Chat }, org, id) {
  const stored = await org.request("GET", `/sessions/${encodeURIComponent(id)}/messages`);
  const items = stored.status === 404 ? [] : (await stored.json()).data.items;
  const messages = items.map(({ id, role, parts, metadata }) => ({ id, role, parts, metadata: metadata ?? undefined }));
  if (messages.length) await sdk.validateUIMessages({ messages });
  const errors = [];
  const about = { id, messages, onError: (error) => errors.push(error) };
  const way = { api: `${org.api}/chat`, headers: org.headers, body: { model: org.model } };
  const chat = Chat
    ? new Chat({ ...about, transport: new sdk.DefaultChatTransport(way) })
    : memoryChat(sdk, { ...about, ...way, transport: { body: way.body } });
  return { chat, errors, listed: items.map((item) => item.role) };
}

const textOf = (message) =>
  message.parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");

/** Resolves once the page shows this text. A chat tells nobody of its changes, so each turn of the event loop looks. */
async function shows({ chat }, text) {
  while (!(chat.lastMessage?.role === "assistant" && textOf(chat.lastMessage).includes(text))) {
    assert.notEqual(chat.status, "error", chat.error?.message);
    await setImmediate();
  }
}

/** What matters of a message: its id, and its parts without what a client keeps for itself. */
const essence = ({ id, role, parts }) => ({
  id,
  role,
  parts: parts.map(({ type, text, toolCallId, state, input, output }) =>
    JSON.parse(JSON.stringify({ type, text, toolCallId, state, input, output })),
  ),
});

/** All pages show what the server stored. */
async function agree(org, id, pages) {
  const items = await org.history(id);
  for (const { chat, errors } of pages) {
    assert.deepEqual(errors, []);
    assert.equal(chat.status, "ready");
    assert.deepEqual(chat.messages.map(essence), items.map(essence));
  }
  return items;
}

for (const version of sdks) {
  describe(version.name, () => {
    test("a page that is reloaded in mid-answer shows the whole answer once", async () => {
      const [more, end] = [Promise.withResolvers(), Promise.withResolvers()];
      const upstream = [
        fake.text("Before"),
        fake.gated([undefined, "One"], [more.promise, " two"], [end.promise, " three"]),
      ];
      const org = await app.org({ upstream });
      // An id that has to be encoded in a path, by the clients that do.
      const id = `page:${org.slug}.1`;
      const first = await page(version, org, id);
      await first.chat.sendMessage({ text: "Q1" });
      const sending = first.chat.sendMessage({ text: "Q2" });
      await shows(first, "One");
      const reloaded = await page(version, org, id);
      assert.deepEqual(reloaded.listed, ["user", "assistant", "user"], "the half-written answer is not listed");
      const resuming = [reloaded.chat.resumeStream()];
      await shows(reloaded, "One");
      more.resolve();
      await shows(reloaded, "One two");
      const again = await page(version, org, id);
      resuming.push(again.chat.resumeStream());
      await shows(again, "One two");
      end.resolve();
      await Promise.all([sending, ...resuming]);
      const items = await agree(org, id, [first, reloaded, again]);
      assert.equal(items.at(-1).content, "One two three");
      assert.equal(org.upstream.requests.length, 2, "nobody asked the model again");
      console.log(`proof: resume.pages.${version.name.replaceAll(" ", "-")} ${PAGES}`);
    });

    test("a tool that has run by then is shown with its output", async () => {
      const speak = Promise.withResolvers();
      const org = await app.org({
        upstream: [fake.toolCall("current_time"), fake.gated([undefined, "It is"], [speak.promise, " noon"])],
      });
      const first = await page(version, org, "tool");
      const sending = first.chat.sendMessage({ text: "What time is it?" });
      await shows(first, "It is");
      const reloaded = await page(version, org, "tool");
      const resuming = reloaded.chat.resumeStream();
      await shows(reloaded, "It is");
      speak.resolve();
      await Promise.all([sending, resuming]);
      const [, answer] = await agree(org, "tool", [first, reloaded]);
      assert.ok(answer.parts.some((part) => part.state === "output-available"));
    });

    test("a page that is reloaded while an earlier answer goes on shows all of it once", async () => {
      const speak = Promise.withResolvers();
      const org = await app.org({ upstream: [fake.gated([undefined, "It is"], [speak.promise, " sunny"])] });
      const { id } = await org.session();
      const call = { type: "tool-weather", toolCallId: "c1", state: "input-available", input: { city: "Ulm" } };
      const parts = [{ type: "step-start" }, { type: "text", text: "Let me see.", state: "done" }, call];
      await org.data("POST", `/sessions/${id}/messages`, { role: "user", content: "Weather?" });
      await org.data("POST", `/sessions/${id}/messages`, { role: "assistant", parts });
      const first = await page(version, org, id);
      await first.chat.addToolOutput({ tool: "weather", toolCallId: "c1", output: "sun" });
      const sending = first.chat.sendMessage();
      await shows(first, "It is");
      const reloaded = await page(version, org, id);
      const resuming = reloaded.chat.resumeStream();
      await shows(reloaded, "It is");
      speak.resolve();
      await Promise.all([sending, resuming]);
      const [, answer] = await agree(org, id, [first, reloaded]);
      assert.equal(answer.content, "Let me see.It is sunny");
      assert.deepEqual(
        answer.parts.map((part) => part.state ?? part.type),
        ["step-start", "done", "output-available", "step-start", "done"],
      );
    });

    test("a page that is opened when nothing runs stays as it is", async () => {
      const org = await app.org({ upstream: [fake.text("Hello")] });
      const unknown = await page(version, org, "idle");
      await unknown.chat.resumeStream();
      assert.deepEqual([unknown.chat.status, unknown.chat.messages, unknown.errors], ["ready", [], []]);
      await (await page(version, org, "idle")).chat.sendMessage({ text: "Hi" });
      const reloaded = await page(version, org, "idle");
      await reloaded.chat.resumeStream();
      await agree(org, "idle", [reloaded]);
    });

    test("a stop ends the answer on every page, and what it said is kept", async () => {
      const silent = async (reply) => {
        await reply.event(fake.chunk({ content: "So far" }));
        await reply.event(fake.call({ index: 0, id: "c1", name: "current_time", args: '{"utc' }));
        await reply.gone;
      };
      const org = await app.org({ upstream: [silent, fake.text("On.")] });
      const first = await page(version, org, "stop");
      const sending = first.chat.sendMessage({ text: "Go" });
      await shows(first, "So far");
      const reloaded = await page(version, org, "stop");
      const resuming = reloaded.chat.resumeStream();
      await shows(reloaded, "So far");
      const stopped = await org.data("POST", "/chat/stop/stop", {});
      await Promise.all([sending, resuming]);
      for (const { chat, errors } of [first, reloaded]) {
        assert.deepEqual([chat.status, errors, textOf(chat.lastMessage)], ["ready", [], "So far"]);
        assert.equal(chat.lastMessage.id, stopped.messageId);
      }
      const [, answer] = await org.history("stop");
      assert.deepEqual([answer.id, answer.status, answer.content], [stopped.messageId, "stopped", "So far"]);
      assert.deepEqual(
        answer.parts.filter((part) => part.state).map((part) => part.state),
        ["done", "output-error"],
      );
      // A page that is loaded now takes the history, and goes on.
      const after = await page(version, org, "stop");
      await after.chat.sendMessage({ text: "And?" });
      await agree(org, "stop", [after]);
    });

    const again = [
      ["the last answer", () => undefined, ["Q1", "A1", "Q2", "Other"]],
      ["an earlier answer", (messages) => messages[1].id, ["Q1", "Other"]],
      ["an earlier question", (messages) => messages[0].id, ["Q1", "Other"]],
    ];
    for (const [what, named, history] of again) {
      test(`26 ${what} is given again, and a page that is loaded then shows it`, async () => {
        const org = await app.org({ upstream: [fake.text("A1"), fake.text("A2"), fake.text("Other")] });
        const first = await page(version, org, "again");
        await first.chat.sendMessage({ text: "Q1" });
        await first.chat.sendMessage({ text: "Q2" });
        const messageId = named(first.chat.messages);
        await first.chat.regenerate(messageId && { messageId });
        const items = await agree(org, "again", [first, await page(version, org, "again")]);
        assert.deepEqual(
          items.map((item) => item.content),
          history,
        );
      });
    }

    test("26 an answer that was stopped before its first word is given again by its id", async () => {
      const org = await app.org({ upstream: [fake.silent(), fake.text("Here")] });
      const first = await page(version, org, "unsaid");
      const sending = first.chat.sendMessage({ text: "Q1" });
      while (first.chat.lastMessage?.role !== "assistant") await setImmediate();
      await org.data("POST", "/chat/unsaid/stop", {});
      await sending;
      await first.chat.regenerate({ messageId: first.chat.lastMessage.id });
      const items = await agree(org, "unsaid", [first]);
      assert.deepEqual(
        items.map((item) => item.content),
        ["Q1", "Here"],
      );
    });
  });
}

for (const version of sdks.filter(({ sdk, name }) => sdk === newest || name === "ai 7")) {
  test(`${version.name}: a page that lost its connection goes on with the answer, which it shows once`, async () => {
    const speak = Promise.withResolvers();
    const org = await app.org({ upstream: [fake.gated([undefined, "One"], [speak.promise, " two"])] });
    const first = await page(version, org, "lost");
    const sending = first.chat.sendMessage({ text: "Q1" });
    await shows(first, "One");
    await first.chat.stop();
    await sending;
    const resuming = first.chat.resumeStream();
    speak.resolve();
    await resuming;
    await agree(org, "lost", [first]);
  });
}
