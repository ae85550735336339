// The section of requests: rows as they happen, the filter of failures, and what a row opens; in two tabs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => {
  alm = await startOwned();
});
after(() => alm?.stop());

const rows = (page) => page.locator("table.calls tbody tr");
const asks = (page, body) => asPerson(page, "POST", "/sessions", body);

test("requests appear as they happen, in every tab, and a row opens its session", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "requests");
    await page.getByText("No requests").waitFor();
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.getByText("No requests").waitFor();
    await page.bringToFront();

    const session = await asks(page, { label: "Whales" });
    const origin = new URL(page.url()).origin;
    const ask = (data) =>
      page.request.post("/api/v1/chat", { data, headers: { origin, "x-alumia-org": "acme" } }).then((it) => it.text());
    await ask({ sessionId: session.id, messages: [{ role: "user", content: "Hi" }] });
    await rows(page).first().waitFor();
    await other.bringToFront();
    await rows(other).first().waitFor();
    await page.bringToFront();
    assert.equal(await rows(page).count(), 1);
    await rows(page).getByText("complete").waitFor();

    await ask({ model: "no/such", messages: [{ role: "user", content: "Hi" }] });
    await rows(page).nth(1).waitFor();
    await rows(page).first().getByText("422 VALIDATION_ERROR").waitFor();
    await page.getByLabel("Failures only").check();
    await page.getByText("complete").waitFor({ state: "detached" });
    assert.equal(await rows(page).count(), 1);
    await page.getByLabel("Failures only").uncheck();

    await rows(page).nth(1).getByRole("button").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("/api/v1/chat").waitFor();
    await dialog.getByRole("link", { name: "Open the session" }).click();
    await page.waitForURL(`**#sessions/${session.id}`);
  });
});
