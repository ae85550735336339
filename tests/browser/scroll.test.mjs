// Where the reader is: earlier messages come in without moving a line, and there is a way back to the end.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gated } from "../clients/fake-upstream.mjs";
import { ask, chatWith, replies, written } from "./chats.mjs";
import { asPerson, open, startOwned } from "./person.mjs";

const MESSAGES = 180;

let alm;
let session;

before(async () => {
  alm = await startOwned({ upstream: true, flags: ["--chat-rate", "1000"] });
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    session = await asPerson(page, "POST", "/sessions", { label: "Long", agentId: "ala" });
    for (let number = 1; number <= MESSAGES; number++) {
      const parts = [{ type: "text", text: `Message ${number}.` }];
      await asPerson(page, "POST", `/sessions/${session.id}/messages`, { role: "user", parts });
    }
  });
});
after(() => alm?.stop());

function gate() {
  let lift;
  const lifted = new Promise((resolve) => (lift = resolve));
  return [lifted, lift];
}

const messages = (page) => page.getByRole("region", { name: "Messages" });
const down = (page) => page.getByRole("button", { name: /^To the end/ });

test("earlier messages load near the top, and the line that is read stays where it is", async () => {
  await alm.signedIn(async (page) => {
    await open(page, `sessions/${session.id}`);
    await page.getByText(`Message ${MESSAGES}.`, { exact: true }).waitFor();
    // In every frame from here on: where the first message that is known now stands, beside how far was scrolled on purpose.
    const moved = await page.evaluate(async () => {
      const box = document.querySelector(".messages");
      const line = box.querySelector(".message");
      const count = () => box.querySelectorAll(".message").length;
      const before = count();
      box.scrollTop = 0;
      const top = line.getBoundingClientRect().top;
      while (count() === before) await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      return line.getBoundingClientRect().top - top;
    });
    assert.ok(Math.abs(moved) < 1, `${moved} px`);
    // To the very first, with the keyboard alone.
    await messages(page).focus();
    for (;;) {
      await page.keyboard.press("Home");
      if (await page.getByText("Message 1.", { exact: true }).isVisible()) break;
    }
    assert.equal(await page.locator(".message").count(), MESSAGES);
    const said = await page.locator(".message .plain").allInnerTexts();
    assert.deepEqual(
      said,
      Array.from({ length: MESSAGES }, (_, at) => `Message ${at + 1}.`),
    );
  });
});

test("earlier messages that cannot be loaded say why, and are asked for again", async () => {
  await alm.signedIn(async (page) => {
    await open(page, `sessions/${session.id}`);
    await page.getByText(`Message ${MESSAGES}.`, { exact: true }).waitFor();
    await page.route(/cursor=/, (route) => route.abort());
    await messages(page).evaluate((it) => (it.scrollTop = 0));
    const again = page.getByRole("button", { name: "Show earlier messages" });
    await again.waitFor();
    await page.unrouteAll();
    await again.click();
    await page.getByText(`Message ${MESSAGES - 50}.`, { exact: true }).waitFor({ state: "attached" });
    assert.equal(await again.count(), 0);
  });
});

test("who scrolled up stays, is told how much came, and gets back with one button", async () => {
  await alm.signedIn(async (page) => {
    const [more, liftMore] = gate();
    const lines = (word) => `${word}\n\n`.repeat(40);
    await chatWith(alm, page, [gated([Promise.resolve(), lines("early")], [more, lines("late")])]);
    await ask(page, "Go on");
    await replies(page).getByText("early").last().waitFor();
    assert.equal(await down(page).isVisible(), false);
    await messages(page).evaluate((it) => (it.scrollTop = 0));
    await down(page).waitFor();
    liftMore();
    await replies(page).getByText("late").last().waitFor({ state: "attached" });
    await page.getByRole("button", { name: /^To the end, \d+ new lines$/ }).waitFor();
    assert.equal(await messages(page).evaluate((it) => it.scrollTop), 0);
    await written(page);
    await down(page).click();
    await down(page).waitFor({ state: "hidden" });
    await replies(page).getByText("late").last().waitFor();
    const left = await messages(page).evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight);
    assert.ok(left < 2, `${left} px`);
  });
});

test("a hit opens in its middle, marked, and leads to the one before and after it", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions");
    const list = page.getByRole("navigation", { name: "Sessions" });
    await list.getByRole("searchbox").fill("Message 60");
    await list.getByText("1 session found").waitFor({ state: "attached" });
    await list.getByRole("link", { name: "Long" }).click();
    const hits = page.getByRole("group", { name: "Search hits" });
    await hits.waitFor();
    const { middle, box } = await page.evaluate(() => {
      const here = [...CSS.highlights.get("here")][0].getBoundingClientRect();
      const box = document.querySelector(".messages").getBoundingClientRect();
      return { middle: here.top + here.height / 2, box: { top: box.top, height: box.height } };
    });
    assert.ok(Math.abs(middle - box.top - box.height / 2) < 60, JSON.stringify({ middle, box }));
    const marked = () => page.evaluate(() => [...CSS.highlights.get("here")][0].startContainer.data);
    assert.equal(await marked(), "Message 60.");
    await hits.getByRole("button", { name: "Next hit" }).click();
    assert.notEqual(await page.evaluate(() => [...CSS.highlights.get("here")][0].startOffset), -1);
    await hits.getByRole("button", { name: "Previous hit" }).click();
    assert.equal(await marked(), "Message 60.");
    // The end is one button away, and a question asked from here stands after it.
    await down(page).click();
    await page.getByText(`Message ${MESSAGES}.`, { exact: true }).waitFor();
    await hits.getByRole("button", { name: "Close the search" }).click();
    await hits.waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => CSS.highlights.has("hit")), false);
  });
});

test("what was looked for is marked in the list, and Escape leaves the hits of a session", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions");
    const list = page.getByRole("navigation", { name: "Sessions" });
    await list.getByRole("searchbox").fill("message 60");
    await list.locator(".snippet mark", { hasText: "Message" }).first().waitFor();
    await list.locator(".snippet mark", { hasText: "60" }).first().waitFor();
    await list.getByRole("link", { name: "Long" }).click();
    const hits = page.getByRole("group", { name: "Search hits" });
    await hits.waitFor();
    await page.getByRole("textbox", { name: "Message" }).press("Escape");
    await hits.waitFor({ state: "detached" });
    assert.match(page.url(), /#sessions\/[^/]+$/, "a reload does not bring them back");
    await list.getByRole("searchbox").fill("Long");
    await list.locator(".label mark", { hasText: "Long" }).waitFor();
    await list.getByRole("searchbox").fill("");
    await list.locator("mark").first().waitFor({ state: "detached" });
  });
});
