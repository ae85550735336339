// The list of sessions and what happens elsewhere: rows move, nothing else does; drafts stay; the tab says what is going on.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gated, status, text } from "../clients/fake-upstream.mjs";
import { ask, axeFinds, chatWith, mine, replies, written } from "./chats.mjs";
import { ORG, asPerson, chosen, open, startOwned } from "./person.mjs";

const SESSIONS = 70;

let alm;
/** Of the sessions that are there from the start, oldest first. */
const ids = [];

before(async () => {
  alm = await startOwned({ upstream: true });
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    for (let number = 1; number <= SESSIONS; number++)
      ids.push((await asPerson(page, "POST", "/sessions", { label: `Session ${number}`, agentId: "ala" })).id);
  });
});
after(() => alm?.stop());

function gate() {
  let lift;
  const lifted = new Promise((resolve) => (lift = resolve));
  return [lifted, lift];
}

const list = (page) => page.getByRole("navigation", { name: "Sessions" });
const row = (page, label) => list(page).getByRole("link", { name: label, exact: false });
const box = (page) => page.getByRole("textbox", { name: "Message" });

test("an answer in an old session moves its row up, and the list keeps all it had loaded", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions");
    await list(page).getByRole("heading", { name: "Today" }).waitFor();
    for (const known of [30, 60]) {
      await page.waitForFunction((known) => document.querySelectorAll(".list li").length >= known, known);
      await page.getByRole("button", { name: "Show more" }).click();
    }
    await page.waitForFunction((all) => document.querySelectorAll(".list li").length >= all, SESSIONS);
    const old = list(page).locator(`[data-id="${ids[1]}"]`);
    await old.click();
    await page.getByRole("heading", { level: 2, name: "Session 2", exact: true }).waitFor();
    const place = () =>
      list(page)
        .locator(".list-body")
        .evaluate((it) => it.scrollTop);
    const before = await place();
    assert.ok(before > 0);
    await ask(page, "Hello");
    await written(page);
    await page.waitForFunction((id) => document.querySelector(".list li a").dataset.id === id, ids[1]);
    assert.ok((await list(page).getByRole("listitem").count()) >= SESSIONS);
    assert.ok((await place()) >= before, "the list has not jumped to its top");
    assert.equal(await old.getAttribute("aria-current"), "true");
  });
});

test("a first question that is refused leaves no session", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [status(401), text("At last.")]);
    const { items: before } = await asPerson(page, "GET", "/sessions?limit=1");
    await ask(page, "A question that is refused");
    await page.getByRole("alert").filter({ visible: true }).waitFor();
    const { items } = await asPerson(page, "GET", "/sessions?limit=1");
    assert.equal(items[0].id, before[0].id);
    await ask(page, "A question that is heard");
    await replies(page).getByText("At last.").waitFor();
    await row(page, "A question that is heard").waitFor();
    assert.match(page.url(), /#sessions\/[\w-]{36}$/);
  });
});

test("what was typed and not sent waits in its session", async () => {
  await alm.signedIn(async (page) => {
    await open(page, `sessions/${ids[60]}`);
    await box(page).fill("Half a tho");
    await row(page, "Session 62").click();
    await page.getByRole("heading", { name: "Session 62" }).waitFor();
    assert.equal(await box(page).inputValue(), "");
    await box(page).fill("Another");
    await row(page, "Session 61").click();
    await page.getByRole("heading", { name: "Session 61" }).waitFor();
    assert.equal(await box(page).inputValue(), "Half a tho");
  });
});

test("another tab sees the question, the reply as it grows, the dot, and the end", async () => {
  await alm.signedIn(async (page) => {
    const [more, liftMore] = gate();
    await chatWith(alm, page, [text("First."), gated([Promise.resolve(), "Grow"], [more, "ing."])]);
    await ask(page, "Begin");
    await replies(page).getByText("First.").waitFor();
    await written(page);
    const tab = await page.context().newPage();
    await tab.goto(page.url());
    await replies(tab).getByText("First.").waitFor();
    await ask(page, "And now?");
    await replies(tab).getByText("Grow", { exact: true }).waitFor();
    assert.equal(await mine(tab).count(), 2);
    assert.match(await tab.title(), new RegExp(`^● Begin · ${ORG} · alm$`));
    await list(tab).locator("a.running").waitFor();
    liftMore();
    await replies(tab).getByText("Growing.", { exact: true }).waitFor();
    await written(tab);
    await list(tab).locator("a.running").waitFor({ state: "detached" });
    assert.equal(await replies(tab).count(), 2);
    assert.equal(await tab.title(), `Begin · ${ORG} · alm`);
    assert.equal(await page.title(), `Begin · ${ORG} · alm`);
  });
});

