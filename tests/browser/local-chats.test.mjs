// A model that the server runs itself, from its file to a reply, as its owner sees it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeLlamaServer } from "./llama-server.mjs";
import { open, startOwned } from "./person.mjs";

let llama, alm;

before(async () => {
  llama = await makeLlamaServer({ loads: "file" });
  alm = await startOwned({ flags: llama.flags });
});
after(async () => {
  await alm?.stop();
  await llama?.remove();
});

const card = (page) => page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: "local/tiny" }) });
const reply = (page) => page.locator(".message.theirs");

async function ask(page, text) {
  await open(page, "sessions/new");
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

test("a chat waits until the model is loaded, and then for its turn", async () => {
  await alm.signedIn(async (first) => {
    await ask(first, "Hello waits=answer");
    await reply(first).getByText("The model is being loaded…").waitFor();
    await llama.open("file");
    await reply(first).getByText("A", { exact: true }).waitFor();

    await alm.signedIn(async (second) => {
      await ask(second, "And me?");
      await reply(second).getByText("Others are answered first: you are number 1…").waitFor();
      await llama.open("answer");
      await reply(second).getByText("A few words of a model.").waitFor();
    });
    await reply(first).getByText("A few words of a model.").waitFor();
    await reply(first).getByText("local/tiny").waitFor();
  });
});

test("its card says how it is, and stops and starts it", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "models");
    await card(page).getByText("ready", { exact: true }).waitFor();
    await card(page).getByText("8,192 tokens", { exact: true }).waitFor();
    await page.getByRole("button", { name: "What it says local/tiny" }).click();
    await page.getByRole("region", { name: "Its last lines" }).getByText("main: model loaded").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Stop local/tiny" }).click();
    await card(page).getByText("idle", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Start local/tiny" }).click();
    await card(page).getByText("ready", { exact: true }).waitFor();
    assert.equal(await page.getByRole("combobox", { name: "Used when" }).inputValue(), "Built-in: local/tiny");
  });
});
