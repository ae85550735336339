// Calls that wait for a person: in the chat, in the inbox, in another tab, on a phone, by keyboard.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startCounting } from "../clients/counting.mjs";
import { text, toolCalls } from "../clients/fake-upstream.mjs";
import { HOSTILE, ORG, assertHarmless, asPerson, open, pickModel, startOwned } from "./person.mjs";

const SCHEMA = { type: "object", properties: { title: { type: "string" } }, required: ["title"] };

let alm;
let service;
let made = 0;

before(async () => {
  service = await startCounting();
  alm = await startOwned({ upstream: true, flags: ["--tool-allow", "127.0.0.1"] });
});
after(async () => {
  await alm?.stop();
  await service?.stop();
});

const ticket = (name, title) => [name, { title }];
const replies = (page) => page.locator(".message.theirs");
const count = (page) => page.getByRole("link", { name: /^Approvals/ });
const cards = (page) => page.locator("main article.approval");

/** A tool of its own for this test, its counter, and an open chat whose model does as `script(name)` says. */
async function chatWith(page, script, approval = "ask") {
  await open(page, "keys");
  const name = `create_ticket_${++made}`;
  const tickets = service.endpoint();
  await asPerson(page, "POST", "/tools", {
    name,
    description: "Opens a ticket.",
    inputSchema: SCHEMA,
    method: "POST",
    url: tickets.url,
    approval,
  });
  const endpoint = alm.upstream.endpoint(script(name));
  const slug = `fake-${made}`;
  await asPerson(page, "POST", "/providers", {
    slug,
    kind: "openai-compatible",
    baseUrl: endpoint.baseUrl,
    models: [{ id: "m" }],
  });
  await open(page, "sessions/new");
  await pickModel(page, `${slug}/m`);
  await page.getByRole("textbox", { name: "Message" }).fill("Open a ticket.");
  await page.keyboard.press("Enter");
  return { name, tickets, endpoint };
}

const titles = ({ calls }) => calls.map(({ body }) => body.title).sort();

test("a call that waits is shown with its input, and one click lets it run once", async () => {
  await alm.signedIn(async (page) => {
    const { name, tickets } = await chatWith(page, (name) => [toolCalls(ticket(name, "one")), text("It is open.")]);
    await cards(page).getByText('"title": "one"').waitFor();
    await page.getByText("The agent waits for your answer.", { exact: false }).first().waitFor();
    assert.equal(tickets.calls.length, 0);
    await page.reload();
    await page.getByRole("button", { name: `Allow ${name}` }).click();
    await replies(page).getByText("It is open.").waitFor();
    assert.deepEqual(titles(tickets), ["one"]);
    assert.equal(await cards(page).count(), 0);
    assert.equal(await replies(page).count(), 1);
    await replies(page).getByText(`Tool ${name} · done`).waitFor();
  });
});

test("a no is given with its reason, which the model reads", async () => {
  await alm.signedIn(async (page) => {
    const { name, tickets, endpoint } = await chatWith(page, (name) => [
      toolCalls(ticket(name, "one")),
      text("As you wish."),
    ]);
    await page.getByRole("button", { name: `Deny… ${name}` }).click();
    assert.equal(await page.evaluate(() => document.activeElement.name), "reason");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: `Deny… ${name}` }).click();
    await page.getByLabel("Reason").fill("Not on a Friday.");
    await page.getByRole("button", { name: `Deny ${name}` }).click();
    await replies(page).getByText("As you wish.").waitFor();
    assert.equal(tickets.calls.length, 0);
    assert.match(JSON.stringify(endpoint.requests[1].body.messages), /Not on a Friday\./);
    for (const when of ["at once", "after a reload"]) {
      if (when === "after a reload") await page.reload();
      await replies(page).getByText("denied").click();
      await replies(page).getByText("Not on a Friday.").waitFor();
    }
  });
});

test("another tab counts what waits, answers it, and the chat goes on by itself", async () => {
  await alm.signedIn(async (page) => {
    const inbox = await page.context().newPage();
    await open(inbox, "approvals");
    await inbox.getByText("No call waits").waitFor();
    const { name, tickets } = await chatWith(page, (name) => [
      toolCalls(ticket(name, "one"), ticket(name, "two")),
      text("Both are open."),
    ]);
    await cards(page).nth(1).waitFor();
    await inbox.bringToFront();
    await cards(inbox).nth(1).waitFor();
    assert.match(await count(inbox).innerText(), /2/);
    await cards(inbox).first().getByText("Ala asks to call").waitFor();
    await inbox
      .getByRole("button", { name: `Allow ${name}` })
      .first()
      .click();
    await cards(inbox).nth(1).waitFor({ state: "detached" });
    assert.equal(tickets.calls.length, 0);

    await page.bringToFront();
    await cards(page)
      .first()
      .getByText(/^Allowed by/)
      .waitFor();
    assert.equal(await page.getByRole("button", { name: `Allow ${name}` }).count(), 1);

    await inbox.bringToFront();
    await inbox.getByRole("button", { name: `Allow ${name}` }).click();
    await inbox.getByText("No call waits").waitFor();
    await page.bringToFront();
    await replies(page).getByText("Both are open.").waitFor();
    assert.deepEqual(titles(tickets), ["one", "two"]);
    assert.equal(await replies(page).count(), 1);

    await inbox.bringToFront();
    const row = inbox.getByRole("row", { name: new RegExp(name) }).first();
    await row.getByText("you@example.com").waitFor();
    await row.getByText("in a browser").waitFor();
    await row.getByText("done").waitFor();
  });
});

