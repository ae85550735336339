// Models as their owner sees them: many of them, what they cost, which are offered, and what a test says.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { status, text } from "../clients/fake-upstream.mjs";
import { asPerson, open, startOwned } from "./person.mjs";
import { assertSound } from "./sound.mjs";

const MANY = 350;

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

const json = (route, data) => route.fulfill({ json: { success: true, data } });
const many = Array.from({ length: MANY }, (_, at) => ({
  id: `family-of-models/with-a-long-name-${at}`,
  offered: true,
}));

/** A remote provider of that many models, which nobody has to reach. */
async function withRemote(page, models = many) {
  const provider = {
    id: "0198b8f2-0000-7000-8000-000000000001",
    slug: "acme-ai",
    kind: "openai-compatible",
    baseUrl: "https://models.example.com/v1",
    cassette: null,
    local: false,
    hasApiKey: true,
    apiKeyEnv: null,
    models,
    paidElsewhere: false,
    systemAnywhere: null,
    createdAt: "2030-01-01T00:00:00.000Z",
    updatedAt: "2030-01-01T00:00:00.000Z",
  };
  const sent = [];
  const list = models.map(({ id }) => ({
    id: `acme-ai/${id}`,
    provider: "acme-ai",
    name: id,
    local: false,
    isFree: true,
    pricing: null,
    paidElsewhere: false,
    contextWindow: 8192,
    capabilities: [],
  }));
  const demo = { ...list[0], id: "demo/ala", provider: "demo", name: "ala", local: true };
  await page.route("**/api/v1/providers", (route) => json(route, { ...provider, items: [provider] }));
  await page.route("**/api/v1/models", (route) => json(route, { items: [demo, ...list] }));
  await page.route(`**/api/v1/providers/${provider.id}**`, (route) => {
    const request = route.request();
    if (request.method() === "PATCH") sent.push(request.postDataJSON());
    return json(route, provider);
  });
  return { sent, provider };
}

async function connect(page) {
  await page.getByRole("button", { name: "Connect a provider" }).click();
  await page.getByRole("button", { name: "Other" }).click();
  await page.getByLabel("Slug").fill("acme-ai");
  await page.getByLabel("Base URL").fill("https://models.example.com/v1");
  await page.getByRole("dialog").getByRole("button", { name: "Connect" }).click();
}

for (const viewport of [
  { width: 320, height: 640 },
  { width: 1280, height: 800 },
])
  for (const colorScheme of ["light", "dark"])
    test(`350 models are in groups with a filter at ${viewport.width} px, ${colorScheme}`, async () => {
      await alm.signedIn(
        async (page) => {
          await withRemote(page);
          await open(page, "models");
          const group = page.locator("details").filter({ hasText: "350 models" });
          await group.waitFor();
          assert.equal(await group.getAttribute("open"), null);
          const height = await page.evaluate(() => document.documentElement.scrollHeight);
          assert.ok(height < 4_000, `${height} px`);
          await assertSound(page, "models");
          await page.getByRole("searchbox", { name: "Filter models" }).fill("NAME-349");
          await page.getByRole("row", { name: /acme-ai\/.*-349 no price set 8,192 tokens/ }).waitFor();
          await page.getByRole("status").getByText("1 model", { exact: true }).waitFor({ state: "attached" });
          const lines = await page.locator("th code").evaluate((code) => code.getClientRects().length);
          assert.equal(lines, 1, "an id is in one line");
          assert.ok(await page.locator("td .warn").isVisible());
          await assertSound(page, "a filtered list");
          if (process.env.ALM_SHOTS)
            await page.screenshot({ path: `${process.env.ALM_SHOTS}/models-${viewport.width}-${colorScheme}.png` });
          await page.getByRole("searchbox", { name: "Filter models" }).fill("none of these");
          await page.getByText("No model matches “none of these”.").waitFor();

          await page.getByRole("button", { name: "Edit acme-ai" }).click();
          const dialog = page.getByRole("dialog");
          assert.ok((await dialog.locator("input").count()) < 150);
          await dialog.getByText("30 of 350 are shown. Filter to find the others.").waitFor();
          await assertSound(page, "the dialog", { within: "dialog" });
          if (process.env.ALM_SHOTS)
            await page.screenshot({ path: `${process.env.ALM_SHOTS}/edit-${viewport.width}-${colorScheme}.png` });
        },
        { viewport, colorScheme },
      );
    });

