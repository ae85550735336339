// From an empty folder to a front end's first stream: the printed link, a key, the command that is shown with it.

import assert from "node:assert/strict";
import { exec } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { startEmpty } from "../clients/alm.mjs";
import { withPage } from "./browser.mjs";
import { EMAIL, PASSWORD } from "./person.mjs";

const shell = promisify(exec);
let alm;

before(async () => (alm = await startEmpty()));
after(() => alm?.stop());

async function fillSetup(page) {
  await page.getByLabel("Organization").fill("acme");
  await page.getByLabel("Your e-mail").fill(EMAIL);
  await page.getByRole("textbox", { name: "Password" }).fill(PASSWORD);
}

test("the printed link leads to a stream on the command line", async () => {
  await withPage(alm.base, async (page) => {
    await page.goto(alm.link);
    await fillSetup(page);
    await page.getByText("Strong, if you use it nowhere else.").waitFor();
    await page.getByText(`${alm.base}/acme/settings`).waitFor();
    await page.getByRole("button", { name: "Set up alm" }).click();
    await page.waitForURL("**/acme/settings");

    await page.getByRole("button", { name: "Create key" }).last().click();
    await page.getByLabel("Name").fill("My back end");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    const command = await page.getByRole("region", { name: "curl" }).textContent();
    const { stdout } = await shell(command);
    assert.match(stdout, /"type":"text-delta"[^]*data: \[DONE\]/);
  });
});

test("the link works once", async () => {
  await withPage(alm.base, async (page) => {
    await page.goto(alm.link);
    await page.getByRole("heading", { name: "This server is set up" }).waitFor();
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  });
});

test("a wrong setup is refused beside the field that is wrong", async () => {
  const other = await startEmpty();
  try {
    await withPage(other.base, async (page) => {
      await page.goto(other.link);
      await fillSetup(page);
      await page.getByLabel("Organization").fill("No Slug!");
      await page.getByRole("button", { name: "Set up alm" }).click();
      const slug = page.getByLabel("Organization");
      await page.locator('[name="orgSlug"][aria-invalid="true"]').waitFor();
      assert.match(await page.locator(`#${await slug.getAttribute("id")}-wrong`).textContent(), /lower-case letters/);
      assert.ok(await slug.evaluate((element) => element === document.activeElement));
    });
  } finally {
    await other.stop();
  }
});

test("whoever is not signed in is asked to, and comes to where they wanted to go", async () => {
  await withPage(alm.base, async (page) => {
    await page.goto("/acme/settings#usage");
    await page.waitForURL("**/login?next=*");
    await page.getByLabel("E-mail").fill(EMAIL);
    await page.getByLabel("Password").fill("not it at all");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ visible: true }).waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await page.waitForURL("**/acme/settings#usage");
    await page.getByRole("heading", { name: "Usage" }).waitFor();

    await page.getByRole("button", { name: "Sign out" }).click();
    await page.waitForURL("**/login");
    await page.goto("/acme/settings");
    await page.waitForURL("**/login?next=*");
  });
});

test("the way back from signing in leads to no other place than this server", async () => {
  await withPage(alm.base, async (page) => {
    for (const next of ["//127.0.0.1:1/x", "https://127.0.0.1:1/", "javascript:window.hacked=1"]) {
      await page.context().clearCookies();
      await page.goto(`/login?next=${encodeURIComponent(next)}`);
      await page.getByLabel("E-mail").fill(EMAIL);
      await page.getByLabel("Password").fill(PASSWORD);
      await page.keyboard.press("Enter");
      await page.waitForURL("**/acme/settings");
      assert.equal(new URL(page.url()).origin, alm.base);
    }
    // Signed in already, one is sent on without a word.
    const evil = "127.0.0.1:1/x";
    const forms = [
      "//",
      "/.//",
      ".//",
      "/..//",
      "/a/..//",
      "/./\\",
      "\\\\",
      "/\\",
      "/%2e//",
      "/.;//",
      "/\t/",
      " //",
      "///",
    ];
    const whole = [
      `http:${evil}`,
      `${alm.base}//${evil}`,
      `${alm.base}/.//${evil}`,
      `${alm.base}@${evil}`,
      `blob:${alm.base}/x`,
    ];
    for (const next of [...forms.map((form) => form + evil), ...whole, "data:text/html,x", "view-source:x", ".", "%"]) {
      await page.goto(`/login?next=${encodeURIComponent(next)}`);
      await page.waitForURL((url) => url.pathname !== "/login");
      assert.equal(new URL(page.url()).origin, alm.base, next);
    }
  });
});
