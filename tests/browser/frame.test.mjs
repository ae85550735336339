// The frame of the chat at every width, and on a phone on its side: one column, one bar, and nothing scrolls but the messages.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { asPerson, chosen, open, startOwned } from "./person.mjs";

const SIZES = [
  [320, 640],
  [360, 740],
  [640, 400],
  [768, 1024],
  [844, 390],
  [1280, 800],
  [1920, 1080],
];
/** The width of the column, 48rem. */
const COLUMN_PX = 768;

let alm;
let session;

before(async () => {
  alm = await startOwned();
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    session = await asPerson(page, "POST", "/sessions", { label: "A label ".repeat(20).trim(), agentId: "ala" });
    for (let number = 1; number <= 15; number++) {
      const parts = [{ type: "text", text: `Line ${number}.\n`.repeat(20) }];
      await asPerson(page, "POST", `/sessions/${session.id}/messages`, { role: "user", parts });
    }
  });
});
after(() => alm?.stop());

/** Where the box, the messages and the bar stand, and how far the page could be scrolled. */
const measured = (page) =>
  page.evaluate(() => {
    const root = document.documentElement;
    const edges = (selector) => {
      const { left, right, top, bottom } = document.querySelector(selector).getBoundingClientRect();
      return { left, right, top, bottom };
    };
    return {
      over: [root.scrollWidth - innerWidth, root.scrollHeight - innerHeight],
      scrolls: [...document.querySelectorAll("*")]
        .filter((it) => it.scrollHeight > it.clientHeight && /auto|scroll/.test(getComputedStyle(it).overflowY))
        .filter((it) => it.clientHeight > 0)
        .map((it) => it.className || it.tagName),
      box: edges(".composer"),
      pane: edges(".scroller"),
      last: edges(".message:last-of-type"),
    };
  });

/** As if this person belonged to two organizations. */
async function inTwo(page) {
  await page.route("**/api/v1/auth/me", async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    answer.data.orgs.push({ ...answer.data.orgs[0], slug: "another-organization-with-a-long-name" });
    await route.fulfill({ response, json: answer });
  });
}

for (const [width, height] of SIZES) {
  test(`the chat fits a window of ${width} × ${height}`, async () => {
    await alm.signedIn(async (page) => {
      await page.setViewportSize({ width, height });
      await inTwo(page);
      await open(page, `sessions/${session.id}`);
      await page.locator(".message").last().waitFor();
      const { over, scrolls, box, pane, last } = await measured(page);
      assert.deepEqual(over, [0, 0]);
      assert.deepEqual(scrolls, ["messages"]);
      assert.ok(box.bottom <= height && box.top > height / 3, JSON.stringify(box));
      assert.ok(box.right - box.left <= COLUMN_PX);
      // Centred in their pane, and their own messages end where the box does.
      assert.ok(Math.abs(box.left - pane.left - (pane.right - box.right)) <= 2, JSON.stringify({ box, pane }));
      assert.ok(Math.abs(last.right - box.right) <= 20, JSON.stringify({ last, box }));
      const isPhone = width < 896;
      assert.equal(await page.locator(".top").isVisible(), !isPhone);
      assert.equal(await page.getByRole("link", { name: "All sessions" }).isVisible(), isPhone);
    });
  });
}

test("a second organization changes no height of the bar, and breaks no word", async () => {
  await alm.signedIn(async (page) => {
    const bar = () => page.locator(".top").boundingBox();
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      await page.unrouteAll();
      await open(page, "keys");
      const before = await bar();
      await inTwo(page);
      await open(page, "keys");
      await page.getByLabel("Organization").waitFor();
      assert.deepEqual(await bar(), before, `${width}`);
      const { height: button } = await page.getByRole("button", { name: "Sign out" }).boundingBox();
      assert.ok(button < 40, `${width}: ${button}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${width}: ${over}`);
    }
  });
});

test("the sections stand in the middle of a wide window", async () => {
  await alm.signedIn(async (page) => {
    await page.setViewportSize({ width: 1920, height: 1080 });
    await open(page, "keys");
    const { x, width } = await page.locator("main").boundingBox();
    const { width: nav } = await page.locator("#sections").boundingBox();
    assert.ok(Math.abs(x - nav - (1920 - x - width)) <= 2, `${x} ${width}`);
  });
});

test("without a session a new chat is open, and on a phone the list", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions");
    await page.getByRole("heading", { name: "New chat" }).waitFor();
    await page.getByRole("textbox", { name: "Message" }).waitFor();
    await page.setViewportSize({ width: 360, height: 740 });
    await page.getByRole("textbox", { name: "Message" }).waitFor({ state: "hidden" });
    await page.getByRole("link", { name: "A label" }).click();
    await page.getByRole("link", { name: "All sessions" }).click();
    await page.getByRole("searchbox").waitFor();
    assert.equal(new URL(page.url()).hash, "#sessions");
  });
});

test("what can be done with a session is in a list that the keyboard opens and Escape closes", async () => {
  await alm.signedIn(async (page) => {
    await open(page, `sessions/${session.id}`);
    const opener = page.getByRole("button", { name: "Session actions" });
    await opener.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("group", { name: "Session actions" }).waitFor();
    assert.equal(await opener.getAttribute("aria-expanded"), "true");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Show as curl");
    await page.keyboard.press("Escape");
    await page.getByRole("group", { name: "Session actions" }).waitFor({ state: "hidden" });
    assert.ok(await opener.evaluate((it) => it === document.activeElement));
    await chosen(page, "Rename");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    assert.ok(await opener.evaluate((it) => it === document.activeElement));
    assert.equal(await page.locator("html").evaluate((it) => it.scrollTop), 0);
  });
});
