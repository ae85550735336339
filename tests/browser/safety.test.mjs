// Names, notes and what a model says can hold any HTML: nothing of it runs, and nothing is fetched.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chunk, chunks, toolCall, usage } from "../clients/fake-upstream.mjs";
import { HOSTILE, asPerson, assertHarmless, chosen, open, pickModel, startOwned } from "./person.mjs";

const MARKDOWN = `# ${HOSTILE}

${HOSTILE}

<div onclick="window.hacked=1">block</div>

![picture](http://127.0.0.1:1/leak.png) [script](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>)
[relative](/api/v1/auth/logout) <javascript:window.hacked=1> [web](https://example.com/)

| ${HOSTILE} | b |
|---|---|
| ${HOSTILE} | c |

- ${HOSTILE}

\`\`\`${HOSTILE}
${HOSTILE}
\`\`\`
`;

const SECTIONS = ["keys", "models", "agents", "tools", "usage", "account", "sessions"];

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

test("a hostile name is only a name, in every section", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    await asPerson(page, "POST", "/api-keys", { name: HOSTILE });
    const agent = await asPerson(page, "POST", "/agents", {
      name: HOSTILE,
      slug: "hostile",
      description: HOSTILE,
      systemPrompt: HOSTILE,
      avatar: "<b>x</b>",
    });
    await asPerson(page, "POST", "/billing/deposit", { amountMicrocents: 1_000_000, note: HOSTILE });
    await asPerson(page, "POST", "/projects", { name: HOSTILE });
    await asPerson(page, "POST", "/tools", {
      name: "hostile",
      description: HOSTILE,
      inputSchema: { type: "object", description: HOSTILE },
      method: "GET",
      url: "https://api.example.com/",
    });
    await asPerson(page, "POST", "/mcp/servers", { slug: "hostile", name: HOSTILE, url: "http://127.0.0.1:1/mcp" });
    const session = await asPerson(page, "POST", "/sessions", { label: HOSTILE, agentId: agent.id });
    await asPerson(page, "POST", `/sessions/${session.id}/messages`, { role: "user", content: HOSTILE });
    await asPerson(page, "POST", `/sessions/${session.id}/messages`, {
      role: "assistant",
      parts: [
        { type: "text", text: MARKDOWN },
        { type: "reasoning", text: MARKDOWN },
        { type: "source-url", sourceId: "s", url: "javascript:window.hacked=1", title: HOSTILE },
        {
          type: "file",
          mediaType: "image/svg+xml",
          url: "data:image/svg+xml,<svg onload='window.hacked=1'/>",
          filename: HOSTILE,
        },
        { type: "file", mediaType: "image/png", url: "http://127.0.0.1:1/leak.png" },
        { type: "data-x", data: { html: HOSTILE } },
      ],
    });
    for (const section of [...SECTIONS, `sessions/${session.id}`]) {
      await open(page, section);
      await page
        .getByText("window.hacked")
        .or(page.getByRole("heading", { name: /Models|Account/ }))
        .first()
        .waitFor();
      for (const summary of await page.locator("summary").all()) await summary.click();
      await assertHarmless(page);
    }
    const addresses = await page
      .locator("main a[href]")
      .evaluateAll((links) => links.map((link) => link.getAttribute("href")));
    const odd = addresses.filter(
      (address) => !/^(#|https:\/\/example\.com\/$|http:\/\/127\.0\.0\.1:1\/leak\.png$)/.test(address),
    );
    assert.deepEqual(odd, []);
    const rels = await page.locator('main a[target="_blank"]').evaluateAll((links) => links.map((link) => link.rel));
    assert.ok(rels.length > 0 && rels.every((rel) => rel === "noopener noreferrer"), rels.join());

    await open(page, "agents");
    await page.getByRole("link", { name: /^Edit <img/ }).click();
    await page.getByLabel("System prompt").waitFor();
    await assertHarmless(page);
    await open(page, "keys");
    await page.getByRole("button", { name: /^Revoke <img/ }).click();
    await assertHarmless(page);
  });
});

test("what a model streams is only text, and so are its tool calls", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    const pieces = MARKDOWN.match(/[^]{1,7}/g);
    const said = chunks(
      chunk({ role: "assistant", reasoning_content: MARKDOWN }),
      ...pieces.map((content) => chunk({ content })),
      chunk({}, "stop"),
      usage(),
    );
    const { baseUrl } = alm.upstream.endpoint([
      toolCall("search_history", [JSON.stringify({ query: HOSTILE })]),
      toolCall(`x`, [HOSTILE]),
      said,
    ]);
    await asPerson(page, "POST", "/providers", {
      slug: "hostile",
      kind: "openai-compatible",
      baseUrl,
      models: [{ id: "m" }],
    });
    await open(page, "sessions/new");
    await pickModel(page, "hostile/m");
    await page.getByRole("textbox", { name: "Message" }).fill(HOSTILE);
    await page.keyboard.press("Enter");
    await page.locator(".parts > .prose").getByText("Image: picture").first().waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
    for (const summary of await page.locator("summary").all()) await summary.click();
    await chosen(page, "Raw stream");
    await assertHarmless(page);
    await chosen(page, "Show as curl");
    await assertHarmless(page);
  });
});

test("an inline script, a picture from elsewhere and HTML out of text would be seen", async () => {
  const { PROVOKED } = await import("./browser.mjs");
  await alm.signedIn(async (page, seen) => {
    await open(page, "keys");
    const refused = await page.evaluate(() => {
      const script = document.createElement("script");
      script.append("window.hacked = 1");
      document.head.append(script);
      try {
        document.body.innerHTML = "<p>";
        return false;
      } catch {
        return true;
      }
    });
    assert.ok(refused);
    await page.evaluate(
      () =>
        new Promise((ended) =>
          document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:1/x.png", onerror: ended })),
        ),
    );
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(seen.otherHosts.length, 1);
    assert.ok(seen.violations.length >= 3, seen.violations.join());
    return PROVOKED;
  });
});

test("what somebody says of a message is text, and a session opens whatever it is", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "keys");
    const session = await asPerson(page, "POST", "/sessions", { label: "Said" });
    const models = [
      { id: "main", hidden: true, class: "odd" },
      { onclick: "window.hacked=1" },
      { "a b": 1 },
      { class: 5 },
      ["x"],
      5,
      null,
      HOSTILE,
    ];
    const odd = {
      usage: "x",
      costMicrocents: {},
      durationMs: "x",
      timeToFirstTokenMs: [],
      createdAt: "x",
      agentId: {},
    };
    for (const model of models) {
      const metadata = { model, ...odd };
      const path = `/sessions/${session.id}/messages`;
      await asPerson(page, "POST", path, { role: "assistant", content: "Said so.", metadata });
    }
    await open(page, `sessions/${session.id}`);
    await page
      .getByText("Said so.")
      .nth(models.length - 1)
      .waitFor();
    const made = "main .odd, main [hidden].foot, main span[id], main [onclick]";
    assert.equal(await page.locator(made).count(), 0);
    await assertHarmless(page);
  });
});

test("an address that is no section is the first one", async () => {
  await alm.signedIn(async (page) => {
    for (const section of ["%", "%zz", "sessions/%", "__proto__", "constructor"]) await open(page, section);
  });
});
