// /docs in a real browser: sign in, try an operation, watch a reply arrive.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startAlm } from "../clients/alm.mjs";
import { PROVOKED, SCREENS, withPage } from "./browser.mjs";
import { assertSound } from "./sound.mjs";

let alm;
let server;

before(async () => {
  alm = await startAlm();
  server = await alm.org();
});

after(() => alm?.stop());

const operation = (page, method, path) =>
  page.locator(`.opblock-${method}`, { has: page.locator(`[data-path="${path}"]`) });

async function tryOut(block, body) {
  await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Try it out" }).click();
  if (body) await block.locator("textarea.body-param__text").fill(JSON.stringify(body));
  await block.getByRole("button", { name: "Execute" }).click();
}

async function openDocs(page) {
  await page.goto("/docs");
  await page.getByText("/api/v1/agents", { exact: true }).first().waitFor();
}

async function signIn(page) {
  await page.getByLabel("API key").fill(server.key);
  await page.getByLabel("Organization").fill(server.slug);
}

/** The text of `element` as soon as it is longer than `length`. */
async function grownBeyond(element, length) {
  const grown = await element
    .page()
    .waitForFunction(
      ([node, length]) => node.textContent.length > length && node.textContent,
      [await element.elementHandle(), length],
    );
  return grown.jsonValue();
}

test("the fields at the top sign a call in", async () => {
  await withPage(alm.base, async (page) => {
    await openDocs(page);
    await signIn(page);
    const called = page.waitForRequest("**/api/v1/agents");
    const agents = operation(page, "get", "/api/v1/agents");
    await tryOut(agents);
    const headers = (await called).headers();
    assert.equal(headers.authorization, `Bearer ${server.key}`);
    assert.equal(headers["x-alumia-org"], server.slug);
    await agents.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
  });
});

for (const colorScheme of ["light", "dark"])
  test(`the documentation is of one piece with the pages: ${colorScheme}`, async () => {
    await withPage(
      alm.base,
      async (page) => {
        await openDocs(page);
        await signIn(page);
        assert.equal(await page.getByRole("button", { name: /authori[sz]/i }).count(), 0, "one place for the key");
        await tryOut(operation(page, "get", "/api/v1/agents"));
        await operation(page, "get", "/api/v1/agents").locator(".live-responses-table").waitFor();
        await tryOut(operation(page, "post", "/api/v1/chat"), { messages: [{ role: "user", content: "Hello" }] });
        const looks = () =>
          page.evaluate(() =>
            ["body", ".opblock-summary-description", ".opblock .btn"].map((selector) => {
              const { color, backgroundColor, fontFamily } = getComputedStyle(document.querySelector(selector));
              return { color, backgroundColor, fontFamily };
            }),
          );
        const [body, text, button] = await looks();
        assert.deepEqual([text.fontFamily, button.fontFamily], [body.fontFamily, body.fontFamily]);
        for (const size of [SCREENS.desktop, SCREENS.phone, SCREENS.narrow]) {
          await page.setViewportSize(size);
          await assertSound(page, `/docs, ${size.width}`);
        }
        // Whoever has chosen colours on a page has them here.
        await page.evaluate(
          (other) => localStorage.setItem("alm-theme", other),
          { light: "dark", dark: "light" }[colorScheme],
        );
        await page.reload();
        await operation(page, "get", "/api/v1/agents").waitFor();
        const [other] = await looks();
        assert.notEqual(other.color, body.color);
        assert.notEqual(other.backgroundColor, body.backgroundColor);
      },
      { colorScheme },
    );
  });

test("a reply is seen to grow before it has ended", async () => {
  await withPage(alm.base, async (page) => {
    await openDocs(page);
    await signIn(page);
    const chat = operation(page, "post", "/api/v1/chat");
    await tryOut(chat, { messages: [{ role: "user", content: "Count slowly from one to thirty." }] });
    const reply = chat.getByRole("region", { name: "Reply as it arrives" });
    const text = reply.locator(".text");
    const first = await grownBeyond(text, 0);
    const second = await grownBeyond(text, first.length);
    assert.equal(await reply.getByRole("status").textContent(), "arriving");
    assert.ok(second.startsWith(first));

    await reply.getByRole("status").getByText("complete").waitFor();
    const whole = await text.textContent();
    assert.ok(whole.startsWith(second) && whole.length > second.length);
    assert.match(await reply.getByLabel("Raw events").textContent(), /"type":"text-delta"[^]*\[DONE\]\n$/);
    await chat.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
  });
});

test("a key is gone with the page", async () => {
  await withPage(alm.base, async (page) => {
    await openDocs(page);
    await signIn(page);
    await tryOut(operation(page, "get", "/api/v1/agents"));
    await operation(page, "get", "/api/v1/agents").locator(".live-responses-table").waitFor();
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    );
    assert.ok(!kept.includes(server.key), kept);
    await page.reload();
    assert.equal(await page.getByLabel("API key").inputValue(), "");
  });
});

test("an inline script and a picture from elsewhere would be seen", async () => {
  await withPage(alm.base, async (page, seen) => {
    await openDocs(page);
    await page.evaluate(() => {
      document.head.append(Object.assign(document.createElement("script"), { textContent: "document.title = ''" }));
      return new Promise((ended) => {
        const picture = Object.assign(new Image(), { src: "http://127.0.0.1:1/x.png", onerror: ended });
        document.body.append(picture);
      });
    });
    await page.waitForFunction(() => document.title === "API docs · alm");
    assert.equal(seen.otherHosts.length, 1);
    assert.equal(seen.violations.length, 2);
    return PROVOKED;
  });
});
