// The public quickstart, word by word, by the curl of this machine. Only what the guide tells the reader to fill in is filled in.
//
// Rule: the commands below are copies. If one of them must change for the tests to pass, the server is wrong.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { events, readStream } from "./sse.mjs";

const LIST_AGENTS = String.raw`curl https://alumia.com/api/v1/agents \
-H "Authorization: Bearer alm_live_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
-H "X-Alumia-Org: your-org"`;

const CREATE_SESSION = String.raw`curl -X POST https://alumia.com/api/v1/sessions \
-H "Authorization: Bearer alm_live_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
-H "X-Alumia-Org: your-org" \
-H "Content-Type: application/json" \
-d '{
"label": "API quickstart",
"agentId": "<agent-id-from-step-2>"
}'`;

const CHAT = String.raw`curl -N -X POST https://alumia.com/api/v1/chat \
-H "Authorization: Bearer alm_live_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
-H "X-Alumia-Org: your-org" \
-H "Content-Type: application/json" \
-H "Accept: text/event-stream" \
-d '{
"sessionId": "<session-id-from-step-3>",
"agentId": "<agent-id-from-step-2>",
"messages": [
{ "role": "user", "content": "Summarise the periodic table in 3 sentences." }
]
}'`;

const HISTORY = String.raw`curl https://alumia.com/api/v1/sessions/{{sessionId}}/messages \
-H "Authorization: Bearer alm_live_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
-H "X-Alumia-Org: your-org"`;

const CHATS_MAX = 200;

let app;
let org;
let agentId;
let sessionId;
before(async () => {
  app = await startAlm();
  org = await app.org();
});
after(() => app?.stop());

/** The command with the reader's own words in it. */
function filledIn(command, reader = org) {
  return command
    .replaceAll("https://alumia.com", reader.base)
    .replaceAll("alm_live_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", reader.key)
    .replaceAll("your-org", reader.slug)
    .replaceAll("<agent-id-from-step-2>", agentId)
    .replaceAll(/<session-id-from-step-3>|\{\{sessionId\}\}/g, sessionId);
}

/** Runs a command as it is typed; `more` are further arguments. Answers curl's status, headers and body. */
async function typed(command, reader, more = "") {
  const separator = "\n--status--";
  const line = `${filledIn(command, reader)} ${more} -sS -w '${separator}%{http_code}\\n%{header_json}'`;
  const { stdout } = await promisify(execFile)("bash", ["-c", line], { maxBuffer: 64 << 20 });
  const at = stdout.lastIndexOf(separator);
  const [status, ...headers] = stdout.slice(at + separator.length).split("\n");
  return { status: Number(status), headers: JSON.parse(headers.join("\n")), body: stdout.slice(0, at) };
}

async function data(command) {
  const { status, body } = await typed(command);
  const json = JSON.parse(body);
  assert.ok(status < 300 && body.startsWith('{"success":true,"data":'), body);
  return json.data;
}

/** A streamed reply that curl has read. */
async function streamed(command) {
  const { status, headers, body } = await typed(command);
  return readStream({
    status,
    headers: new Headers(Object.entries(headers).map(([k, v]) => [k, v.join()])),
    body: [Buffer.from(body)],
    text: () => body,
  });
}

test("step 1: the key has the promised form", () => {
  assert.match(org.key, /^alm_live_[0-9a-f]{48}$/);
});

test("step 2: the agents are listed in an envelope, Ala first", async () => {
  const { items } = await data(LIST_AGENTS);
  assert.deepEqual([items[0].name, items[0].slug, items[0].isActive], ["Ala", "ala", true]);
  agentId = items[0].id;
  assert.ok(agentId);
});

test("step 3: a session is made and has an id", async () => {
  const { status, body } = await typed(CREATE_SESSION);
  assert.equal(status, 201, body);
  const session = JSON.parse(body).data;
  assert.deepEqual(
    [session.label, session.agentId, session.agentName, session.messageCount, session.status],
    ["API quickstart", agentId, "Ala", 0, "idle"],
  );
  sessionId = session.id;
});

test("step 4: the reply is streamed as UI message chunks", async () => {
  const stream = await streamed(CHAT);
  assert.equal(stream.response.headers.get("content-type"), "text/event-stream");
  assert.equal(stream.response.headers.get("x-vercel-ai-ui-message-stream"), "v1");
  assert.deepEqual([stream.types[0], stream.types.at(-1)], ["start", "finish"]);
  assert.match(stream.text, /element/i);
  assert.ok(stream.of("text-delta").length > 10, "word by word");
  assert.equal(stream.only("finish").finishReason, "stop");
  assert.ok(stream.only("finish").messageMetadata.usage.outputTokens > 0);
});

