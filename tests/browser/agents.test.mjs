// An agent's page: what is typed is tried out before it is saved, and what it was can be again.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { asPerson, open, pickModel, startOwned } from "./person.mjs";
import { status, text } from "../clients/fake-upstream.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

/** An agent of a model that says these. */
async function agentOf(page, name, script) {
  const endpoint = alm.upstream.endpoint(script);
  const models = [{ id: "m" }];
  const slug = name.toLowerCase();
  await asPerson(page, "POST", "/providers", { slug, kind: "openai-compatible", baseUrl: endpoint.baseUrl, models });
  const agent = await asPerson(page, "POST", "/agents", { name, systemPrompt: "Be brief.", model: `${slug}/m` });
  return { endpoint, agent };
}

test("an agent is tried out as it is typed, and nothing of it is kept", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    const { endpoint, agent } = await agentOf(page, "Cook", [text("First **words**."), text("Second.")]);
    await open(page, `agents/${agent.id}`);
    await page.getByLabel("System prompt").fill("Answer as a cook.");
    const box = page.getByRole("textbox", { name: "Try it out" });
    await box.fill("Soup?");
    await box.press("Enter");
    await page.locator(".try-out strong", { hasText: "words" }).waitFor();
    await page.getByText("The reply is complete.").waitFor({ state: "attached" });
    await box.fill("And then?");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".try-out").getByText("Second.").waitFor();
    const sent = endpoint.requests.at(-1).body.messages.map(({ role, content }) => [role, content]);
    assert.deepEqual(sent, [
      ["system", "Answer as a cook."],
      ["user", "Soup?"],
      ["assistant", "First **words**."],
      ["user", "And then?"],
    ]);
    assert.deepEqual((await asPerson(page, "GET", "/sessions")).items, []);
    assert.equal((await asPerson(page, "GET", "/agents/cook")).systemPrompt, "Be brief.");
    await page.getByRole("button", { name: "Start over" }).click();
    assert.equal(await page.locator(".try-out article").count(), 0);
  });
});

test("an agent's model is picked by typing, and none is the organization's", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    const { agent } = await agentOf(page, "Picky", []);
    await open(page, `agents/${agent.id}`);
    const model = page.getByRole("combobox", { name: "Model" });
    assert.equal(await model.inputValue(), "picky/m");
    await model.click();
    await page.getByRole("option", { name: "Organization default (demo/ala)" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved Picky.").waitFor();
    assert.equal((await asPerson(page, "GET", `/agents/${agent.id}`)).model, null);
    await pickModel(page, "cook/m");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved Picky.").nth(1).waitFor();
    assert.equal((await asPerson(page, "GET", `/agents/${agent.id}`)).model, "cook/m");
  });
});

test("a trial that fails gives the question back and says why", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    const { agent } = await agentOf(page, "Broken", [status(401)]);
    await open(page, `agents/${agent.id}`);
    const box = page.getByRole("textbox", { name: "Try it out" });
    await box.fill("Hello?");
    await box.press("Enter");
    await page.locator(".try-out .alert").waitFor();
    assert.equal(await box.inputValue(), "Hello?");
    assert.equal(await page.locator(".try-out article").count(), 0);
  });
});

test("leaving what is not saved asks, and a version comes back", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    const { agent } = await agentOf(page, "Clerk", [text("Yes.")]);
    await open(page, `agents/${agent.id}`);
    const prompt = page.getByLabel("System prompt");
    await prompt.fill("Be long.");
    await page.getByRole("link", { name: "All agents" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal(await prompt.inputValue(), "Be long.");
    await page.waitForURL(`**#agents/${agent.id}`);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved Clerk.").waitFor();
    await page.locator("summary", { hasText: "Versions" }).click();
    await page.getByRole("button", { name: "Restore version 1" }).click();
    await page.getByText("Restored version 1.").waitFor();
    await page.waitForFunction(() => document.querySelector("[name=systemPrompt]")?.value === "Be brief.");
    await prompt.fill("Lost.");
    await page.getByRole("link", { name: "All agents" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
    await page.getByRole("heading", { name: "Agents", level: 1 }).waitFor();
    assert.equal((await asPerson(page, "GET", "/agents/clerk")).systemPrompt, "Be brief.");
  });
});

test("the page of an agent fits a narrow window", async () => {
  await alm.signedIn(
    async (page) => {
      await open(page, "agents/new");
      await page.getByLabel("System prompt").waitFor();
      const overhang = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overhang <= 0, `${overhang} pixels`);
    },
    { viewport: { width: 320, height: 640 } },
  );
});
