// A recorded model alone: the chat's page and /docs work on it as on any other. (`use-chat.test.mjs` has useChat.)

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startAlm } from "../clients/alm.mjs";
import { withPage } from "./browser.mjs";
import { PASSWORD } from "./person.mjs";
import { replaying } from "./recorded.mjs";

const BERN = "What is the weather in Bern?";
const RAIN = "Rain, as it was recorded.";

let alm;
let org;

before(async () => {
  alm = await startAlm();
  org = await alm.org();
  await replaying(alm, org, { [BERN]: RAIN });
});

after(() => alm?.stop());

test("a person asks a recorded model in the chat, and reads what it has no answer to", async () => {
  await withPage(alm.base, async (page) => {
    const data = { email: "a1@example.com", password: PASSWORD };
    const signedIn = await page.request.post("/api/v1/auth/login", { data, headers: { origin: alm.base } });
    assert.ok(signedIn.ok(), await signedIn.text());
    await page.goto(`/${org.slug}/settings#sessions/new`);
    const message = page.getByRole("textbox", { name: "Message" });
    await message.fill(BERN);
    await page.keyboard.press("Enter");
    await page.locator(".message.theirs", { hasText: RAIN }).waitFor();
    await message.fill("Who painted the Mona Lisa?");
    await page.keyboard.press("Enter");
    await page.getByText("has no answer for").first().waitFor();
  });
});

test("Swagger asks a recorded model and reads its stream", async () => {
  await withPage(alm.base, async (page) => {
    await page.goto("/docs");
    await page.getByLabel("API key").fill(org.key);
    await page.getByLabel("Organization").fill(org.slug);
    const chat = page.locator(".opblock-post", { has: page.locator('[data-path="/api/v1/chat"]') });
    await chat.locator(".opblock-summary-control").click();
    await chat.getByRole("button", { name: "Try it out" }).click();
    const body = { messages: [{ role: "user", content: BERN }] };
    await chat.locator("textarea.body-param__text").fill(JSON.stringify(body));
    await chat.getByRole("button", { name: "Execute" }).click();
    const reply = chat.getByRole("region", { name: "Reply as it arrives" });
    await reply.getByRole("status").getByText("complete").waitFor();
    assert.equal(await reply.locator(".text").textContent(), RAIN);
  });
});
