// A person's habits: any width, light and dark, the keyboard alone, a screen reader, no motion. With ALM_PICTURES set, the
// pictures of the README are made on the way, into that folder.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startEmpty } from "../clients/alm.mjs";
import { SCREENS, withPage } from "./browser.mjs";
import { ORG, asPerson, open, startOwned } from "./person.mjs";
import { assertSound } from "./sound.mjs";

const PICTURES = process.env.ALM_PICTURES;

/** Two screens in both colours, and the narrowest. */
const LOOKS = Object.keys(SCREENS).flatMap((screen) =>
  ["light", "dark"]
    .filter((scheme) => ["phone", "desktop"].includes(screen) || (screen === "narrow" && scheme === "light"))
    .map((colorScheme) => ({ screen, colorScheme, reducedMotion: "reduce" })),
);
const SECTIONS = [
  "keys",
  "models",
  "agents",
  "agents/new",
  "tools",
  "approvals",
  "usage",
  "people",
  "audit",
  "account",
  "sessions",
  "sessions/new",
];

let alm;

before(async () => {
  alm = await startOwned();
  await alm.signedIn(fillIn);
});

after(() => alm?.stop());

/** Something to look at in every section. */
async function fillIn(page) {
  await open(page, "keys");
  await asPerson(page, "POST", "/api-keys", { name: "My back end" });
  await asPerson(page, "POST", "/api-keys", {
    name: "CI",
    env: "test",
    scopes: ["read"],
    expiresAt: "2030-01-01T00:00:00.000Z",
  });
  const models = [
    { id: "llama3.2:3b", contextWindow: 131_072 },
    { id: "qwen3:8b", contextWindow: 40_960 },
  ];
  await asPerson(page, "POST", "/providers", { slug: "ollama", kind: "openai-compatible", models });
  const pricing = { inputPerMillion: "0.25", outputPerMillion: "2" };
  await asPerson(page, "POST", "/providers", {
    slug: "openai",
    kind: "openai-compatible",
    models: [{ id: "gpt-5-mini", pricing, contextWindow: 400_000 }],
  });
  await asPerson(page, "POST", "/billing/deposit", { amountMicrocents: 10_000_000, note: "November" });
  await asPerson(page, "POST", "/agents", {
    name: "Release notes",
    description: "Turns a list of changes into release notes.",
    avatar: "📝",
    model: "openai/gpt-5-mini",
  });
  await asPerson(page, "POST", "/tools", {
    name: "create_ticket",
    description: "Opens a ticket. Use it when a person reports that something is broken.",
    inputSchema: { type: "object", properties: { title: { type: "string" } }, required: ["title"] },
    method: "POST",
    url: "https://api.example.com/v1/tickets",
  });
  await open(page, "sessions/new");
  for (const question of ["Think: is 221 prime?", "What time is it?", "Show me Markdown"]) {
    await page.getByRole("textbox", { name: "Message" }).fill(question);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
  }
  await open(page, "sessions/new");
  await page.getByRole("button", { name: "Summarise the periodic table" }).click();
  await page.getByRole("button", { name: "Stop" }).waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
  // Last: it is away, which replies say.
  await asPerson(page, "POST", "/mcp/servers", { slug: "files", name: "Files", url: "http://127.0.0.1:1/mcp" });
}

/** What the README shows, and what it is called there. */
const SHOWN = {
  "setup-desktop-light": "setup",
  "key-desktop-light": "key",
  "models-desktop-light": "models",
  "chat-desktop-light": "chat",
  "chat-phone-dark": "chat-phone",
};

async function picture(page, state) {
  const name = SHOWN[state];
  if (!PICTURES || !name) return;
  await mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), animations: "disabled", caret: "hide" });
}

