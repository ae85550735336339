// Calls that a person must allow, and tools that the client runs itself, through the SDK's own chat core in every version people have.
//
// Rule: what was really done is counted by the service that the tool calls. Every POST is counted too: a client that posts more
// often than it should is stopped at `POSTS_MAX`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { startAlm } from "./alm.mjs";
import { startCounting } from "./counting.mjs";
import * as fake from "./fake-upstream.mjs";
import { memoryChat, sdks } from "./sdks.mjs";

const POSTS_MAX = 6;
const PARAMETERS = { type: "object", properties: { title: { type: "string" } }, required: ["title"] };
const LOCATION = { description: "Where the person is.", parameters: { type: "object", properties: {} } };
const WHERE = { city: "Ulm" };

let app;
let service;
before(async () => {
  app = await startAlm();
  service = await startCounting();
});
after(async () => {
  await app?.stop();
  await service?.stop();
});

/** An organization whose model follows the script, with a tool `create_ticket` that asks, and `tickets`, where its calls arrive. */
async function withTickets(replies) {
  const org = await app.org({ upstream: replies });
  const tickets = service.endpoint();
  const description = "Opens a ticket.";
  await app.tool(org, {
    name: "create_ticket",
    description,
    inputSchema: PARAMETERS,
    method: "POST",
    url: tickets.url,
    body: "json",
    approval: "ask",
  });
  return { org, tickets };
}

/** A chat of this SDK; `posts` are the bodies that it sent. */
function open(sdk, org, options = {}) {
  const posts = [];
  const counted = (input, init) => {
    if (init?.method === "POST" && posts.push(JSON.parse(init.body)) > POSTS_MAX)
      throw new Error("the client posts without end");
    return fetch(input, init);
  };
  const errors = [];
  const id = options.id ?? `chat-${org.slug}`;
  const chat = memoryChat(sdk, {
    sendAutomaticallyWhen: either(sdk),
    ...options,
    id,
    api: `${org.api}/chat`,
    headers: org.headers,
    fetch: counted,
    transport: { body: { model: org.model, ...options.body } },
    onError: (error) => errors.push(error),
  });
  return { org, chat, posts, errors, stored: () => org.history(id) };
}

/** Both of the SDK's predicates, as a client with approvals and tools of its own uses them. */
const either = (sdk) => (state) =>
  sdk.lastAssistantMessageIsCompleteWithApprovalResponses(state) ||
  sdk.lastAssistantMessageIsCompleteWithToolCalls(state);

const textOf = (message) =>
  message.parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");
const toolsOf = (message) => message.parts.filter(({ toolCallId }) => toolCallId);
const statesOf = (message) => toolsOf(message).map(({ state }) => state);
const approvalsOf = (chat) => toolsOf(chat.messages.at(-1)).map(({ approval }) => approval?.id);

/** What the store holds is what the view holds, and what every SDK takes back. */
async function agree({ chat, stored }) {
  const items = await stored();
  const messages = items.map(({ id, role, parts }) => ({ id, role, parts }));
  assert.deepEqual(
    chat.messages.map(({ id, role }) => [id, role]),
    messages.map(({ id, role }) => [id, role]),
  );
  assert.deepEqual(chat.messages.map(statesOf), messages.map(statesOf));
  assert.deepEqual(chat.messages.map(textOf), messages.map(textOf));
  for (const { sdk } of sdks) await sdk.validateUIMessages({ messages: structuredClone(messages) });
}

/** Turns of the event loop in which a chat that is to send something by itself begins to. */
const TURNS = 20;

/** Resolves once the chat has nothing to do, whatever its own predicates made it send. */
async function settled(chat) {
  for (let idle = 0; idle < TURNS; idle++) {
    await setImmediate();
    if (chat.status === "submitted" || chat.status === "streaming") idle = 0;
  }
}

/** Answers, and waits for what that leads to. */
async function answer(chat, id, approved, reason) {
  await chat.addToolApprovalResponse({ id, approved, ...(reason && { reason }) });
  await settled(chat);
}

const TWO = [
  ["create_ticket", { title: "one" }],
  ["create_ticket", { title: "two" }],
];
const titles = ({ calls }) => calls.map(({ body }) => body.title).sort();

