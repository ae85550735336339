// The models that the server runs itself, as people see them: their cards, and what a chat waits for.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { emptyMessage, fold } from "../../src/http/page/files/chat/fold.js";
import { HOSTILE, assertHarmless, open, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned()));
after(() => alm?.stop());

const SMALL = {
  id: "local/small",
  name: "small",
  state: "ready",
  since: new Date(Date.now() - 180_000).toISOString(),
  contextWindow: 8192,
  trainedContextWindow: 32768,
  slots: 1,
  bytes: 98_362_432,
  architecture: "llama",
  quantisation: "Q4_1",
  parameters: 134_515_008,
  licence: "apache-2.0",
  tools: false,
  build: 11434,
  gpu: false,
  queue: 2,
  answering: 1,
  restarts: 0,
  residentBytes: 1_234_000_000,
  tokensPerSecond: 52.3,
  reason: null,
  lastLines: ["load_model: loaded", HOSTILE],
};

/** Puts a model in the place of those of the server; `told` is what was asked of it. */
async function withModel(page, model) {
  const told = [];
  const data = (route, data) => route.fulfill({ json: { success: true, data } });
  await page.route("**/api/v1/local-models", (route) => data(route, { items: [model] }));
  await page.route("**/api/v1/local-models/small", (route) => data(route, model));
  await page.route("**/api/v1/local-models/small/*", (route) => {
    const verb = route.request().url().split("/").at(-1);
    told.push(verb);
    Object.assign(model, { state: verb === "stop" ? "idle" : "loading", answering: 0 });
    return data(route, model);
  });
  return told;
}

const card = (page) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "local/small" }) });

test("a local model says how it is, and its owner stops and starts it", async () => {
  await alm.signedIn(async (page) => {
    const told = await withModel(page, { ...SMALL });
    await open(page, "models");
    const text = await card(page).innerText();
    const facts = ["ready", "3 minutes ago", "8,192 tokens", "98 MB, Q4_1", "1.2 GB", "52 tokens a second"];
    for (const fact of [...facts, "1 now, 2 waiting"]) assert.ok(text.includes(fact), `${fact}: ${text}`);
    await page.getByText("The model above replies.").waitFor();
    assert.match(await page.getByRole("combobox", { name: "Used when" }).inputValue(), /^Built-in: /);

    // Whoever stops it is told whose answers end with it.
    await page.getByRole("button", { name: "Stop local/small" }).click();
    await page.getByText("The answers that it is writing end with it: 1, whoever asked.").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    assert.deepEqual(told, []);
    await page.getByRole("button", { name: "Stop local/small" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
    await card(page).getByText("idle", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Start local/small" }).click();
    await card(page).getByText("loading…", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Restart local/small" }).click();
    await page.waitForRequest("**/api/v1/local-models/small");
    assert.deepEqual(told, ["stop", "start", "restart"]);
  });
});

test("what its process says is text, whatever it says", async () => {
  await alm.signedIn(async (page) => {
    await withModel(page, { ...SMALL });
    await open(page, "models");
    await page.getByRole("button", { name: "What it says local/small" }).click();
    const lines = page.getByRole("region", { name: "Its last lines" });
    assert.equal(await lines.textContent(), SMALL.lastLines.join("\n"));
    await assertHarmless(page);
    await page.getByRole("button", { name: "Close" }).click();
  });
});

test("a model that changes is seen to, and one that fails says why", async () => {
  await alm.signedIn(async (page) => {
    const model = { ...SMALL, state: "loading", contextWindow: null, residentBytes: null, tokensPerSecond: null };
    await withModel(page, model);
    await open(page, "models");
    await card(page).getByText("loading…", { exact: true }).waitFor();
    await card(page).getByText("at most 32,768 tokens").waitFor();
    const reason = "there is no llama-server beside alm or in PATH: install llama.cpp, or name it with --llama-server";
    Object.assign(model, { state: "failed", reason, answering: 0, queue: 0 });
    await card(page).getByText(reason).waitFor();
    await page.getByRole("button", { name: "Start local/small" }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Stop local/small" }).count(), 0);
  });
});

test("a server that runs none has no card, and says how one is run", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "models");
    await page.getByText("alm serve --gguf FILE").waitFor();
    assert.equal(await page.getByRole("heading", { name: /^local\// }).count(), 0);
  });
});

test("a chat says what it waits for, until a word of the reply has come", () => {
  const message = emptyMessage();
  const waits = (data) => {
    fold(message, { type: "data-model", data, transient: true });
    return message.waits;
  };
  assert.equal(waits({ state: "queued", position: 3 }), "Others are answered first: you are number 3…");
  assert.equal(waits({ state: "queued", position: 1 }), "Others are answered first: you are number 1…");
  assert.equal(waits({ state: "loading", sinceMs: 12_000 }), "The model is being loaded… 12.0 s");
  assert.equal(waits({ state: "something new" }), null);
  waits({ state: "queued", position: 1 });
  fold(message, { type: "start-step" });
  assert.equal(message.waits, null);
  assert.deepEqual(message.parts, [{ type: "step-start" }]);
});