async function settled(page) {
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

for (const look of LOOKS) {
  const name = `${look.screen}-${look.colorScheme}`;

  test(`every section is sound: ${name}`, async () => {
    await alm.signedIn(async (page) => {
      for (const section of SECTIONS) {
        await open(page, section);
        await settled(page);
        await assertSound(page, section);
        await picture(page, `${section.replace("/", "-")}-${name}`);
      }
      const [last, first] = (await asPerson(page, "GET", "/sessions")).items;
      for (const session of [first, last]) {
        await open(page, `sessions/${session.id}`);
        await page.locator(".message").first().waitFor();
        await assertSound(page, session.label);
        await picture(page, `${session === first ? "chat" : "answer"}-${name}`);
      }
    }, look);
  });

  test(`every dialog is sound: ${name}`, async () => {
    await alm.signedIn(async (page) => {
      const openers = [
        ["keys", "Create key"],
        ["keys", "Rotate CI"],
        ["keys", "Revoke CI"],
        ["models", "Connect a provider"],
        ["models", "Edit openai"],
        ["tools", "Add a server"],
        ["tools", "Edit Files"],
        ["tools", "Add a tool"],
        ["tools", "Try create_ticket"],
        ["usage", "Add to balance"],
        ["sessions/new", "Session actions", "Show as curl"],
      ];
      for (const [section, ...buttons] of openers) {
        await open(page, section);
        const button = buttons.at(-1);
        for (const button of buttons) await page.getByRole("button", { name: button }).first().click();
        await page.getByRole("dialog").waitFor();
        await assertSound(page, button);
        await picture(page, `${section.replace("/", "-")}-${button.replaceAll(" ", "-")}-${name}`);
        await page.keyboard.press("Escape");
        assert.equal(await page.getByRole("dialog").count(), 0, button);
      }
    }, look);
  });

  test(`the doors and /docs are sound: ${name}`, async () => {
    await withPage(
      alm.base,
      async (page) => {
        for (const [path, door] of [
          ["/login", "login"],
          ["/setup", "set-up-already"],
          ["/nothing/here", "nothing-here"],
        ]) {
          await page.goto(path);
          await page.getByRole("heading", { level: 1 }).waitFor();
          await assertSound(page, path);
          await picture(page, `${door}-${name}`);
        }
        await page.goto("/docs");
        await page.getByText("/api/v1/agents", { exact: true }).first().waitFor();
        await picture(page, `docs-${name}`);
        await assertSound(page, "/docs");
      },
      look,
    );
  });
}

test("everything can be reached and done with the keyboard alone", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.locator(".card").first().waitFor();
    const focused = () =>
      page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.tagName);
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Skip to content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "Create key");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.name), "name");
    await page.keyboard.type("By keyboard");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "I have stored it" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "By keyboard" }).waitFor();
    assert.equal(await focused(), "Create key");
    // The focus can be seen, wherever it is.
    await page.getByRole("link", { name: "Models" }).focus();
    await page.keyboard.press("Tab");
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
  });
});

test("each section is a page of its own: back, reload and a link lead to it", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.getByRole("link", { name: "Agents" }).click();
    await page.getByRole("heading", { level: 1, name: "Agents" }).waitFor();
    assert.equal(await page.title(), `Agents · ${ORG} · alm`);
    assert.equal(await page.getByRole("link", { name: "Agents" }).getAttribute("aria-current"), "page");
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Agents" }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "API keys" }).waitFor();
  });
});

test("the front door leads whoever is signed in to their settings", async () => {
  await alm.signedIn(async (page) => {
    await page.goto("/");
    await page.waitForURL(`**/${ORG}/settings`);
  });
});

test("the page keeps still while it loads", async () => {
  await alm.signedIn(async (page) => {
    await page.addInitScript(() => {
      window.jumps = 0;
      new PerformanceObserver((list) =>
        list.getEntries().forEach((entry) => (window.jumps += entry.hadRecentInput ? 0 : entry.value)),
      ).observe({ type: "layout-shift", buffered: true });
    });
    for (const section of SECTIONS.filter((section) => section !== "sessions")) {
      await open(page, section);
      await settled(page);
      const jumps = await page.evaluate(() => window.jumps);
      assert.ok(jumps < 0.1, `${section}: ${jumps}`);
    }
  });
});

test("the documentation knows who is signed in, and calls as they", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await page.getByRole("link", { name: "API docs" }).click();
    await page.getByText(/^Signed in as/).waitFor();
    assert.equal(await page.getByLabel("Organization").inputValue(), ORG);
    const agents = page.locator(".opblock-get", { has: page.locator('[data-path="/api/v1/agents"]') });
    await agents.locator(".opblock-summary-control").click();
    await agents.getByRole("button", { name: "Try it out" }).click();
    await agents.getByRole("button", { name: "Execute" }).click();
    await agents.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.waitForURL(`**/${ORG}/settings`);
  });
});

test("the first minute, in pictures", async () => {
  const fresh = await startEmpty();
  try {
    await withPage(
      fresh.base,
      async (page) => {
        await page.goto(fresh.link);
        await page.getByLabel("Organization").fill(ORG);
        await page.getByLabel("Your e-mail").fill("you@example.com");
        await page.getByRole("textbox", { name: "Password" }).fill("correct horse battery staple");
        await page
          .getByText(`${fresh.base}/acme/settings`)
          .evaluate((shown) => (shown.textContent = shown.textContent.replace(/:\d+\//, ":2560/")));
        await picture(page, "setup-desktop-light");
        await page.getByRole("button", { name: "Set up alm" }).click();
        await page.getByRole("heading", { name: "Create your first key" }).waitFor();
        await assertSound(page, "an empty list of keys");
        await picture(page, "first-desktop-light");
        await page.getByRole("button", { name: "Create key" }).last().click();
        await page.getByLabel("Name").fill("My back end");
        await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
        await page.getByRole("button", { name: "I have stored it" }).waitFor();
        await assertSound(page, "a key, shown once");
        // The picture is for everybody: no key in it, not even a dead one.
        await page.evaluate(() => {
          const texts = document.createTreeWalker(document.querySelector("dialog"), NodeFilter.SHOW_TEXT);
          while (texts.nextNode())
            texts.currentNode.data = texts.currentNode.data
              .replace(/_[0-9a-f]{48}/, `_${"x".repeat(48)}`)
              .replace(/:\d+\//, ":2560/");
        });
        await picture(page, "key-desktop-light");
      },
      { colorScheme: "light" },
    );
  } finally {
    await fresh.stop();
  }
});
