// A line that is cut, and a server that goes: no reply is given up, and nothing that was seen or typed is lost.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gated, text } from "../clients/fake-upstream.mjs";
import { ask, chatWith, mine, replies, written } from "./chats.mjs";
import { ORG, asPerson, startOwned } from "./person.mjs";
import { startLine } from "./wire.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

function gate() {
  let lift;
  const lifted = new Promise((resolve) => (lift = resolve));
  return [lifted, lift];
}

const lost = (page) => page.getByText("Connection lost. The reply goes on at the server. Reconnecting…");
const stopButton = (page) => page.getByRole("button", { name: "Stop", exact: true });

/** A browser whose line to the server the test can cut. */
async function onLine(use) {
  const line = await startLine(alm.base);
  try {
    await alm.signedIn((page) => use(page, line), { base: line.base });
  } finally {
    await line.cut();
  }
}

/** Mends the line, of which the browser is told. */
async function mend(page, line) {
  await line.mend();
  await page.evaluate(() => dispatchEvent(new Event("online")));
}

test("a line that is cut in mid-answer is said, tried for ever, and the text fills in without a jump", async () => {
  await onLine(async (page, line) => {
    const [more, liftMore] = gate();
    const [rest, liftRest] = gate();
    await chatWith(alm, page, [gated([Promise.resolve(), "One"], [more, " two"], [rest, " three."])]);
    await ask(page, "Count.");
    await replies(page).getByText("One", { exact: true }).waitFor();
    // What is seen never becomes less.
    await page.evaluate(() => {
      window.least = Infinity;
      const parts = document.querySelector(".theirs .parts");
      const look = () => (window.least = Math.min(window.least, parts.textContent.length));
      new MutationObserver(look).observe(parts, { childList: true, subtree: true, characterData: true });
      document.querySelector(".theirs").dataset.marked = "yes";
    });
    await line.cut();
    await lost(page).waitFor();
    await stopButton(page).waitFor();
    liftMore();
    await mend(page, line);
    await replies(page).getByText("One two", { exact: true }).waitFor();
    await lost(page).waitFor({ state: "hidden" });
    liftRest();
    await replies(page).getByText("One two three.", { exact: true }).waitFor();
    await written(page);
    assert.equal(await replies(page).count(), 1);
    assert.equal(await page.locator("[data-marked]").count(), 1);
    assert.ok((await page.evaluate(() => window.least)) >= "One".length);
  });
});

test("a reply that ended while the line was cut is there as soon as the line is", async () => {
  await onLine(async (page, line) => {
    const [more, liftMore] = gate();
    await chatWith(alm, page, [gated([Promise.resolve(), "Almost"], [more, " done."])]);
    await ask(page, "Are you done?");
    await replies(page).getByText("Almost", { exact: true }).waitFor();
    const id = page.url().split("/").at(-1);
    const { key } = await asPerson(page, "POST", "/api-keys", { name: "Beside the line" });
    const headers = { authorization: `Bearer ${key}`, "x-alumia-org": ORG };
    const isIdle = async () => {
      const response = await fetch(`${alm.base}/api/v1/sessions/${id}`, { headers });
      return (await response.json()).data.status === "idle";
    };
    await line.cut();
    await lost(page).waitFor();
    liftMore();
    while (!(await isIdle()));
    await mend(page, line);
    await replies(page).getByText("Almost done.", { exact: true }).waitFor();
    await written(page);
    assert.equal(await replies(page).count(), 1);
    assert.equal(await mine(page).count(), 1);
  });
});

test("a stop while the line is cut is made good as soon as it is back", async () => {
  await onLine(async (page, line) => {
    await chatWith(alm, page, [gated([Promise.resolve(), "Never"], [new Promise(() => {}), " ends"])]);
    await ask(page, "Talk.");
    await replies(page).getByText("Never", { exact: true }).waitFor();
    await line.cut();
    await lost(page).waitFor();
    await stopButton(page).click();
    await page.getByText("will be stopped as soon as").waitFor();
    await mend(page, line);
    await page.locator(".foot strong", { hasText: "Stopped" }).waitFor();
    await written(page);
  });
});

test("what is sent while the server cannot be reached is sent once it can, and only once", async () => {
  await onLine(async (page, line) => {
    const asked = await chatWith(alm, page, [text("Here.")]);
    await line.cut();
    await ask(page, "Are you there?");
    await page.getByText("Your message is sent as soon as it is back.").waitFor();
    await mend(page, line);
    await replies(page).getByText("Here.").waitFor();
    await written(page);
    assert.equal(asked.length, 1);
    assert.equal(await mine(page).count(), 1);
  });
});

test("what is not sent yet can be had back into the box", async () => {
  await onLine(async (page, line) => {
    const asked = await chatWith(alm, page, [text("Here.")]);
    await line.cut();
    await ask(page, "Never mind");
    await page.getByRole("button", { name: "Now" }).waitFor();
    await stopButton(page).click();
    await page.getByText("Stopped before it was sent.").waitFor();
    assert.equal(await page.getByRole("textbox", { name: "Message" }).inputValue(), "Never mind");
    assert.equal(await mine(page).count(), 0);
    await mend(page, line);
    assert.equal(asked.length, 0);
  });
});

test("a server that goes in mid-answer is waited for, and the interrupted reply goes on", async () => {
  await onLine(async (page, line) => {
    const never = gated([Promise.resolve(), "Before"], [new Promise(() => {}), ""]);
    await chatWith(alm, page, [never, text(" and after.")]);
    await ask(page, "Speak.");
    await replies(page).getByText("Before", { exact: true }).waitFor();
    await alm.crash();
    const goOn = page.getByRole("button", { name: /^(Continue the interrupted reply|Try again)$/ });
    await goOn.click();
    await replies(page).getByText("and after.").waitFor();
    await written(page);
    assert.equal(await replies(page).count(), 1);
    assert.equal(await mine(page).count(), 1);
  });
});
