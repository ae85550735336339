// A message on the page: what can be done with it, and what it says of itself.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chunk, cutInEvent, status, text } from "../clients/fake-upstream.mjs";
import { ask, axeFinds, chatWith, mine, replies, written } from "./chats.mjs";
import { pickModel, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

/** Asks one thing after the other, and waits for each reply. */
async function converse(page, ...questions) {
  for (const question of questions) {
    const before = await replies(page).count();
    await ask(page, question);
    await replies(page).nth(before).locator(".foot").getByText("tokens", { exact: false }).first().waitFor();
    await written(page);
  }
}

const texts = (page) => page.locator(".message .parts").allInnerTexts();
const act = (message, name) => message.getByRole("button", { name, exact: true }).click();

test("a message is copied as it was written", async () => {
  await alm.signedIn(
    async (page) => {
      await chatWith(alm, page, [text("**One** and\n\n* two")]);
      await converse(page, "Say it.");
      await act(replies(page), "Copy");
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "**One** and\n\n* two");
      await act(mine(page), "Copy");
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "Say it.");
    },
    { permissions: ["clipboard-read", "clipboard-write"] },
  );
});

test("a reply is asked for again, and what followed it leaves the page", async () => {
  await alm.signedIn(async (page) => {
    const requests = await chatWith(alm, page, [text("One."), text("Two."), text("Three.")]);
    await converse(page, "First?", "Second?");
    await act(replies(page).first(), "Again");
    await replies(page).getByText("Three.", { exact: true }).waitFor();
    await written(page);
    assert.deepEqual(await texts(page), ["First?", "Three."]);
    assert.equal(requests.at(-1).body.messages.at(-1).content, "First?");
    await page.reload();
    await replies(page).getByText("Three.", { exact: true }).waitFor();
    assert.deepEqual(await texts(page), ["First?", "Three."]);
  });
});

test("a reply is asked for again with another model, which the dialog offers", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [text("One.")]);
    await converse(page, "First?");
    await act(replies(page), "Again with another model");
    const dialog = page.getByRole("dialog", { name: "Again with another model" });
    await pickModel(dialog, "demo/ala");
    await act(dialog, "Ask again");
    await replies(page).locator(".foot").getByText("demo/ala").waitFor();
    await written(page);
    assert.equal(await replies(page).count(), 1);
  });
});

test("a question is edited where it stands, and the page says what becomes of the rest", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [text("One."), text("Two."), text("Three."), status(401)]);
    await converse(page, "First?", "Second?");
    await act(mine(page).first(), "Edit");
    const box = page.getByRole("textbox", { name: "Edit message" });
    await page.getByText("What follows is kept as another version.").waitFor();
    await page.keyboard.press("Escape");
    assert.equal(await box.count(), 0);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Edit");
    await page.keyboard.press("Enter");
    assert.equal(await box.inputValue(), "First?");
    await box.fill("Uno?");
    await page.keyboard.press("Enter");
    await replies(page).getByText("Three.", { exact: true }).waitFor();
    await written(page);
    assert.deepEqual(await texts(page), ["Uno?", "Three."]);

    // What is refused comes back, with the reason, and nothing is lost.
    await act(mine(page), "Edit");
    await box.fill("Due?");
    await act(page.getByRole("form", { name: "Edit" }), "Send");
    await page.getByRole("form", { name: "Edit" }).getByRole("alert").waitFor();
    assert.equal(await box.inputValue(), "Due?");
    await page.keyboard.press("Escape");
    assert.deepEqual(await texts(page), ["Uno?", "Three."]);
  });
});

test("a question that was just asked can be edited before any reload", async () => {
  await alm.signedIn(async (page) => {
    const requests = await chatWith(alm, page, [text("One."), text("Two.")]);
    await converse(page, "First?");
    const known = await mine(page).getAttribute("data-id");
    await act(mine(page), "Edit");
    await page.getByRole("textbox", { name: "Edit message" }).fill("Uno?");
    await page.keyboard.press("Enter");
    await replies(page).getByText("Two.", { exact: true }).waitFor();
    await written(page);
    assert.equal(requests.at(-1).body.messages.at(-1).content, "Uno?");
    await page.reload();
    await replies(page).getByText("Two.", { exact: true }).waitFor();
    assert.equal(await mine(page).getAttribute("data-id"), known);
    assert.deepEqual(await texts(page), ["Uno?", "Two."]);
  });
});

test("a reply that broke off can be tried again after a reload", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [cutInEvent("Half"), text("Whole.")]);
    await ask(page, "Say it.");
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await page.reload();
    await replies(page).getByText("Half", { exact: true }).waitFor();
    await replies(page).locator("strong", { hasText: "Failed" }).waitFor();
    await act(page, "Try again");
    await replies(page).getByText("Whole.", { exact: true }).waitFor();
    await written(page);
    assert.deepEqual(await texts(page), ["Say it.", "Whole."]);
    assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0);
  });
});

test("a message says when it was written, and thoughts how long they took where that was seen", async () => {
  await alm.signedIn(async (page) => {
    let lift;
    const seen = new Promise((resolve) => (lift = resolve));
    const think = async (reply) => {
      await reply.event(chunk({ role: "assistant", reasoning_content: "Hm." }));
      await seen;
      return text("Yes.")(reply);
    };
    await chatWith(alm, page, [think]);
    await ask(page, "Think.");
    await page.locator("summary", { hasText: "Thinking…" }).waitFor();
    lift();
    await written(page);
    await mine(page).locator("time").waitFor();
    await page.locator("summary", { hasText: /^Thought for [\d.]+ m?s$/ }).waitFor();
    await page.reload();
    await page.locator("summary", { hasText: /^Thought$/ }).waitFor();
    await mine(page).locator("time").waitFor();
  });
});

test("an error of the chat begins with a capital", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [status(401)]);
    await ask(page, "Hm?");
    const alert = page.locator(".composer").getByRole("alert");
    await alert.waitFor();
    assert.match(await alert.innerText(), /^[A-Z].*[.!?]$/s);
  });
});

test("what can be done with a message is reached by keyboard, and axe finds nothing", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [text("One."), text("Two.")]);
    await converse(page, "First?", "Second?");
    await act(mine(page).first(), "Edit");
    assert.deepEqual(await axeFinds(page), []);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Copy");
    assert.equal(await page.evaluate(() => getComputedStyle(document.activeElement).opacity), "1");
  });
});