test("a pinned session stands first in every tab, however old it is", async () => {
  await alm.signedIn(async (page) => {
    await open(page, `sessions/${ids[2]}`);
    await chosen(page, "Pin");
    const pinned = (tab) => list(tab).getByRole("heading", { name: "Pinned" }).locator("xpath=..").getByRole("link");
    await pinned(page).filter({ hasText: "Session 3" }).waitFor();
    const tab = await page.context().newPage();
    await tab.goto(page.url());
    await pinned(tab).filter({ hasText: "Session 3" }).waitFor();
    // Others' metadata and those changes in between stay.
    assert.deepEqual((await asPerson(page, "GET", `/sessions/${ids[2]}`)).metadata, { pinned: true });
    for (const id of ids.slice(3, 40)) await asPerson(page, "PATCH", `/sessions/${id}`, { metadata: {} });
    await tab.reload();
    await pinned(tab).filter({ hasText: "Session 3" }).waitFor();
    assert.equal(await pinned(tab).count(), 1);
    assert.equal(await list(tab).getByRole("link").nth(1).getAttribute("data-id"), ids[2], "after New chat");
    await chosen(tab, "Unpin");
    await list(page).getByRole("heading", { name: "Pinned" }).waitFor({ state: "detached" });
    await list(tab).getByRole("heading", { name: "Pinned" }).waitFor({ state: "detached" });
  });
});

test("several sessions are chosen and deleted with one confirmation", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    const made = [];
    for (const label of ["One", "Two", "Three"])
      made.push((await asPerson(page, "POST", "/sessions", { label: `Gone ${label}` })).id);
    await open(page, `sessions/${made[0]}`);
    await row(page, "Gone Three").waitFor();
    const select = page.getByRole("button", { name: "Select sessions" });
    await select.click();
    assert.ok(await page.getByRole("button", { name: "Delete", exact: true }).isDisabled());
    await page.getByRole("checkbox", { name: "Select Gone One" }).check();
    // A press on a row opens nothing then.
    await row(page, "Gone Two").click();
    await list(page).getByText("2 selected").waitFor();
    assert.deepEqual(await axeFinds(page), []);
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.keyboard.press("Escape");
    await list(page).getByText("2 selected").waitFor();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    const confirm = page.getByRole("dialog", { name: "Delete 2 sessions?" });
    await confirm.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("Deleted 2 sessions.").waitFor();
    await row(page, "Gone Two").waitFor({ state: "detached" });
    await row(page, "Gone Three").waitFor();
    await page.waitForURL("**#sessions");
    await select.click();
    await page.keyboard.press("Escape");
    await page.getByRole("checkbox").first().waitFor({ state: "hidden" });
    assert.equal(await select.evaluate((it) => it === document.activeElement), true);
  });
});

test("keys: a slash searches, Escape stops, an arrow up edits the last question", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [gated([Promise.resolve(), "Never"], [new Promise(() => {}), " ends"])]);
    await ask(page, "Talk.");
    await replies(page).getByText("Never", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".foot strong", { hasText: "Stopped" }).waitFor();
    await written(page);
    await box(page).press("ArrowUp");
    await page.getByRole("textbox", { name: "Edit message" }).waitFor();
    await page.keyboard.press("Escape");
    await box(page).fill("a/b");
    await page.getByRole("region", { name: "Messages" }).focus();
    await page.keyboard.press("/");
    assert.ok(
      await list(page)
        .getByRole("searchbox")
        .evaluate((it) => it === document.activeElement),
    );
    assert.equal(await list(page).getByRole("searchbox").inputValue(), "");
  });
});
