// What happens elsewhere, in tabs that share one connection: who reads, who goes on, and what a restart leaves out.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => {
  alm = await startOwned();
});
after(() => alm?.stop());

const row = (page, label) => page.getByRole("navigation", { name: "Sessions" }).getByText(label, { exact: true });
const make = (page, label) => asPerson(page, "POST", "/sessions", { label });

/** The pages that have asked for events. */
function listening(page) {
  const asked = [];
  page.context().on("request", (request) => {
    if (request.url().endsWith("/api/v1/events")) asked.push(request.frame().page());
  });
  return asked;
}

const answered = (page) => page.waitForResponse((response) => response.url().endsWith("/api/v1/events"));

test("two tabs share a connection, the other goes on when one is closed, and a restart loses nothing", async () => {
  await alm.signedIn(async (page) => {
    const asked = listening(page);
    const first = answered(page);
    await open(page, "sessions");
    await first;
    const other = await page.context().newPage();
    await other.goto(page.url());
    await other.getByText("No sessions yet.").waitFor();
    const made = await make(page, "Whales");
    for (const tab of [page, other]) await row(tab, "Whales").waitFor();
    await asPerson(page, "PATCH", `/sessions/${made.id}`, { label: "Dolphins" });
    for (const tab of [page, other]) await row(tab, "Dolphins").waitFor();
    await asPerson(page, "DELETE", `/sessions/${made.id}`);
    for (const tab of [page, other]) await row(tab, "Dolphins").waitFor({ state: "detached" });
    assert.deepEqual(
      asked.map((tab) => tab === page),
      [true],
      "one tab asks, once",
    );

    const second = answered(other);
    await page.close();
    await second;
    await make(other, "Seals");
    await row(other, "Seals").waitFor();
    assert.equal(asked.at(-1), other);

    const third = answered(other);
    await alm.crash();
    await make(other, "Otters");
    await third;
    await row(other, "Otters").waitFor();
    await make(other, "Walruses");
    await row(other, "Walruses").waitFor();
  });
});

test("where a browser has no locks, each tab looks again and again", async () => {
  await alm.signedIn(async (page) => {
    const asked = listening(page);
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
    await open(page, "sessions");
    await make(page, "Plankton");
    await row(page, "Plankton").waitFor();
    await make(page, "Krill");
    await row(page, "Krill").waitFor();
    assert.deepEqual(asked, []);
  });
});
