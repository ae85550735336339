// What stood in the place of a message: turned through, and gone on from.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { text } from "../clients/fake-upstream.mjs";
import { ask, axeFinds, chatWith, mine, replies, written } from "./chats.mjs";
import { startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

const act = (message, name) => message.getByRole("button", { name, exact: true }).click();
const texts = (page) => page.locator(".message .parts").allInnerTexts();

/** Waits for a reply that says this, and for its end. */
async function said(page, words) {
  await replies(page).getByText(words, { exact: true }).waitFor();
  await replies(page).last().locator(".foot").getByText("tokens").waitFor();
  await written(page);
}

test("earlier versions of a reply are turned through by button and key, and one of them is gone on from", async () => {
  await alm.signedIn(async (page) => {
    const requests = await chatWith(alm, page, [text("One."), text("Two."), text("Three."), text("Four.")]);
    await ask(page, "First?");
    await said(page, "One.");
    assert.equal(await page.getByText("1/1").filter({ visible: true }).count(), 0);
    await act(replies(page), "Again");
    await said(page, "Two.");
    await page.getByText("2/2").waitFor();
    await page.reload();
    await page.getByText("2/2").waitFor();
    await act(replies(page), "Version before");
    await replies(page).getByText("One.", { exact: true }).waitFor();
    await page.getByText("1/2").waitFor();
    await page.getByText("An earlier version.").filter({ visible: true }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Version after");
    assert.equal(await replies(page).getByRole("button", { name: "Again" }).filter({ visible: true }).count(), 0);
    assert.deepEqual(await axeFinds(page), []);
    await page.keyboard.press("Enter");
    await replies(page).getByText("Two.", { exact: true }).waitFor();
    assert.equal(await page.getByText("An earlier version.").filter({ visible: true }).count(), 0);

    await act(replies(page), "Version before");
    await act(replies(page), "Go on from here");
    await page.getByText("An earlier version.").filter({ visible: true }).waitFor({ state: "hidden" });
    await replies(page).getByText("One.", { exact: true }).waitFor();
    assert.deepEqual(await texts(page), ["First?", "One."]);
    await ask(page, "Second?");
    await said(page, "Three.");
    const told = requests.at(-1).body.messages.filter(({ role }) => role === "assistant");
    assert.deepEqual(
      told.map(({ content }) => content),
      ["One."],
    );
  });
});

test("an edited question keeps its versions, and what followed comes back with one", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [text("One."), text("Two.")]);
    await ask(page, "First?");
    await said(page, "One.");
    await act(mine(page), "Edit");
    await page.getByRole("textbox", { name: "Edit message" }).fill("Uno?");
    await page.keyboard.press("Enter");
    await said(page, "Two.");
    await mine(page).getByText("2/2").waitFor();
    await act(mine(page), "Version before");
    await mine(page).getByText("First?", { exact: true }).waitFor();
    await act(mine(page), "Go on from here");
    await replies(page).getByText("One.", { exact: true }).waitFor();
    assert.deepEqual(await texts(page), ["First?", "One."]);
  });
});