test("who connects a remote provider is asked what its models cost, and which are offered", async () => {
  await alm.signedIn(async (page) => {
    const { sent, provider } = await withRemote(page);
    await open(page, "models");
    await connect(page);
    const dialog = page.getByRole("dialog", { name: "What do the models of acme-ai cost?" });
    await dialog.waitFor();
    await dialog.getByRole("checkbox", { name: "Offer all that the filter finds" }).uncheck();
    await dialog.getByRole("searchbox", { name: "Filter models" }).fill("name-349");
    await dialog.getByRole("checkbox", { name: /^Offer family.*-349$/ }).check();
    await dialog.getByLabel("Input price").fill("0,25");
    await dialog.getByLabel("Output price").fill("2");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
    const [{ models, paidElsewhere }] = sent;
    assert.equal(paidElsewhere, false);
    assert.equal(models.length, MANY);
    assert.deepEqual(
      models.filter(({ offered, pricing }) => offered || pricing),
      [{ id: many[349].id, offered: true, pricing: { inputPerMillion: "0.25", outputPerMillion: "2" } }],
    );

    provider.paidElsewhere = true;
    await page.getByRole("button", { name: "Edit acme-ai" }).click();
    await page.getByRole("dialog").getByRole("checkbox", { name: "I pay elsewhere" }).uncheck();
    await page.getByRole("dialog").getByRole("checkbox", { name: "I pay elsewhere" }).check();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(sent[1].paidElsewhere, true);
  });
});

test("a test asks the model that is chosen, and shows what the provider said", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    const failing = { error: { message: "Rate limit reached for small. Try again in 20 s." } };
    const { baseUrl, requests } = alm.upstream.endpoint([text("Hello."), status(400, {}, failing)]);
    const models = [{ id: "large" }, { id: "small" }, { id: "hidden", offered: false }];
    await asPerson(page, "POST", "/providers", { slug: "tried", kind: "openai-compatible", baseUrl, models });
    await open(page, "models");
    assert.equal(await page.getByRole("row", { name: /tried\/hidden/ }).count(), 0);
    const card = page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "tried" }) });
    await card.getByText("2 of 3").waitFor();
    await card.getByRole("button", { name: "Test tried" }).click();
    const choice = card.getByRole("combobox", { name: "Model to ask" });
    assert.ok(await choice.evaluate((box) => box === document.activeElement));
    await choice.fill("small");
    await choice.press("Enter");
    await card.getByRole("button", { name: "Run test" }).click();
    await card.getByText("small sent its first token").waitFor();
    assert.equal(requests.at(-1).body.model, "small");
    await card.getByRole("button", { name: "Run test" }).click();
    await card.locator(".fails").getByText("tried/small: ").waitFor();
    await card.getByText("What it said").waitFor();
    assert.equal(await card.locator(".said").innerText(), "Rate limit reached for small. Try again in 20 s.");
    await assertSound(page, "a failed test");
  });
});

test("a server that was found is offered in the place of the news that there is none", async () => {
  await alm.signedIn(async (page) => {
    const found = {
      slug: "ollama",
      name: "Ollama",
      baseUrl: "http://127.0.0.1:11434/v1",
      models: ["m"],
      isLoading: false,
    };
    await page.route("**/api/v1/providers", (route) => json(route, { items: [] }));
    let items = [found];
    await page.route("**/api/v1/providers/local", (route) => json(route, { items }));
    await open(page, "models");
    await page.getByText(/Ollama is running at/).waitFor();
    assert.equal(await page.getByRole("heading", { name: "No provider yet" }).count(), 0);
    items = [];
    await open(page, "models");
    await page.getByRole("heading", { name: "No provider yet" }).waitFor();
  });
});
