// Models, agents, usage and the account, as their owner uses them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { status, text } from "../clients/fake-upstream.mjs";
import clients from "../../src/http/page/files/lib/clients.json" with { type: "json" };
import { EMAIL, ORG, PASSWORD, asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

const card = (page, name) =>
  page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });

async function connect(page, slug, baseUrl) {
  await open(page, "models");
  await page.getByRole("button", { name: "Connect a provider" }).click();
  await page.getByRole("button", { name: "Other" }).click();
  await page.getByLabel("Slug").fill(slug);
  await page.getByLabel("Base URL").fill(baseUrl);
  await page.getByRole("dialog").getByRole("button", { name: "Connect" }).click();
  await card(page, slug).waitFor();
}

test("a provider is connected, tested step by step, priced, and made the default", async () => {
  await alm.signedIn(async (page) => {
    await connect(page, "scripted", alm.upstream.endpoint([text("Hello")]).baseUrl);
    await card(page, "scripted")
      .getByText(/first token/)
      .waitFor();
    // A test that is still running shows no time yet.
    await card(page, "scripted")
      .getByText(/\d+ ms/)
      .first()
      .waitFor();
    assert.match(await card(page, "scripted").innerText(), /\d+ ms/);

    await page.getByRole("button", { name: "Edit scripted" }).click();
    await page.getByLabel("Input price").fill("0.25");
    await page.getByLabel("Output price").fill("2");
    await page.getByLabel("Context window").fill("8192");
    await page.getByRole("button", { name: "Save" }).click();
    const row = page.getByRole("row", { name: /scripted\/m/ });
    await row.getByText("$0.25 in, $2.00 out").waitFor();
    await row.getByText("8,192 tokens · as entered").waitFor();

    const usual = page.getByRole("combobox", { name: "Used when" });
    await usual.fill("scripted/m");
    await usual.press("Enter");
    await page.getByText("Saved: scripted/m.").waitFor();
    assert.equal((await asPerson(page, "GET", "/org")).defaultModel, "scripted/m");
    await usual.fill("");
    await usual.press("Enter");
    await page.getByText("Saved: Built-in").waitFor();
  });
});

test("a provider that refuses or is not there is explained in words", async () => {
  await alm.signedIn(async (page) => {
    await connect(page, "closed", "http://127.0.0.1:1/v1");
    await card(page, "closed").locator(".fails").waitFor();
    await connect(page, "refusing", alm.upstream.endpoint([status(401)]).baseUrl);
    await card(page, "refusing").locator(".fails").waitFor();
    assert.match(await card(page, "refusing").locator(".fails").innerText(), /key/i);
    await page.getByRole("button", { name: "Remove closed" }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await card(page, "closed").waitFor({ state: "detached" });
  });
});

test("a server of this machine is offered, and connected with one click", async () => {
  await alm.signedIn(async (page) => {
    const { baseUrl } = alm.upstream.endpoint([text("Hello")]);
    // Its usual port may be anybody's on this machine, so the search itself is left to the tests of the API.
    const found = { slug: "ollama", name: "Ollama", baseUrl, models: ["m"] };
    await page.route(
      "**/api/v1/providers/local",
      (route) => route.fulfill({ json: { success: true, data: { items: [found] } } }),
      { times: 1 },
    );
    await open(page, "models");
    await page.getByText(/Ollama is running at .* with 1 model\./).waitFor();
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await card(page, "ollama")
      .getByText(/first token/)
      .waitFor();
  });
});

test("a server of this machine that loads its model is offered once it has", async () => {
  await alm.signedIn(async (page) => {
    const found = { slug: "llamacpp", name: "llama.cpp", baseUrl: "http://127.0.0.1:9931/v1" };
    let looks = 0;
    await page.route("**/api/v1/providers/local", (route) => {
      const state = looks++ === 0 ? { models: [], isLoading: true } : { models: ["m"], isLoading: false };
      return route.fulfill({ json: { success: true, data: { items: [{ ...found, ...state }] } } });
    });
    await open(page, "models");
    await page.getByText(/llama\.cpp is running at .* and is loading its model…/).waitFor();
    assert.equal(await page.getByRole("button", { name: "Connect", exact: true }).count(), 0);
    await page.getByText(/llama\.cpp is running at .* with 1 model\./).waitFor();
    await page.getByRole("button", { name: "Connect", exact: true }).waitFor();
  });
});

test("every preset fills in its address", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "models");
    await page.getByRole("button", { name: "Connect a provider" }).click();
    for (const name of ["Ollama", "llama.cpp", "LM Studio", "vLLM", "OpenAI", "OpenRouter", "Groq", "Mistral"]) {
      await page.getByRole("button", { name, exact: true }).click();
      assert.match(await page.getByLabel("Base URL").inputValue(), /^https?:\/\/.+\/v1$/, name);
    }
  });
});

test("an agent says how each client is connected to it, and shows no key", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    await page.getByRole("button", { name: "Connect to Ala" }).click();
    const { origin } = new URL(page.url());
    const dialog = page.getByRole("dialog");
    await dialog.getByText(`${origin}/v1`, { exact: true }).waitFor();
    const texts = await dialog.getByRole("region").allInnerTexts();
    const values = { origin, baseUrl: `${origin}/v1`, key: "alm_live_YOUR_KEY", model: "ala" };
    const filled = (text) => text.join("\n").replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
    assert.deepEqual(
      texts,
      clients.map(({ text }) => filled(text)),
    );
    await dialog.getByRole("link", { name: "API keys" }).click();
    await page.getByRole("heading", { name: "API keys" }).waitFor();
    assert.equal(await dialog.count(), 0);
  });
});

