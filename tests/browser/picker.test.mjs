// The choice of a model in a chat: by the keyboard and by the hand, with many models, and what a session remembers of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { text } from "../clients/fake-upstream.mjs";
import { asPerson, chosen, open, pickModel, startOwned } from "./person.mjs";
import { assertSound } from "./sound.mjs";

const MANY = 350;

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

const box = (page) => page.getByRole("combobox", { name: "Model" });
const options = (page) => page.getByRole("listbox", { name: "Models" }).getByRole("option");
const active = (page) =>
  box(page).evaluate((box) => document.getElementById(box.getAttribute("aria-activedescendant"))?.innerText);

/** What a model is in a list; the first of each provider has a price, the second a long name. */
function model(provider, at) {
  const name = at === 1 ? `a-model-with-a-name-that-goes-on-and-on-until-no-telephone-is-wide-enough-${at}` : `m-${at}`;
  const pricing = at === 0 ? { inputPerMillion: "0.25", outputPerMillion: "2" } : null;
  return {
    id: `${provider}/${name}`,
    provider,
    name,
    local: provider === "near",
    isFree: !pricing,
    pricing,
    contextWindow: 131_072,
    capabilities: [],
    paidElsewhere: provider === "billed",
  };
}

const PROVIDERS = ["near", "far", "billed", "x", "y"];
const items = PROVIDERS.flatMap((provider) =>
  Array.from({ length: MANY / PROVIDERS.length }, (_, at) => model(provider, at)),
);

const withMany = (use, options) =>
  alm.signedIn(async (page) => {
    await page.route("**/api/v1/models", (route) => route.fulfill({ json: { success: true, data: { items } } }));
    await open(page, "sessions/new");
    return use(page);
  }, options);

test("one of 350 models is found by typing, and what it costs is said in its row", async () => {
  await withMany(async (page) => {
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");
    await box(page).press("ArrowDown");
    assert.equal(await options(page).count(), MANY + 1);
    assert.equal(await active(page), "Agent's model (demo/ala)");
    for (const [name, says] of [
      ["near/m-0", "m-0\n$0.25 in, $2.00 out · 131.1K tokens"],
      ["near/m-7", "m-7\nlocal · 131.1K tokens"],
      ["far/m-7", "m-7\nno price set · 131.1K tokens"],
      ["billed/m-7", "m-7\npaid elsewhere · 131.1K tokens"],
    ]) {
      await box(page).fill(name);
      assert.equal((await active(page)).replace(/\n+/g, "\n"), says);
    }
    await box(page).fill("BILL 69");
    assert.deepEqual(
      await options(page)
        .allInnerTexts()
        .then((all) => all.length),
      1,
    );
    await page.getByRole("status").getByText("1 model", { exact: true }).waitFor({ state: "attached" });
    await box(page).press("Enter");
    assert.equal(await box(page).inputValue(), "billed/m-69");
    assert.equal(await options(page).count(), 0);
    // Enter has chosen, and asked nothing.
    assert.equal(await page.locator(".message").count(), 0);
    // The command has it.
    await chosen(page, "Show as curl");
    await page.getByRole("dialog").getByText('"billed/m-69"').waitFor();
  });
});

