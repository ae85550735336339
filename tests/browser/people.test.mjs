// Two people at once: one invites, the other comes, and what an owner sees of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { withPage } from "./browser.mjs";
import { ORG, PASSWORD, asPerson, open, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned()));
after(() => alm?.stop());

const dialog = (page) => page.getByRole("dialog").last();

/** Invites somebody in the page; answers the link. */
async function invite(page, email, role = "member") {
  await open(page, "people");
  await page.getByRole("button", { name: "Invite", exact: true }).click();
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Role").selectOption(role);
  await dialog(page).getByRole("button", { name: "Create link" }).click();
  const link = await dialog(page).locator("code").textContent();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await page.getByRole("heading", { name: email }).waitFor();
  return link;
}

test("somebody is invited, comes with a password of their own, and is removed while they look", async () => {
  await alm.signedIn(async (owner) => {
    const link = await invite(owner, "sam@example.com");
    await withPage(alm.base, async (guest) => {
      const asked = [];
      guest.on("request", (request) => request.method() === "GET" && asked.push(request.url()));
      await guest.goto(link);
      await guest.getByRole("heading", { name: `Join ${ORG}` }).waitFor();
      assert.ok(asked.length <= 12, `${asked.length} requests`);
      assert.equal(await guest.getByLabel("E-mail").inputValue(), "sam@example.com");
      await guest.getByLabel("Choose a password").fill("short");
      await guest.keyboard.press("Enter");
      await guest.locator("[aria-invalid]").waitFor();
      await guest.getByLabel("Choose a password").fill(PASSWORD);
      await guest.keyboard.press("Enter");
      await guest.waitForURL(`**/${ORG}/settings`);
      await guest.getByRole("link", { name: "API keys" }).waitFor();
      assert.equal(await guest.getByRole("link", { name: "People" }).count(), 0);
      assert.equal(await guest.getByRole("link", { name: "Audit" }).count(), 0);
      await asPerson(guest, "POST", "/api-keys", { name: "Sam's" });

      await open(guest, "account");
      await guest.getByText(/^Chrome on \w+$/).waitFor();
      await open(owner, "audit");
      await owner
        .getByRole("row", { name: /sam@example.com Signed in Chrome on/ })
        .first()
        .waitFor();
      await open(owner, "keys");
      await owner.getByText("sam@example.com").waitFor();
      assert.equal(await owner.getByRole("button", { name: "Rotate Sam's" }).count(), 0);
      await open(owner, "people");
      await owner.getByRole("button", { name: "Remove: sam@example.com" }).click();
      await dialog(owner).getByRole("button", { name: "Remove" }).click();
      await owner.getByText("Removed sam@example.com.").waitFor();
      await guest.reload();
      await guest.waitForURL("**/login*");

      await guest.goto(link);
      await guest.getByRole("heading", { name: "This invitation no longer works" }).waitFor();
    });
  });
});

test("the only owner stays, and an invitation is withdrawn", async () => {
  await alm.signedIn(async (page) => {
    await invite(page, "kim@example.com", "owner");
    await page.getByRole("button", { name: "Withdraw the invitation of kim@example.com" }).click();
    await page.getByText("Withdrew the invitation of kim@example.com.").waitFor();
    await page.getByRole("button", { name: /^Leave: you@/ }).click();
    await dialog(page).getByRole("button", { name: "Remove" }).click();
    await page.getByText("is the only owner").waitFor();
  });
});

test("a key is named anew and limited, and the audit tells of it", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await asPerson(page, "POST", "/api-keys", { name: "CI" });
    await open(page, "keys");
    await page.getByRole("button", { name: "Edit CI" }).click();
    await page.getByLabel("Name").fill("Nightly");
    await page.getByLabel("Monthly limit in US dollars").fill("nothing");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Enter an amount such as 10 or 0.50.").waitFor();
    await page.getByLabel("Monthly limit in US dollars").fill("2.50");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("$0.00 of $2.50 this month").waitFor();
    await open(page, "audit");
    await page.getByRole("cell", { name: "Changed a key" }).first().waitFor();
    await page.getByRole("cell", { name: /called Nightly, limit \$2.50 a month/ }).waitFor();
    await page.getByLabel("Show").selectOption("money");
    await page.getByText("Nobody has done anything of this kind.").waitFor();
  });
});

test("a new key is shown with what programs need", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.getByRole("button", { name: "Create key" }).first().click();
    await page.getByLabel("Name").fill("Shown");
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    const curl = page.getByRole("tab", { name: "curl" });
    await curl.focus();
    await page.keyboard.press("ArrowLeft");
    assert.equal(await page.getByRole("tab", { name: ".env" }).getAttribute("aria-selected"), "true");
    assert.match(await page.getByRole("tabpanel").innerText(), /OPENAI_API_KEY=alm_live_[0-9a-f]{48}/);
    await page.getByRole("button", { name: "I have stored it" }).click();
  });
});
