// Ctrl K, the keys, and the colours.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeFinds } from "./chats.mjs";
import { asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned()));
after(() => alm?.stop());

test("Ctrl K finds sections, agents, sessions and actions, by the keyboard alone", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    const agent = await asPerson(page, "POST", "/agents", { name: "Curie", slug: "curie" });
    const session = await asPerson(page, "POST", "/sessions", { label: "Radium <b>bold</b>" });
    const box = page.getByRole("combobox", { name: "Find" });
    const go = async (words, option, address) => {
      await page.keyboard.press("Control+k");
      await box.fill(words);
      await page.getByRole("option", { name: option, selected: true }).waitFor();
      await page.keyboard.press("Enter");
      await page.waitForURL(address);
      await box.waitFor({ state: "detached" });
    };
    await go("usa", "Usage Section", "**#usage");
    await go("curie", "Curie Chat", `**#sessions/new/${agent.id}`);
    await go("radium", "Radium <b>bold</b> Session", `**#sessions/${session.id}`);
    await go("new chat", "New chat Action", "**#sessions/new");
    await page.keyboard.press("Control+k");
    await box.fill("nothing is called so");
    await page.getByRole("dialog").getByText("Nothing found").waitFor();
    await page.keyboard.press("Enter");
    await box.fill("");
    await page.getByRole("option", { name: "Curie Chat" }).waitFor();
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("ArrowDown");
    await page.getByRole("option", { name: "API keys Section", selected: true }).waitFor();
    assert.deepEqual(await axeFinds(page), []);
    await page.keyboard.press("Escape");
    await box.waitFor({ state: "detached" });
    await go("show the keys", "Show the keys Action", "**#sessions/new");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    assert.deepEqual(await axeFinds(page), []);
  });
});

test("a question mark shows the keys, but where one writes", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "usage");
    await page.getByRole("heading", { name: "Usage", level: 1 }).waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).getByText("Ctrl K").waitFor();
    await page.keyboard.press("Escape");
    await open(page, "sessions");
    await page.getByRole("searchbox").pressSequentially("why?");
    assert.equal(await page.getByRole("searchbox").inputValue(), "why?");
    assert.equal(await page.getByRole("dialog").count(), 0);
  });
});

test("the colours are the system's, or those that were chosen, in every tab and after a reload", async () => {
  await alm.signedIn(
    async (page) => {
      const isDark = (page) =>
        page.evaluate(() => getComputedStyle(document.body).backgroundColor === "rgb(18, 21, 22)");
      await open(page, "account");
      const choice = page.getByRole("group", { name: "Colours" });
      await choice.getByLabel("As the system").waitFor();
      assert.equal(await isDark(page), false);
      const other = await page.context().newPage();
      await other.goto("/login");
      await choice.getByLabel("Dark").check();
      assert.equal(await isDark(page), true);
      await other.waitForFunction(() => document.documentElement.style.colorScheme === "dark");
      await page.reload();
      await choice.getByLabel("Dark").waitFor();
      assert.ok((await isDark(page)) && (await choice.getByLabel("Dark").isChecked()));
      await choice.getByLabel("As the system").check();
      assert.equal(await isDark(page), false);
    },
    { colorScheme: "light" },
  );
});