test("the keys go through the list, and leaving it chooses nothing", async () => {
  await withMany(async (page) => {
    await box(page).focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("ArrowDown");
    assert.match(await active(page), /^m-0/);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowUp");
    assert.match(await active(page), /^m-69/, "the list goes round");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("PageDown");
    assert.match(await active(page), /^m-9/);
    await page.keyboard.press("PageUp");
    await page.keyboard.press("PageUp");
    assert.match(await active(page), /^Agent's model/, "a page ends at the end");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Escape");
    assert.equal(await options(page).count(), 0);
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");
    assert.equal(await box(page).getAttribute("aria-expanded"), "false");

    await page.keyboard.type("far/m-3");
    await page.keyboard.press("Tab");
    assert.equal(await options(page).count(), 0);
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");

    await box(page).fill("no such");
    await options(page).filter({ hasText: "No model matches “no such”." }).waitFor();
    await page.keyboard.press("Enter");
    await options(page).filter({ hasText: "No model matches" }).click({ force: true });
    await page.keyboard.press("Escape");
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");

    await box(page).click();
    await page.getByRole("group", { name: "far" }).getByRole("option", { name: /^m-5 / }).click();
    assert.equal(await box(page).inputValue(), "far/m-5");
    assert.ok(await box(page).evaluate((box) => box === document.activeElement));
  });
});

for (const [screen, viewport] of [
  ["a narrow phone", { width: 320, height: 640 }],
  ["a phone on its side", { width: 844, height: 390 }],
  ["a wide screen", { width: 1920, height: 1080 }],
])
  for (const colorScheme of ["light", "dark"])
    test(`the open list is sound on ${screen}, ${colorScheme}`, async () => {
      await withMany(
        async (page) => {
          await box(page).click();
          await assertSound(page, "the open list");
          const list = await page.locator(".picker-list").boundingBox();
          assert.ok(list.x >= 0 && list.y >= 0 && list.x + list.width <= viewport.width, JSON.stringify(list));
          assert.ok(list.y + list.height <= viewport.height && list.height > 150, JSON.stringify(list));
          if (process.env.ALM_SHOTS)
            await page.screenshot({ path: `${process.env.ALM_SHOTS}/picker-${viewport.width}-${colorScheme}.png` });
        },
        { viewport, colorScheme },
      );
    });

test("a session keeps its model over a reload, and what was used last stands on top", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    const { baseUrl } = alm.upstream.endpoint([text("One."), text("Two.")]);
    const models = [{ id: "large" }, { id: "small" }];
    await asPerson(page, "POST", "/providers", { slug: "kept", kind: "openai-compatible", baseUrl, models });
    await open(page, "sessions/new");
    await pickModel(page, "kept/large");
    await page.getByRole("textbox", { name: "Message" }).fill("Go.");
    await page.keyboard.press("Enter");
    await page.locator(".message.theirs").getByText("One.").waitFor();
    await page.reload();
    await page.locator(".message.theirs").getByText("One.").waitFor();
    assert.equal(await box(page).inputValue(), "kept/large");

    const id = page.url().split("/").at(-1);
    await asPerson(page, "PATCH", `/sessions/${id}`, { metadata: { model: "kept/large", mine: 1 } });
    const saved = page.waitForResponse((response) => response.request().method() === "PATCH");
    await pickModel(page, "kept/small");
    await saved;
    assert.deepEqual((await asPerson(page, "GET", `/sessions/${id}`)).metadata, { model: "kept/small", mine: 1 });

    await open(page, "sessions/new");
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");
    await box(page).click();
    const last = page.getByRole("group", { name: "Last used" });
    assert.match(await last.getByRole("option").first().innerText(), /^kept\/small/);

    // A model that has gone is not lost by looking, and one that is no text is none.
    await asPerson(page, "PATCH", `/sessions/${id}`, { metadata: { model: "gone/model" } });
    await open(page, `sessions/${id}`);
    assert.equal(await box(page).inputValue(), "gone/model (not available)");
    await asPerson(page, "PATCH", `/sessions/${id}`, { metadata: { model: { no: "text" } } });
    await open(page, `sessions/${id}`);
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");
  });
});

test("the box says which model an agent has", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await asPerson(page, "POST", "/agents", { name: "Own", model: "demo/ala" });
    await asPerson(page, "POST", "/providers", {
      slug: "usual",
      kind: "openai-compatible",
      baseUrl: "http://127.0.0.1:1/v1",
      models: [{ id: "m" }],
    });
    await asPerson(page, "PATCH", "/org", { defaultModel: "usual/m" });
    await open(page, "sessions/new");
    assert.equal(await box(page).inputValue(), "Agent's model (usual/m)");
    await page.getByLabel("Agent", { exact: true }).selectOption("Own");
    assert.equal(await box(page).inputValue(), "Agent's model (demo/ala)");
    await asPerson(page, "PATCH", "/org", { defaultModel: null });
  });
});