test("Ala is first and keeps her name; another agent is made, changed and put to rest", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    await page.getByRole("link", { name: "Edit Ala" }).click();
    await page.getByLabel("System prompt").waitFor();
    assert.equal(await page.getByLabel("Name", { exact: true }).count(), 0);
    await page.getByText("Description and avatar").click();
    await page.getByLabel("Description").fill("Answers first.");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved Ala.").waitFor();
    await page.getByRole("link", { name: "All agents" }).click();
    await page.getByText("Answers first.").waitFor();

    await page.getByRole("link", { name: "Create agent" }).click();
    await page.getByLabel("Name", { exact: true }).fill("Release notes");
    await page.getByLabel("System prompt").fill("Group by topic.");
    await page.locator("summary", { hasText: "Tools" }).click();
    await page.getByLabel("Search earlier sessions").uncheck();
    await page.getByText("How it answers").click();
    await page.getByLabel("Temperature").fill("3");
    await page.getByText("How it answers").click();
    await page.getByRole("button", { name: "Create agent" }).click();
    await page.getByText("Enter a number from 0 to 2, or leave it empty.").waitFor();
    await page.getByLabel("Temperature").fill("0.4");
    await page.getByLabel("Step limit").fill("5");
    await page.getByRole("button", { name: "Create agent" }).click();
    await page.getByRole("heading", { name: "Release notes", level: 1 }).waitFor();
    await page.getByRole("link", { name: "All agents" }).click();
    await card(page, "Release notes").waitFor();
    assert.deepEqual(await page.locator(".card h2").allInnerTexts(), ["Ala", "Release notes"]);
    const made = await asPerson(page, "GET", "/agents/release-notes");
    assert.deepEqual(made.settings, { temperature: 0.4, maxSteps: 5 });
    assert.deepEqual(made.allowedTools, ["current_time"]);

    await page.getByRole("button", { name: "Deactivate Release notes" }).click();
    await page.getByRole("button", { name: "Deactivate", exact: true }).last().click();
    await card(page, "Release notes").getByText("inactive").waitFor();
  });
});

test("a deposit, what it was spent on, and the ledger as a file", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "usage");
    await page.getByRole("button", { name: "Add to balance" }).click();
    await page.getByLabel("Amount").fill("ten");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("Enter an amount, such as 10 or 2.50.").waitFor();
    await page.getByLabel("Amount").fill("12.5");
    await page.getByLabel("Note").fill('=1+1, "quoted"');
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.locator(".figure").getByText("$12.50").waitFor();

    const models = [{ id: "m", pricing: { inputPerMillion: "1000", outputPerMillion: "1000" } }];
    const { baseUrl } = alm.upstream.endpoint([text("Hello")]);
    await asPerson(page, "POST", "/providers", { slug: "paid", kind: "openai-compatible", baseUrl, models });
    await page.request.post("/api/v1/chat", {
      data: { model: "paid/m", messages: [{ role: "user", content: "Hi" }] },
      headers: { origin: alm.base, "x-alumia-org": ORG },
    });
    await open(page, "usage");
    for (const [group, label] of [
      ["Model", "paid/m"],
      ["Agent", "Ala"],
      ["Project", "none"],
    ]) {
      await page.getByRole("button", { name: group, exact: true }).click();
      await page.locator(".bars").getByText(label, { exact: true }).waitFor();
    }
    await page.getByRole("button", { name: "Day", exact: true }).click();
    await page.getByText("Show as a table").click();
    await page.getByRole("rowheader", { name: new Date().toISOString().slice(0, 10) }).waitFor();

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export as CSV" }).click(),
    ]);
    const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\r\n");
    assert.equal(lines[0], "when,kind,amount_usd,held_usd,turn,note,id");
    assert.ok(
      lines.some((line) => line.includes(`,deposit,12.5,0,,"'=1+1, ""quoted""",`)),
      lines.join("\n"),
    );
    assert.ok(lines.some((line) => line.includes(",settle,")));
  });
});

test("other browsers are seen and signed out, and the password is changed", async () => {
  const login = (password) =>
    fetch(`${alm.base}/api/v1/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json", origin: alm.base },
      body: JSON.stringify({ email: EMAIL, password }),
    });
  await alm.signedIn(async (page) => {
    const cookie = (await login(PASSWORD)).headers.get("set-cookie").split(";")[0];
    const elsewhere = () =>
      fetch(`${alm.base}/api/v1/auth/me`, { headers: { cookie } }).then((answer) => answer.status);
    assert.equal(await elsewhere(), 200);
    await open(page, "account");
    while ((await elsewhere()) === 200) {
      const before = await page.getByRole("button", { name: "Sign out that browser" }).count();
      await page.getByRole("button", { name: "Sign out that browser" }).first().click();
      await page.waitForFunction((before) => document.querySelectorAll("main .card .danger").length < before, before);
    }

    await page.getByLabel("Current password").fill("not it at all");
    await page.getByLabel("New password").fill("another horse battery staple");
    await page.getByRole("button", { name: "Change password" }).click();
    await page.locator("main .alert, main .wrong").filter({ visible: true }).waitFor();
    await page.getByLabel("Current password").fill(PASSWORD);
    await page.getByRole("button", { name: "Change password" }).click();
    await page.getByText("Password changed.").waitFor();
    assert.equal((await login(PASSWORD)).status, 401);
    const changed = await page.request.post("/api/v1/auth/password", {
      data: { currentPassword: "another horse battery staple", newPassword: PASSWORD },
      headers: { origin: alm.base },
    });
    assert.ok(changed.ok(), await changed.text());
  });
});