test("what a model writes into an input is text that does nothing, and hides nothing", async () => {
  await alm.signedIn(async (page) => {
    const title = `${HOSTILE} https://example.com/ [a](https://example.com/) \u202egpj.exe\u200b`;
    await chatWith(page, (name) => [toolCalls(ticket(name, title)), text("Done.")]);
    for (const section of [undefined, "approvals"]) {
      if (section) await open(page, section);
      const card = cards(page).first();
      await card.getByText("<script>").waitFor();
      await assertHarmless(page);
      assert.equal(await card.locator("pre a").count(), 0);
      const shown = await card.locator("pre").innerText();
      assert.match(shown, /\\u\{202e\}gpj\.exe\\u\{200b\}/);
      assert.ok(shown.includes(JSON.stringify(HOSTILE).slice(1, -1)));
    }
    await page.getByRole("button", { name: /^Deny…/ }).click();
    await page.getByRole("button", { name: /^Deny c/ }).click();
    await page.getByText("No call waits").waitFor();
  });
});

test("what is allowed for the session does not ask again in it", async () => {
  await alm.signedIn(async (page) => {
    const { name, tickets } = await chatWith(page, (name) => [
      toolCalls(ticket(name, "one")),
      text("First."),
      toolCalls(ticket(name, "two")),
      text("Second."),
    ]);
    await page.getByRole("button", { name: `Allow in this session ${name}` }).click();
    await replies(page).getByText("First.").waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
    await page.getByRole("textbox", { name: "Message" }).fill("Another.");
    await page.keyboard.press("Enter");
    await replies(page).getByText("Second.").waitFor();
    assert.deepEqual(titles(tickets), ["one", "two"]);
  });
});

test("to write instead of answering withdraws what waits", async () => {
  await alm.signedIn(async (page) => {
    const { tickets } = await chatWith(page, (name) => [toolCalls(ticket(name, "one")), text("Never mind.")]);
    await cards(page).waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
    await page.getByRole("textbox", { name: "Message" }).fill("Rather not.");
    await page.keyboard.press("Enter");
    await replies(page).getByText("Never mind.").waitFor();
    await page.reload();
    await replies(page).getByText("Never mind.").waitFor();
    assert.equal(await cards(page).count(), 0);
    assert.equal(tickets.calls.length, 0);
  });
});

test("for who is no owner, a call that only an owner may allow has no such button", async () => {
  await alm.signedIn(async (page) => {
    const { name } = await chatWith(page, (name) => [toolCalls(ticket(name, "one")), text("Done.")], "owner");
    await page.getByRole("button", { name: `Allow ${name}` }).waitFor();
    await page.getByText("Only an owner may allow it.").waitFor();
    assert.equal(await page.getByRole("button", { name: /Allow in this session/ }).count(), 0);

    await page.route("**/api/v1/auth/me", async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      for (const org of body.data.orgs) org.role = "member";
      await route.fulfill({ response: answer, json: body });
    });
    await open(page, "approvals");
    await page.getByText("An owner has to allow it.").waitFor();
    assert.equal(await page.getByRole("button", { name: /^Allow/ }).count(), 0);
    await page.getByRole("button", { name: `Deny… ${name}` }).click();
    await page.getByRole("button", { name: `Deny ${name}` }).click();
    await page.getByText("No call waits").waitFor();
  });
});

test("the inbox is answered with the keyboard, and what is typed survives the next look", async () => {
  await alm.signedIn(
    async (page) => {
      const { name, tickets } = await chatWith(page, (name) => [
        toolCalls(ticket(name, "one"), ticket(name, "two")),
        text("One is open."),
      ]);
      await cards(page).nth(1).waitFor();
      await open(page, "approvals");
      await cards(page).nth(1).waitFor();
      await page
        .getByRole("button", { name: `Deny… ${name}` })
        .first()
        .focus();
      await page.keyboard.press("Enter");
      await page.keyboard.type("No, ");
      // As another tab tells that something else waits.
      const looked = page.waitForResponse((answer) => answer.url().includes("/approvals?status=waiting"));
      await page.evaluate((org) => {
        new BroadcastChannel(`alm events ${org}`).postMessage({ event: { type: "resync" }, id: "" });
      }, ORG);
      await looked;
      await page.keyboard.type("thanks.");
      assert.equal(await page.getByLabel("Reason").first().inputValue(), "No, thanks.");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await cards(page).nth(1).waitFor({ state: "detached" });
      const hasFocus = await page.evaluate(() => document.activeElement.closest("main") !== null);
      assert.ok(hasFocus);
      await page.keyboard.press("Tab");
      await page.getByRole("button", { name: `Allow ${name}` }).focus();
      await page.keyboard.press("Enter");
      await page.getByText("No call waits").waitFor();
      await page
        .getByRole("row", { name: new RegExp(name) })
        .getByText("No, thanks.")
        .waitFor();
      await page
        .getByRole("row", { name: new RegExp(name) })
        .getByText("done")
        .waitFor();
      assert.deepEqual(titles(tickets), ["two"]);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${wide} px too wide`);
    },
    { screen: "phone" },
  );
});