test("step 4: -N shows each word as it arrives", async () => {
  const words = ["One ", "two ", "three."];
  const gates = words.map(() => Promise.withResolvers());
  const slow = await app.org({ upstream: [fake.gated(...words.map((word, at) => [gates[at].promise, word]))] });
  gates[0].resolve();
  const anew = CHAT.replace(/"(session|agent)Id": "[^"]*",\n/g, "").replace(
    '"messages"',
    '"model": "fake/m",\n"messages"',
  );
  const curl = spawn("bash", ["-c", `${filledIn(anew, slow)} -sS`], { stdio: ["ignore", "pipe", "inherit"] });
  let heard = 0;
  // The next word is said only when this one has come out of curl.
  for await (const { chunk } of events(curl.stdout)) if (chunk?.type === "text-delta") gates[++heard]?.resolve();
  assert.equal(heard, words.length);
});

test("step 5: the turn is in the history", async () => {
  const { items, nextCursor, hasMore } = await data(HISTORY);
  assert.deepEqual(
    items.map(({ role, status, sessionId: of }) => [role, status, of]),
    [
      ["user", "complete", sessionId],
      ["assistant", "complete", sessionId],
    ],
  );
  assert.equal(items[0].content, "Summarise the periodic table in 3 sentences.");
  assert.deepEqual([nextCursor, hasMore], [null, false]);
});

test("step 5: cursor and pageSize walk the history", async () => {
  const with_ = (query) => data(HISTORY.replace("/messages", `/messages?${query}`).replace(/curl (\S+)/, 'curl "$1"'));
  const first = await with_("pageSize=1");
  assert.deepEqual([first.items.length, first.hasMore, first.nextCursor], [1, true, first.items[0].id]);
  const second = await with_(`cursor=${first.nextCursor}&pageSize=200`);
  assert.deepEqual([second.items.length, second.items[0].role, second.hasMore], [1, "assistant", false]);
  assert.equal((await with_("pageSize=500")).items.length, 2);
});

test("step 5: a page of more than 500, and a cursor from nowhere, are refused", async () => {
  for (const query of ["pageSize=501", "pageSize=0", "cursor=not-a-message"]) {
    const { status, body } = await typed(HISTORY.replace("/messages", `/messages?${query}`));
    assert.deepEqual([status, JSON.parse(body).error.code], [422, "VALIDATION_ERROR"], query);
  }
});

test("step 5: countOnly counts without bodies", async () => {
  assert.deepEqual(await data(HISTORY.replace("/messages", "/messages?countOnly=true")), { count: 2 });
});

test("step 6: the conversation goes on with the new message alone", async () => {
  const stream = await streamed(CHAT.replace("Summarise the periodic table in 3 sentences.", "And in one?"));
  assert.ok(stream.text.length > 0);
  const { items } = await data(HISTORY);
  assert.deepEqual(
    items.map((item) => item.role),
    ["user", "assistant", "user", "assistant"],
  );
});

test("errors: 401 for a bad and for a missing key", async () => {
  const without = (command) => command.replace(/-H "Authorization[^\n]*\n/, "");
  for (const command of [LIST_AGENTS, CREATE_SESSION, CHAT, HISTORY]) {
    for (const wrong of [without(command), command.replace("alm_live_xxxx", "alm_live_yyyy")]) {
      const { status, headers, body } = await typed(wrong);
      const { success, error } = JSON.parse(body);
      assert.deepEqual([status, success, error.code], [401, false, "UNAUTHORIZED"], body);
      assert.deepEqual(headers["www-authenticate"], ["Bearer"]);
    }
  }
});

test("errors: 402 when the balance is empty and the model is paid, until there is a deposit", async () => {
  const poor = await app.org({ upstream: [fake.text("Paid for")], price: "1.50/6" });
  const body = { messages: [{ role: "user", content: "Hello" }] };
  const refused = await poor.chat(body);
  assert.deepEqual([refused.status, (await refused.json()).error.code], [402, "PAYMENT_REQUIRED"]);
  await app.cli("deposit", "--org", poor.slug, "--usd", "10.00");
  const stream = await poor.reply(body);
  assert.equal(stream.text, "Paid for");
  // 10 tokens in at 1.50 and 5 out at 6 dollars a million.
  assert.equal(stream.only("finish").messageMetadata.costMicrocents, 45);
  const billing = await poor.data("GET", "/billing");
  assert.deepEqual([billing.balanceMicrocents, billing.heldMicrocents], [10_000_000 - 45, 0]);
});

test("errors: 429 with Retry-After after 60 requests in a minute", async () => {
  const eager = await app.org();
  // An unknown session is refused after the rate is looked at, and costs nothing to ask for.
  for (let sent = 0; sent < CHATS_MAX; sent++) {
    const response = await eager.chat({ sessionId: "no-such-session", messages: [{ role: "user", content: "Hi" }] });
    const { error } = await response.json();
    if (response.status === 404) continue;
    assert.deepEqual([response.status, error.code], [429, "TOO_MANY_REQUESTS"]);
    assert.match(response.headers.get("retry-after"), /^[1-9]\d*$/);
    assert.ok(Number.isInteger(error.details.retryAfterMs) && error.details.retryAfterMs > 0);
    assert.ok(sent >= 60, `already after ${sent}`);
    return;
  }
  assert.fail(`no limit within ${CHATS_MAX} requests`);
});