for (const { name, sdk } of sdks) {
  describe(name, () => {
    test("two calls that wait make one POST once both are answered, and each runs once", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(...TWO), fake.text("Both are open.")]);
      const view = open(sdk, org);
      const { chat, posts, errors } = view;
      await chat.sendMessage({ text: "Open two tickets." });
      assert.deepEqual(statesOf(chat.messages[1]), ["approval-requested", "approval-requested"]);
      assert.equal(chat.messages[1].parts.find(({ toolCallId }) => toolCallId).type, "dynamic-tool");
      await agree(view);
      const [first, second] = approvalsOf(chat);
      const { id } = chat.messages[1];

      await answer(chat, first, true);
      assert.deepEqual([posts.length, tickets.calls.length], [1, 0]);
      await answer(chat, second, true);
      assert.deepEqual(errors, []);
      assert.equal(posts.length, 2);
      assert.deepEqual([posts[1].trigger, posts[1].messageId], ["submit-message", id]);
      assert.deepEqual(titles(tickets), ["one", "two"]);
      assert.equal(chat.messages.length, 2);
      assert.deepEqual(statesOf(chat.messages[1]), ["output-available", "output-available"]);
      assert.equal(textOf(chat.messages[1]), "Both are open.");
      await agree(view);

      await chat.sendMessage({ text: "Thanks." });
      await settled(chat);
      assert.equal(posts.length, 3);
      assert.equal(tickets.calls.length, 2);
    });

    test("a no reaches the model with its reason, the call never runs, and the answer goes on", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(...TWO), fake.text("One is open.")]);
      const view = open(sdk, org);
      const { chat, posts, errors } = view;
      await chat.sendMessage({ text: "Open two tickets." });
      const [first, second] = approvalsOf(chat);
      await answer(chat, first, false, "Not on a Friday.");
      await answer(chat, second, true);
      assert.deepEqual([errors, posts.length], [[], 2]);
      assert.deepEqual(titles(tickets), ["two"]);
      assert.deepEqual(statesOf(chat.messages[1]), ["output-denied", "output-available"]);
      assert.match(JSON.stringify(org.upstream.requests[1].body.messages), /Not on a Friday\./);
      assert.equal(textOf(chat.messages[1]), "One is open.");
      await agree(view);
    });

    test("after a reload the stored message is taken, and its answer works", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(TWO[0]), fake.text("It is open.")]);
      const before = open(sdk, org);
      await before.chat.sendMessage({ text: "Open a ticket." });
      const messages = await sdk.validateUIMessages({
        messages: (await before.stored()).map(({ id, role, parts, metadata }) => ({
          id,
          role,
          parts,
          metadata: metadata ?? undefined,
        })),
      });
      const view = open(sdk, org, { messages });
      const { chat, posts, errors } = view;
      assert.equal((await org.data("GET", `/sessions/${chat.id}`)).status, "awaiting_approval");
      await answer(chat, approvalsOf(chat)[0], true);
      assert.deepEqual([errors, posts.length], [[], 1]);
      assert.deepEqual(titles(tickets), ["one"]);
      assert.equal(textOf(chat.messages[1]), "It is open.");
      assert.equal((await org.data("GET", `/sessions/${chat.id}`)).status, "idle");
      await agree(view);
    });

    test("the same answer twice is one run, and the other answer is an error", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(TWO[0]), fake.text("It is open.")]);
      const first = open(sdk, org);
      await first.chat.sendMessage({ text: "Open a ticket." });
      const others = [open(sdk, org), open(sdk, org)];
      for (const { chat } of others) chat.messages = structuredClone(first.chat.messages);
      const [id] = approvalsOf(first.chat);
      await answer(first.chat, id, true);
      await answer(others[0].chat, id, true);
      assert.deepEqual(others[0].errors, []);
      assert.equal(textOf(others[0].chat.messages[1]), "It is open.");
      await agree(others[0]);
      await answer(others[1].chat, id, false);
      const [refused] = others[1].errors;
      assert.match(refused.responseBody ?? refused.message, /This call was allowed at \d\d:\d\d/);
      assert.deepEqual([others[1].posts.length, titles(tickets)], [1, ["one"]]);
    });

    test("who writes instead of answering goes on without the call, and a later click posts nothing", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(TWO[0]), fake.text("Never mind.")]);
      const view = open(sdk, org);
      const { chat, posts, errors } = view;
      await chat.sendMessage({ text: "Open a ticket." });
      const [id] = approvalsOf(chat);
      await chat.sendMessage({ text: "Rather not." });
      await settled(chat);
      assert.deepEqual([errors, posts.length, textOf(chat.messages.at(-1))], [[], 2, "Never mind."]);
      await answer(chat, id, true);
      assert.deepEqual([posts.length, tickets.calls.length], [2, 0]);
      const stored = await view.stored();
      assert.deepEqual(statesOf(stored[1]), ["output-denied"]);
      for (const { sdk } of sdks)
        await sdk.validateUIMessages({ messages: stored.map(({ id, role, parts }) => ({ id, role, parts })) });
    });

    test("what a client posts for the input changes nothing", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(TWO[0]), fake.text("It is open.")]);
      const view = open(sdk, org);
      const { chat } = view;
      await chat.sendMessage({ text: "Open a ticket." });
      const part = toolsOf(chat.messages[1])[0];
      part.input = { title: "something else" };
      await answer(chat, part.approval.id, true);
      assert.deepEqual(titles(tickets), ["one"]);
    });

    const forms = {
      "by name": { getLocation: LOCATION },
      "in a list": [{ name: "getLocation", description: LOCATION.description, inputSchema: LOCATION.parameters }],
    };
    for (const [form, tools] of Object.entries(forms)) {
      test(`a tool of the client's own, declared ${form}, is run by the client`, async () => {
        const org = await app.org({ upstream: [fake.toolCalls(["getLocation", {}]), fake.text("You are in Ulm.")] });
        const seen = [];
        const view = open(sdk, org, {
          body: { tools },
          onToolCall: ({ toolCall }) => {
            seen.push([toolCall.toolName, toolCall.dynamic ?? false]);
            view.chat.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: WHERE });
          },
        });
        const { chat, posts, errors } = view;
        await chat.sendMessage({ text: "Where am I?" });
        await settled(chat);
        assert.deepEqual(errors, []);
        assert.deepEqual(seen, [["getLocation", false]]);
        assert.equal(posts.length, 2);
        const [part] = toolsOf(chat.messages[1]);
        assert.deepEqual([part.type, part.state, part.output], ["tool-getLocation", "output-available", WHERE]);
        assert.equal(textOf(chat.messages[1]), "You are in Ulm.");
        const offered = org.upstream.requests[0].body.tools.map((tool) => tool.function.name);
        assert.ok(offered.includes("getLocation"), offered.join());
        assert.match(JSON.stringify(org.upstream.requests[1].body.messages), /Ulm/);
        await agree(view);
      });
    }

    test("a tool of the client's that failed says so to the model", async () => {
      const org = await app.org({ upstream: [fake.toolCalls(["getLocation", {}]), fake.text("I do not know.")] });
      const view = open(sdk, org, { body: { tools: { getLocation: LOCATION } } });
      const { chat, posts, errors } = view;
      await chat.sendMessage({ text: "Where am I?" });
      const [{ toolCallId }] = toolsOf(chat.messages[1]);
      await chat.addToolOutput({
        tool: "getLocation",
        toolCallId,
        state: "output-error",
        errorText: "Denied by the user",
      });
      await settled(chat);
      assert.deepEqual([errors, posts.length, statesOf(chat.messages[1])], [[], 2, ["output-error"]]);
      assert.match(JSON.stringify(org.upstream.requests[1].body.messages), /Denied by the user/);
      await agree(view);
    });

    test("with both predicates a call to allow and a tool of the client's make one POST once both are answered", async () => {
      const calls = [TWO[0], ["getLocation", {}]];
      const { org, tickets } = await withTickets([fake.toolCalls(...calls), fake.text("Done in Ulm.")]);
      for (const order of ["approval first", "output first"]) {
        const view = open(sdk, org, { id: `${org.slug}-${order[0]}`, body: { tools: { getLocation: LOCATION } } });
        const { chat, posts, errors } = view;
        await chat.sendMessage({ text: "Open a ticket from here." });
        assert.deepEqual(statesOf(chat.messages[1]), ["approval-requested", "input-available"]);
        const [id] = approvalsOf(chat);
        const allow = () => answer(chat, id, true);
        const give = async () => {
          await chat.addToolOutput({ tool: "getLocation", toolCallId: "c2", output: WHERE });
          await settled(chat);
        };
        const [one, two] = order === "approval first" ? [allow, give] : [give, allow];
        await one();
        assert.equal(posts.length, 1, order);
        await two();
        assert.deepEqual([errors, posts.length], [[], 2], order);
        assert.deepEqual(statesOf(chat.messages[1]), ["output-available", "output-available"]);
        await agree(view);
        org.upstream.requests.length = 0;
      }
      assert.equal(tickets.calls.length, 2);
    });

    test("a model that asks again and again makes as many POSTs as a person gives answers", async () => {
      const { org, tickets } = await withTickets([fake.toolCalls(TWO[0])]);
      const session = await org.session({ maxSteps: 2 });
      const { chat, posts, errors } = open(sdk, org, { id: session.id });
      await chat.sendMessage({ text: "Open tickets for ever." });
      for (const rounds of [1, 2, 3]) {
        assert.equal(posts.length, rounds);
        const open = toolsOf(chat.messages.at(-1)).filter(({ state }) => state === "approval-requested");
        assert.equal(open.length, 1);
        await answer(chat, open[0].approval.id, true);
      }
      assert.deepEqual([errors, posts.length, tickets.calls.length], [[], 4, 3]);
    });
  });
}

test("a client tool that an agent has needs no word in the body", async () => {
  const org = await app.org({ upstream: [fake.toolCalls(["getLocation", {}]), fake.text("In Ulm.")] });
  const clientTools = [{ name: "getLocation", description: LOCATION.description, inputSchema: LOCATION.parameters }];
  const agent = await org.data("POST", "/agents", { name: "Here", clientTools });
  const { id } = await org.data("POST", "/sessions", { label: "test", agentId: agent.id });
  const { sdk } = sdks[2];
  const view = open(sdk, org, { id });
  await view.chat.sendMessage({ text: "Where am I?" });
  assert.deepEqual(statesOf(view.chat.messages[1]), ["input-available"]);
  await view.chat.addToolOutput({ tool: "getLocation", toolCallId: "c1", output: WHERE });
  await settled(view.chat);
  assert.deepEqual([view.errors, view.posts.length], [[], 2]);
  assert.equal(textOf(view.chat.messages[1]), "In Ulm.");
});
