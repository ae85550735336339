// Usage that one can read: a span of days with a scale and a readout, and a ledger that goes on.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { text } from "../clients/fake-upstream.mjs";
import { ask, axeFinds, written } from "./chats.mjs";
import { asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => {
  alm = await startOwned({ upstream: true });
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
    await ledger
      .getByRole("row", { name: /Deposit n0 / })
      .getByText("$1.00", { exact: true })
      .waitFor();
    assert.equal(await page.getByRole("button", { name: "Show more" }).isVisible(), false);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/ledger.png`, fullPage: true });
  }));

test("a day is stacked by model, a range is one's own, and a key has its part", () =>
  alm.signedIn(async (page) => {
    await open(page, "keys");
    await asPerson(page, "POST", "/billing/deposit", { amountMicrocents: 10_000_000 });
    const { key } = await asPerson(page, "POST", "/api-keys", { name: "Back end" });
    for (let n = 1; n <= 6; n++) {
      const models = [{ id: "m", pricing: { inputPerMillion: "1000", outputPerMillion: String(1000 * n) } }];
      const { baseUrl } = alm.upstream.endpoint([text("Hello"), text("Hello")]);
      await asPerson(page, "POST", "/providers", { slug: `paid-${n}`, kind: "openai-compatible", baseUrl, models });
      const answer = await page.request.post("/api/v1/chat", {
        data: { id: `chat-${n}`, model: `paid-${n}/m`, messages: [{ role: "user", content: "Hi" }] },
        headers: { authorization: `Bearer ${key}` },
      });
      assert.ok(answer.ok());
      await answer.text();
    }
    await open(page, "usage");
    const legend = page.locator(".legend li");
    await legend.filter({ hasText: "paid-6/m $0" }).waitFor();
    assert.equal(await legend.count(), 6);
    await legend.filter({ hasText: "other models" }).waitFor();
    assert.equal(await page.locator("g.chosen .bar").count(), 6);
    const plot = page.getByRole("slider", { name: "Cost by day, UTC" });
    assert.match(await plot.getAttribute("aria-valuetext"), /\d replies.* · paid-6\/m \$0/);
    const days = ["First day (UTC)", "Last day (UTC)"].map((label) => page.getByLabel(label));
    await days[0].fill("2020-01-01");
    await page.getByRole("heading", { name: "Nothing in these days" }).waitFor();
    assert.equal(await days[1].inputValue(), "2020-12-31", "at most 366 days");
    assert.equal(await page.getByRole("group", { name: "Span" }).locator('[aria-pressed="true"]').count(), 0);
    await days[1].fill(new Date().toISOString().slice(0, 10));
    await page.locator('[role=slider][aria-valuemax="365"]').waitFor();
    await page.getByRole("button", { name: "30 days" }).click();
    await plot.waitFor();
    await page.getByRole("button", { name: "Key", exact: true }).click();
    await page.locator(".bars li", { hasText: "Back end" }).getByText("6 replies").waitFor();
    const ledger = page.getByRole("region", { name: "Ledger" });
    const row = ledger.getByRole("row", { name: /Reply Ala paid-6\/m Back end \d+ −\$0\.\d+ \$34\.\d+/ });
    assert.equal(await row.count(), 1, "one row a reply");
    assert.deepEqual(await axeFinds(page), []);
    await row.getByRole("link", { name: "Reply" }).click();
    await page.waitForURL("**#sessions/chat-6");
  }));
