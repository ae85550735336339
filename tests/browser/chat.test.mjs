// The playground: streams, reloads, stops, refusals, and what is done with sessions.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gated, status, text } from "../clients/fake-upstream.mjs";
import { asPerson, chosen, open, pickModel, startOwned } from "./person.mjs";

let alm;
let providers = 0;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

/** A promise, and the function that settles it. */
function gate() {
  let lift;
  const lifted = new Promise((resolve) => (lift = resolve));
  return [lifted, lift];
}

/** Opens a new chat with a model that follows this script. */
async function chatWith(page, replies) {
  await open(page, "keys");
  const slug = `fake-${++providers}`;
  const { baseUrl } = alm.upstream.endpoint(replies);
  await asPerson(page, "POST", "/providers", { slug, kind: "openai-compatible", baseUrl, models: [{ id: "m" }] });
  await open(page, "sessions/new");
  await pickModel(page, `${slug}/m`);
}

async function ask(page, text) {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.keyboard.press("Enter");
}

const replies = (page) => page.locator(".message.theirs");
const written = (page) => page.getByRole("button", { name: "Send" }).waitFor();
const stopButton = (page) => page.getByRole("button", { name: "Stop" });

test("a reply is seen to grow, is found again after a reload, and is there once", async () => {
  await alm.signedIn(async (page) => {
    const [second, liftSecond] = gate();
    const [third, liftThird] = gate();
    await chatWith(page, [gated([Promise.resolve(), "One"], [second, " two"], [third, " three."])]);
    await ask(page, "Count.");
    await replies(page).getByText("One", { exact: true }).waitFor();
    await stopButton(page).waitFor();

    await page.reload();
    await replies(page).getByText("One", { exact: true }).waitFor();
    assert.match(page.url(), /#sessions\/[\w-]{36}$/);
    liftSecond();
    await replies(page).getByText("One two", { exact: true }).waitFor();
    liftThird();
    await replies(page).getByText("One two three.", { exact: true }).waitFor();
    await written(page);
    assert.equal(await replies(page).count(), 1);
    assert.equal(await page.locator(".message.mine").count(), 1);

    await page.reload();
    await replies(page).getByText("One two three.", { exact: true }).waitFor();
    assert.equal(await replies(page).count(), 1);
  });
});

test("a reply that is stopped keeps what was said, and the next question goes on", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(page, [gated([Promise.resolve(), "Never"], [new Promise(() => {}), " ends"]), text("Yes.")]);
    await ask(page, "Talk.");
    await replies(page).getByText("Never", { exact: true }).waitFor();
    await stopButton(page).click();
    await page.locator(".foot strong", { hasText: "Stopped" }).waitFor();
    await written(page);
    await ask(page, "Still there?");
    await replies(page).getByText("Yes.", { exact: true }).waitFor();
  });
});

test("a question that is refused comes back into the box, with the reason", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(page, [status(401)]);
    await ask(page, "A long and well considered question");
    await page.getByRole("alert").filter({ visible: true }).waitFor();
    assert.equal(
      await page.getByRole("textbox", { name: "Message" }).inputValue(),
      "A long and well considered question",
    );
    assert.equal(await page.locator(".message").count(), 0);
  });
});

test("a reply that breaks off says so, and can be tried again", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await ask(page, "Show an error");
    await page.locator(".foot strong", { hasText: "Failed" }).waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await stopButton(page).waitFor();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    assert.equal(await replies(page).count(), 1);
  });
});

test("a reply that a crash interrupted goes on where it was", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "sessions/new");
    await ask(page, "Write 400 words");
    // Once a second what was said is put where a crash leaves it.
    await replies(page).getByText("Johann Döbereiner had noticed triads").waitFor();
    await alm.crash();
    await page.getByRole("button", { name: "Continue the interrupted reply" }).click();
    await stopButton(page).waitFor();
    await written(page);
    assert.equal(await replies(page).count(), 1);
    const shown = await page.locator(".theirs .parts").innerText();
    await page.reload();
    await page.locator(".theirs .foot").getByText("tokens").waitFor();
    assert.equal(await page.locator(".theirs .parts").innerText(), shown);
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
    await page.getByRole("heading", { name: "Result", exact: true }).waitFor();
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
    await chosen(page, "Raw stream");
    await ask(page, "It's a test");
    await page.getByRole("region", { name: "Raw stream" }).getByText("[DONE]").waitFor();
    await page.getByRole("textbox", { name: "Message" }).fill("It's a test");
    await chosen(page, "Show as curl");
    const command = await page.getByRole("region", { name: "Command" }).textContent();
    assert.ok(
      command.includes(`${alm.base}/api/v1/chat`) &&
        command.includes("$ALM_KEY") &&
        command.includes(`It'\\''s a test`),
      command,
    );
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
    await chosen(page, "Rename");
    await page.getByRole("dialog").getByLabel("Label").fill("Insects");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Insects" }).waitFor();
    await list.getByRole("link", { name: "Insects" }).waitFor();
    await chosen(page, "Delete");
    await page.getByRole("button", { name: "Delete session" }).click();
    await list.getByText("No matches.").waitFor();
    await page.goto("about:blank");
  });
});

test("growing text is said in whole sentences, and that it has ended", async () => {
  await alm.signedIn(async (page) => {
    await chatWith(page, [text("First. ", "Second.")]);
    await ask(page, "Speak.");
    await page
      .locator(".chat > [role=status]")
      .getByText("First. Second. The reply is complete.")
      .waitFor({ state: "attached" });
  });
});

test("below a reply stands what the model was not sent", async () => {
  await alm.signedIn(async (page) => {
    const refused = { error: { message: "m does not support tools", type: "api_error", code: null } };
    await chatWith(page, [status(400, {}, refused), text("Without.")]);
    await ask(page, "Go on");
    await replies(page).getByText("Without.").waitFor();
    await replies(page).getByText("sent without tools, which the model refuses").waitFor();
    await page.reload();
    await replies(page).getByText("sent without tools, which the model refuses").waitFor();
  });
});

test("while a model is loaded the page says so", async () => {
  await alm.signedIn(async (page) => {
    const loading = { error: { code: 503, message: "Loading model", type: "unavailable_error" } };
    const refusals = Array.from({ length: 8 }, () => status(503, {}, loading));
    await chatWith(page, [...refusals, text("Awake.")]);
    await ask(page, "Are you there?");
    await replies(page).getByText("The model is being loaded…").waitFor();
    await replies(page).getByText("Awake.").waitFor();
    await written(page);
    assert.equal(await page.getByText("The model is being loaded…").count(), 0);
  });
});
