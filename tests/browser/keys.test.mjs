// The life of a key at a browser, and what is asked of whoever changes keys.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ORG, PASSWORD, open, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned()));
after(() => alm?.stop());

const dialog = (page) => page.getByRole("dialog").last();
const card = (page, name) =>
  page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });

/** Makes a key and answers what the dialog shows, still open. */
async function create(page, label) {
  await open(page, "keys");
  await page.getByRole("button", { name: "Create key" }).first().click();
  await page.getByLabel("Name").fill(label);
  await dialog(page).getByRole("button", { name: "Create key" }).click();
  return shownKey(page);
}

async function shownKey(page) {
  const key = await dialog(page)
    .getByText(/^alm_(live|test)_[0-9a-f]{48}$/)
    .textContent();
  return key;
}

const stored = (page) => page.getByRole("button", { name: "I have stored it" }).click();

const status = async (key) =>
  (await fetch(`${alm.base}/api/v1/agents`, { headers: { authorization: `Bearer ${key}`, "x-alumia-org": ORG } }))
    .status;

test("a key is shown once and is nowhere in the page afterwards", async () => {
  await alm.signedIn(async (page) => {
    const urls = [];
    page.on("request", (request) => urls.push(request.url()));
    const key = await create(page, "Once");
    // Escape is no answer to the question whether it is stored.
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    assert.equal(await shownKey(page), key);
    await stored(page);
    await card(page, "Once").waitFor();
    const kept = () =>
      page.evaluate(() =>
        JSON.stringify([
          document.documentElement.outerHTML,
          location.href,
          { ...localStorage },
          { ...sessionStorage },
          document.cookie,
        ]),
      );
    assert.ok(!(await kept()).includes(key.slice(12)));
    await page.reload();
    await card(page, "Once").waitFor();
    assert.ok(!(await kept()).includes(key.slice(12)));
    assert.ok(urls.every((url) => !url.includes(key.slice(0, 12))));
    assert.equal(await status(key), 200);
  });
});

test("a key that is rotated works beside its successor until it ends, and one that is revoked does not", async () => {
  await alm.signedIn(async (page) => {
    const old = await create(page, "Turned");
    await stored(page);
    await page.getByRole("button", { name: "Rotate Turned" }).click();
    await dialog(page).getByRole("button", { name: "Create new key" }).click();
    const fresh = await shownKey(page);
    await stored(page);
    assert.notEqual(fresh, old);
    assert.deepEqual([await status(old), await status(fresh)], [200, 200]);

    for (const left of [1, 0]) {
      await page.getByRole("button", { name: "Revoke Turned" }).first().click();
      await dialog(page).getByRole("button", { name: "Revoke key" }).click();
      await page.getByText("Revoked Turned.").last().waitFor();
      await page.waitForFunction(
        (left) => document.querySelectorAll('[aria-label="Revoke Turned"]').length === left,
        left,
      );
    }
    assert.deepEqual([await status(old), await status(fresh)], [401, 401]);
  });
});

test("a key has the scopes, the environment and the end that were chosen", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.getByRole("button", { name: "Create key" }).first().click();
    await page.getByLabel("Name").fill("Narrow");
    await page.getByLabel("Environment").selectOption("test");
    await page.getByLabel("Write: ").uncheck();
    await page.getByLabel("Read: ").uncheck();
    await page.getByLabel("Expires").selectOption("30");
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    assert.match(await shownKey(page), /^alm_test_/);
    await stored(page);
    const text = await card(page, "Narrow").innerText();
    assert.match(text, /test/);
    assert.match(text, /Scopes\s+chat\s/);
    assert.match(text, /Expires\s+\w+ \d+, \d{4}/);
  });
});

test("an owner limits a key while it is made, and a limit that is no amount is refused beside its field", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.getByRole("button", { name: "Create key" }).first().click();
    await page.getByLabel("Name").fill("Capped");
    await page.getByLabel("Monthly limit").fill("ten");
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    await page.getByText("Enter an amount such as 10 or 0.50.").waitFor();
    await page.getByLabel("Monthly limit").fill("2.50");
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    await shownKey(page);
    await stored(page);
    await card(page, "Capped").getByText("$0.00 of $2.50 this month").waitFor();
    await card(page, "Narrow").waitFor();
    assert.equal(await card(page, "Narrow").getByText("this month").count(), 0, "without an amount there is no limit");
  });
});

test("a password is asked for where the server wants one, and what was typed is still there", async () => {
  await alm.signedIn(async (page) => {
    let refusals = 0;
    await page.route("**/api/v1/api-keys", async (route) => {
      if (route.request().method() !== "POST" || refusals++ > 0) return route.fallback();
      const error = {
        code: "FORBIDDEN",
        message: "give your password again",
        requestId: "r",
        details: { stepUp: true },
      };
      return route.fulfill({ status: 403, json: { success: false, error } });
    });
    await open(page, "keys");
    await page.getByRole("button", { name: "Create key" }).first().click();
    await page.getByLabel("Name").fill("After a password");
    await page.keyboard.press("Enter");
    const password = page.getByRole("textbox", { name: "Password" });
    await password.fill("not it at all");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ visible: true }).waitFor();
    await password.fill(PASSWORD);
    await page.keyboard.press("Enter");
    await shownKey(page);
    await stored(page);
    await card(page, "After a password").waitFor();
  });
});

test("a refusal leaves the form as it was filled in", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.route("**/api/v1/api-keys", (route) => route.abort());
    await page.getByRole("button", { name: "Create key" }).first().click();
    await page.getByLabel("Name").fill("Kept");
    await page.keyboard.press("Enter");
    await page.getByText("Cannot reach the server.").waitFor();
    assert.equal(await page.getByLabel("Name").inputValue(), "Kept");
    await page.unroute("**/api/v1/api-keys");
    await page.keyboard.press("Enter");
    await shownKey(page);
  });
});

test("a list that could not be loaded says so, and is asked for again", async () => {
  await alm.signedIn(async (page) => {
    await page.route(/\/api-keys\b/, (route) => route.abort(), { times: 1 });
    await open(page, "keys");
    await page.getByRole("heading", { name: "This could not be loaded" }).waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("button", { name: "Create key" }).first().waitFor();
  });
});
