// Usage that one can read: a span of days with a scale and a readout, and a ledger that goes on.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, axeFinds, written } from "./chats.mjs";
import { asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => {
  alm = await startOwned();
});

after(() => alm?.stop());

test("days have a scale in UTC, and a pointer or the arrow keys read one out", () =>
  alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await ask(page, "hi");
    await written(page);
    await open(page, "usage");
    const plot = page.getByRole("slider", { name: "Tokens by day, UTC" });
    await plot.waitFor();
    const readout = page.locator(".readout");
    const today = await readout.textContent();
    assert.match(today, /tokens, 1 reply/);
    assert.equal(await page.locator(".scale span").count(), 3);
    assert.equal(await plot.getAttribute("aria-valuemax"), "29");
    await plot.focus();
    await page.keyboard.press("ArrowLeft");
    assert.match(await readout.textContent(), /: none$/);
    assert.equal(await plot.getAttribute("aria-valuetext"), await readout.textContent());
    await page.keyboard.press("End");
    assert.equal(await readout.textContent(), today);
    await page.getByRole("button", { name: "7 days" }).click();
    await page.locator('[role=slider][aria-valuemax="6"]').waitFor();
    const box = await plot.boundingBox();
    await page.mouse.move(box.x + 3, box.y + 20);
    assert.match(await readout.textContent(), /: none$/);
    assert.deepEqual(await axeFinds(page), []);
    await page.setViewportSize({ width: 320, height: 640 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/usage.png`, fullPage: true });
  }));

test("the ledger goes on, and says the balance after each entry", () =>
  alm.signedIn(async (page) => {
    await open(page, "usage");
    for (let at = 0; at < 25; at++)
      await asPerson(page, "POST", "/billing/deposit", { amountMicrocents: 1_000_000, note: `n${at}` });
    await page.reload();
    const ledger = page.getByRole("region", { name: "Ledger" });
    await ledger.getByRole("row", { name: /n24/ }).getByText("$25.00").waitFor();
    await page.getByRole("button", { name: "Show more" }).click();
    await ledger.getByRole("row", { name: /n0$/ }).getByText("$1.00", { exact: true }).waitFor();
    assert.equal(await page.getByRole("button", { name: "Show more" }).isVisible(), false);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/ledger.png`, fullPage: true });
  }));
