// What the forms know of the server's rules is what the server does: lengths, and the tools that an agent may use.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { startEmpty } from "../clients/alm.mjs";
import { text, toolCall } from "../clients/fake-upstream.mjs";
import { EMAIL, ORG, PASSWORD, asPerson, open, startOwned } from "./person.mjs";

const PAGES = new URL("../../src/http/page/files/", import.meta.url);

const TOOL = { description: "A tool.", inputSchema: { type: "object" }, method: "GET", url: "http://127.0.0.1:1/" };
/** A call that waits, which the test makes. */
const APPROVAL = "an approval";

/** Where what is typed goes, by script and name of the field; the call that takes it. */
const SENT = {
  "sections/agent-editor.js name": ["POST", "/agents", (name) => ({ name })],
  "sections/agent-editor.js description": ["PATCH", "/agents/ala", (description) => ({ description })],
  "sections/agent-editor.js systemPrompt": ["PATCH", "/agents/ala", (systemPrompt) => ({ systemPrompt })],
  "sections/agent-editor.js slug": ["POST", "/agents", (slug) => ({ name: "x", slug: `b${slug.slice(1)}` })],
  "sections/agent-editor.js avatar": ["PATCH", "/agents/ala", (avatar) => ({ avatar })],
  "sections/keys.js name": ["POST", "/api-keys", (name) => ({ name })],
  "sections/models/providers.js slug": [
    "POST",
    "/providers",
    (slug) => ({ slug, kind: "openai-compatible", baseUrl: "http://127.0.0.1:1/v1", models: [] }),
  ],
  "lib/approval-card.js reason": ["POST", APPROVAL, (reason) => ({ approved: false, reason })],
  "sections/tools/http-form.js name": ["POST", "/tools", (name) => ({ ...TOOL, name })],
  "sections/tools/http-form.js description": ["PATCH", "/tools/known", (description) => ({ description })],
  "sections/tools/server-form.js slug": ["POST", "/mcp/servers", (slug) => ({ slug, url: "http://127.0.0.1:1/mcp" })],
  "sections/tools/server-form.js name": ["PATCH", "/mcp/servers/known", (name) => ({ name })],
  "sections/sessions.js label": ["POST", "/sessions", (label) => ({ label, agentId: "ala" })],
  "sections/usage.js note": ["POST", "/billing/deposit", (note) => ({ amountMicrocents: 1, note })],
};

/** The slug of the first organization, which is sent once, to a fresh server. */
const SETUP = "setup.js orgSlug";

/** Each `maxlength` of the pages: script and name of the field, and the number. */
function limits() {
  const scripts = readdirSync(PAGES, { recursive: true }).filter((name) => /^(?!.*marked).*\.js$/.test(name));
  return scripts.flatMap((script) => {
    const source = readFileSync(new URL(script, PAGES), "utf8");
    const fields = [...source.matchAll(/(?:input|textarea)\("(\w+)",[^()]*?maxlength: "(\d+)"/g)];
    assert.equal(
      fields.length,
      source.split("maxlength").length - 1,
      `${script}: a maxlength in a form not known here`,
    );
    return fields.map(([, name, chars]) => [`${script} ${name}`, Number(chars)]);
  });
}

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

test("a field takes as much as the server does, and no more", async () => {
  const known = limits();
  assert.deepEqual(known.map(([field]) => field).sort(), [...Object.keys(SENT), SETUP].sort());
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await asPerson(page, "POST", "/mcp/servers", { slug: "known", url: "http://127.0.0.1:1/mcp" });
    await asPerson(page, "POST", "/tools", { ...TOOL, name: "known", approval: "ask" });
    const approval = await waitingCall(page);
    for (const [field, chars] of known.filter(([field]) => field !== SETUP)) {
      const [method, to, body] = SENT[field];
      const path = to === APPROVAL ? `/approvals/${approval}` : to;
      const send = (length) => asPerson(page, method, path, body("a".repeat(length)));
      const name = field.split(" ")[1];
      await assert.rejects(send(chars + 1), new RegExp(`422 .*"${name}"`), `${field}: ${chars + 1}`);
      await send(chars);
    }
  });
});

/** The id of a call of the tool `known` that waits. */
async function waitingCall(page) {
  const { baseUrl } = alm.upstream.endpoint([toolCall("known"), text("Done.")]);
  const provider = { slug: "calling", kind: "openai-compatible", baseUrl, models: [{ id: "m" }] };
  await asPerson(page, "POST", "/providers", provider);
  await page.request.post("/api/v1/chat", {
    data: { model: "calling/m", messages: [{ role: "user", content: "Hi" }] },
    headers: { origin: alm.base, "x-alumia-org": ORG },
  });
  return (await asPerson(page, "GET", "/approvals?status=waiting")).items[0].approvalId;
}

test("the form of the setup takes a slug as long as the server does", async () => {
  const fresh = await startEmpty();
  const [, chars] = limits().find(([field]) => field === SETUP);
  const code = new URL(fresh.link).hash.slice(1);
  const send = async (orgSlug) => {
    const response = await fetch(`${fresh.base}/api/v1/auth/setup`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: fresh.base },
      body: JSON.stringify({ code, orgSlug, email: EMAIL, password: PASSWORD }),
    });
    return response.status;
  };
  try {
    assert.equal(await send("a".repeat(chars + 1)), 422);
    assert.ok((await send("a".repeat(chars))) < 300);
  } finally {
    await fresh.stop();
  }
});

test("the form of an agent offers exactly the tools that a model is", async () => {
  await alm.signedIn(async (page) => {
    const endpoint = alm.upstream.endpoint([text("Hello")]);
    await open(page, "agents");
    const models = [{ id: "m" }];
    await asPerson(page, "POST", "/providers", {
      slug: "seen",
      kind: "openai-compatible",
      baseUrl: endpoint.baseUrl,
      models,
    });
    await page.request.post("/api/v1/chat", {
      data: { model: "seen/m", messages: [{ role: "user", content: "Hi" }] },
      headers: { origin: alm.base, "x-alumia-org": ORG },
    });
    const sent = endpoint.requests[0].body.tools.map((tool) => tool.function.name);
    await page.getByRole("link", { name: "Create agent" }).click();
    await page.getByLabel("System prompt").waitFor();
    const offered = await page.locator("[name=tools]").evaluateAll((boxes) => boxes.map((box) => box.value));
    const { items } = await asPerson(page, "GET", "/tools");
    assert.deepEqual(offered.sort(), items.map(({ name }) => name).sort());
    // Those that are given by name alone, and those that an earlier test declared.
    const others = items
      .filter(({ origin, name }) => origin === "http" || name === "ask_agent")
      .map(({ name }) => name);
    assert.deepEqual(
      offered.filter((name) => !others.includes(name)),
      sent.filter((name) => !others.includes(name)).sort(),
    );
  });
});
