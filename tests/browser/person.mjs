// The owner of a fresh server, at a browser.

import assert from "node:assert/strict";
import { startEmpty } from "../clients/alm.mjs";
import { startFakeUpstream } from "../clients/fake-upstream.mjs";
import { withPage } from "./browser.mjs";

export const EMAIL = "you@example.com";
export const PASSWORD = "correct horse battery staple";
export const ORG = "acme";

/** What a stranger may write into anything. */
export const HOSTILE = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"'><svg onload=window.hacked=1>`;

/**
 * A server that has been set up; `signedIn(use)` is a browser of its owner's. With `upstream: true` a fake model stands
 * beside it, as `upstream`. `flags` are the server's. With `base` the browser comes by another address.
 */
export async function startOwned({ upstream: withUpstream = false, flags } = {}) {
  const upstream = withUpstream ? await startFakeUpstream() : undefined;
  const alm = await startEmpty(flags);
  const code = new URL(alm.link).hash.slice(1);
  await post(alm, "/auth/setup", { code, orgSlug: ORG, email: EMAIL, password: PASSWORD });
  const signedIn = (use, { base = alm.base, ...options } = {}) =>
    withPage(
      base,
      async (page, seen) => {
        const answer = await page.request.post("/api/v1/auth/login", {
          data: { email: EMAIL, password: PASSWORD },
          headers: { origin: base },
        });
        if (!answer.ok()) throw new Error(`signing in: ${answer.status()} ${await answer.text()}`);
        return use(page, seen);
      },
      options,
    );
  const stop = async () => {
    await alm.stop();
    await upstream?.stop();
  };
  return { ...alm, upstream, signedIn, stop };
}

async function post(alm, path, body) {
  const headers = { "content-type": "application/json", origin: alm.base };
  const answer = await fetch(`${alm.base}/api/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
}

/** A call that this page's person makes, past the page. */
export async function asPerson(page, method, path, data) {
  const headers = { origin: new URL(page.url()).origin, "x-alumia-org": ORG };
  const answer = await page.request.fetch(`/api/v1${path}`, { method, data, headers });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return (await answer.json()).data;
}

/** Opens a section of the settings, with nothing left of the one before. */
export async function open(page, section) {
  await page.goto("about:blank");
  await page.goto(`/${ORG}/settings#${section}`);
  await page.getByRole("heading", { level: 1 }).waitFor({ state: "attached" });
}

/** Nothing ran, and what was shown as text is text. */
export async function assertHarmless(page) {
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  const made = await page.evaluate(
    () =>
      document.querySelectorAll("main script, main img, main svg[onload], main [onclick], dialog script, dialog img")
        .length,
  );
  assert.equal(made, 0);
}

/** Chooses from the list of what can be done with the open session. */
export async function chosen(page, action) {
  await page.getByRole("button", { name: "Session actions" }).click();
  await page.getByRole("group", { name: "Session actions" }).getByRole("button", { name: action }).click();
}

/** Chooses a model by the keyboard, as its id says. */
export async function pickModel(page, id) {
  const box = page.getByRole("combobox", { name: "Model" });
  await box.fill(id);
  await box.press("Enter");
}
