// The playground: streams, reloads, stops, refusals, and what is done with sessions.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { open, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned()));
after(() => alm?.stop());

async function ask(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

const replies = (page) => page.locator(".message.theirs");
const written = (page) => page.getByRole("button", { name: "Send" }).waitFor();
const stopButton = (page) => page.getByRole("button", { name: "Stop" });

test("a reply that breaks off says so, and can be tried again", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await ask(page, "Show an error");
    await page.locator(".foot strong", { hasText: "Broke off" }).waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await stopButton(page).waitFor();
    await page.getByRole("button", { name: "Try again" }).waitFor();
  });
});

test("every kind of part is shown", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await page.getByRole("button", { name: "Think: is 221 prime?" }).click();
    await written(page);
    await page.locator("summary", { hasText: "Thought" }).click();
    await ask(page, "What time is it?");
    await page.locator("summary", { hasText: "current_time · done" }).click();
    await page.getByRole("heading", { name: "Answer", exact: true }).waitFor();
    await written(page);
    await ask(page, "Show me Markdown");
    await replies(page).getByRole("cell", { name: "Oganesson" }).waitFor();
    await written(page);
    await ask(page, "Cite a source");
    await page.getByRole("list", { name: "Sources" }).getByRole("link", { name: "IUPAC" }).waitFor();
    await written(page);
    await ask(page, "Write some code");
    await page.getByRole("region", { name: "Code, js", exact: true }).waitFor();
    await written(page);
  });
});

test("the raw stream and the same call with curl are shown", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await page.getByRole("button", { name: "Raw stream" }).click();
    await ask(page, "It's a test");
    await page.getByRole("region", { name: "Raw stream" }).getByText("[DONE]").waitFor();
    await page.getByRole("textbox", { name: "Message" }).fill("It's a test");
    await page.getByRole("button", { name: "Show as curl" }).click();
    const command = await page.getByRole("region", { name: "Command" }).textContent();
    assert.ok(command.includes(`${alm.base}/api/v1/chat`) && command.includes("$ALM_KEY") && command.includes(`It'\\''s a test`), command);
  });
});

test("a session is found, renamed and deleted", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await ask(page, "What is a zyzzogeton?");
    await written(page);
    const list = page.getByRole("navigation", { name: "Sessions" });
    await list.getByRole("searchbox").fill("zyzzogeton");
    await list.getByText("1 session found").waitFor({ state: "attached" });
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("dialog").getByLabel("Label").fill("Insects");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Insects" }).waitFor();
    await list.getByRole("link", { name: "Insects" }).waitFor();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("button", { name: "Delete session" }).click();
    await list.getByText("Nothing holds these words.").waitFor();
    await page.goto("about:blank");
  });
});
