// A chat at a browser: with a model that follows a script, asked by typing.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { asPerson, open } from "./person.mjs";

let agents = 0;

/** Opens a new chat with an agent whose model follows this script. */
export async function chatWith(alm, page, replies) {
  await open(page, "keys");
  const slug = `script-${++agents}`;
  const { baseUrl, requests } = alm.upstream.endpoint(replies);
  await asPerson(page, "POST", "/providers", { slug, kind: "openai-compatible", baseUrl, models: [{ id: "m" }] });
  const { id } = await asPerson(page, "POST", "/agents", { name: `Agent ${agents}`, model: `${slug}/m` });
  await open(page, `sessions/new/${id}`);
  return requests;
}

export async function ask(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

export const replies = (page) => page.locator(".message.theirs");
export const mine = (page) => page.locator(".message.mine");
/** No reply is being written. */
export const written = (page) => page.getByRole("button", { name: "Send", exact: true }).waitFor();

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds, in light and in dark. */
export async function axeFinds(page) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    // Trusted Types refuse a script that is put into the page.
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    found.push(...violations.map(({ id, nodes }) => `${colorScheme} ${id}: ${nodes.map(({ html }) => html)}`));
  }
  return found;
}
