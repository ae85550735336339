// A session as a file and on paper.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { text } from "../clients/fake-upstream.mjs";
import { ask, chatWith, replies, written } from "./chats.mjs";
import { chosen, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

/** What is saved when this is chosen: the file's name and its text. */
async function saved(page, action) {
  const [download] = await Promise.all([page.waitForEvent("download"), chosen(page, action)]);
  return [download.suggestedFilename(), await readFile(await download.path(), "utf8")];
}

test("a session is saved as Markdown and as JSON", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(alm, page, [text("**One** of\n\n* two")]);
    await ask(page, "What: is/it?");
    await replies(page).locator(".foot").getByText("tokens").waitFor();
    await written(page);
    const [name, markdown] = await saved(page, "Save as Markdown");
    assert.equal(name, "What-is-it.md");
    const when = /, \d{4}-\d\d-\d\dT[\d:.]+Z/g;
    assert.equal(
      markdown.replaceAll(when, ""),
      "# What: is/it?\n\n## You\n\nWhat: is/it?\n\n## Agent 1\n\n**One** of\n\n* two\n",
    );
    assert.equal(markdown.match(when).length, 2);
    const [json, content] = await saved(page, "Save as JSON");
    assert.equal(json, "What-is-it.json");
    const { session, messages } = JSON.parse(content);
    assert.equal(session.label, "What: is/it?");
    assert.deepEqual(
      messages.map(({ role }) => role),
      ["user", "assistant"],
    );
  });
});

test("on paper stand the messages, all of them, and nothing else", async () => {
  await alm.signedIn(async (page) => {
    const many = Array.from({ length: 60 }, (_, line) => `Line ${line}.`).join("\n\n");
    await chatWith(alm, page, [text(many)]);
    await ask(page, "Many?");
    await replies(page).locator(".foot").getByText("tokens").waitFor();
    await written(page);
    await page.evaluate(() => (window.print = () => (window.printed = true)));
    await chosen(page, "Print");
    await page.waitForFunction(() => window.printed);
    await page.emulateMedia({ media: "print" });
    for (const name of ["Send", "Copy", "Again", "Session actions"])
      assert.equal(await page.getByRole("button", { name, exact: true }).filter({ visible: true }).count(), 0, name);
    assert.equal(await page.getByRole("navigation").filter({ visible: true }).count(), 0);
    const { whole, cut } = await page.evaluate(() => ({
      whole: document.querySelector(".message.theirs").scrollHeight <= document.documentElement.scrollHeight,
      cut: [...document.querySelectorAll("main, main *")].filter(
        (element) =>
          element.contains(document.querySelector(".theirs")) && element.scrollHeight > element.clientHeight + 1,
      ).length,
    }));
    assert.deepEqual({ whole, cut }, { whole: true, cut: 0 });
  });
});
