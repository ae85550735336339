// `useChat` of @ai-sdk/react in a real browser, behind a back end that holds the key, as the README has it: approvals, reloads, and a
// tool that the page runs itself.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { startAlm } from "../clients/alm.mjs";
import { startCounting } from "../clients/counting.mjs";
import { text, toolCalls } from "../clients/fake-upstream.mjs";
import { withPage } from "./browser.mjs";
import { replaying } from "./recorded.mjs";

const GET_TITLE = { description: "The page's title.", parameters: { type: "object", properties: {} } };

/** The versions that people have, and what they are installed as here. */
const VERSIONS = { "ai 6": {}, "ai 7": { ai: "ai-7", "@ai-sdk/react": "react-7" } };

let alm;
let service;
const scripts = {};

before(async () => {
  alm = await startAlm();
  service = await startCounting();
  const entryPoints = [fileURLToPath(new URL("use-chat/app.mjs", import.meta.url))];
  const define = { "process.env.NODE_ENV": '"production"' };
  const options = { entryPoints, bundle: true, write: false, format: "esm", define, logLevel: "error" };
  for (const [version, alias] of Object.entries(VERSIONS))
    scripts[version] = (await build({ ...options, alias })).outputFiles[0].text;
});
after(async () => {
  await alm?.stop();
  await service?.stop();
});

/** The person's own back end: the page with what is stored, and the way to alm. `posts` are the chats that went through. */
async function backEnd(org, id, version, tools) {
  const posts = [];
  const server = createServer(async (request, response) => {
    const send = (type, body) => response.writeHead(200, { "content-type": type }).end(body);
    if (request.url === "/app.js") return send("text/javascript", scripts[version]);
    if (request.url === "/api/chat") {
      let body = "";
      for await (const bytes of request) body += bytes;
      posts.push(JSON.parse(body));
      const headers = { ...org.headers, "content-type": "application/json" };
      const reply = await fetch(`${org.api}/chat`, { method: "POST", headers, body });
      response.writeHead(reply.status, { "content-type": reply.headers.get("content-type") });
      for await (const bytes of reply.body) response.write(bytes);
      return response.end();
    }
    if (request.url !== "/") return response.writeHead(204).end();
    const stored = await org.request("GET", `/sessions/${id}/messages`);
    const messages = stored.ok ? (await stored.json()).data.items : [];
    const chat = JSON.stringify({ id, messages, tools, body: { model: org.model } }).replaceAll("<", "\\u003c");
    return send(
      "text/html",
      `<!doctype html><title>Mine</title><div id="root"></div><script>window.CHAT=${chat}</script><script type="module" src="/app.js"></script>`,
    );
  });
  server.listen(0, "127.0.0.1").unref();
  await new Promise((resolve) => server.once("listening", resolve));
  return { posts, base: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
}

/** An organization with a tool that asks, and where its calls arrive. */
async function withTickets(replies) {
  const org = await alm.org({ upstream: replies });
  const tickets = service.endpoint();
  await alm.tool(org, {
    name: "create_ticket",
    description: "Opens a ticket.",
    inputSchema: { type: "object", properties: { title: { type: "string" } }, required: ["title"] },
    method: "POST",
    url: tickets.url,
    body: "json",
    approval: "ask",
  });
  return { org, tickets };
}

const ticket = (title) => ["create_ticket", { title }];
const ready = (page) => page.locator("#status", { hasText: /^ready$/ }).waitFor();

for (const version of Object.keys(VERSIONS)) {
  test(`${version}: useChat asks, sends once when all is answered, and shows how it ended`, async () => {
    const { org, tickets } = await withTickets([toolCalls(ticket("one"), ticket("two")), text("One of them is open.")]);
    const mine = await backEnd(org, `in-a-browser-${org.slug}`, version);
    await withPage(mine.base, async (page) => {
      await page.goto("/");
      await page.getByRole("button", { name: "Ask" }).click();
      await page.getByRole("button", { name: "Allow one" }).click();
      await page.getByText('create_ticket {"title":"one"} approval-responded').waitFor();
      assert.deepEqual([mine.posts.length, tickets.calls.length], [1, 0]);
      await page.getByRole("button", { name: "Deny two" }).click();
      await page.getByText("One of them is open.").waitFor();
      await ready(page);
      await page.getByText('create_ticket {"title":"one"} output-available').waitFor();
      await page.getByText('create_ticket {"title":"two"} output-denied').waitFor();
      assert.equal(mine.posts.length, 2);
      assert.deepEqual(
        tickets.calls.map(({ body }) => body.title),
        ["one"],
      );
      const before = await page.locator("article").allInnerTexts();
      await page.reload();
      await page.getByText("One of them is open.").waitFor();
      assert.deepEqual(await page.locator("article").allInnerTexts(), before);
    });
    mine.stop();
  });

  test(`${version}: a recorded model answers, and is found again after a reload`, async () => {
    const org = await alm.org();
    await replaying(alm, org, { "Go.": "Gone, as it was recorded." });
    const mine = await backEnd(org, `recorded-${org.slug}`, version);
    await withPage(mine.base, async (page) => {
      await page.goto("/");
      await page.getByRole("button", { name: "Ask" }).click();
      await page.getByText("Gone, as it was recorded.").waitFor();
      await ready(page);
      await page.reload();
      await page.getByText("Gone, as it was recorded.").waitFor();
      assert.equal(await page.locator("article").count(), 2);
    });
    mine.stop();
  });

  test(`${version}: what waits is still there after a reload, and its answer works`, async () => {
    const { org, tickets } = await withTickets([toolCalls(ticket("one")), text("It is open.")]);
    const mine = await backEnd(org, `after-a-reload-${org.slug}`, version);
    await withPage(mine.base, async (page) => {
      await page.goto("/");
      await page.getByRole("button", { name: "Ask" }).click();
      await page.getByRole("button", { name: "Allow one" }).waitFor();
      await ready(page);
      await page.reload();
      await page.getByRole("button", { name: "Allow one" }).click();
      await page.getByText("It is open.").waitFor();
      await ready(page);
      assert.deepEqual([mine.posts.length, tickets.calls.length], [2, 1]);
      assert.equal(await page.locator("article").count(), 2);
    });
    mine.stop();
  });

  test(`${version}: a tool of the page is run by the page, beside one that asks, and neither loops`, async () => {
    const calls = toolCalls(["getTitle", {}], ticket("one"));
    const { org, tickets } = await withTickets([calls, text("Mine has a ticket.")]);
    const mine = await backEnd(org, `beside-its-own-${org.slug}`, version, { getTitle: GET_TITLE });
    await withPage(mine.base, async (page) => {
      await page.goto("/");
      await page.getByRole("button", { name: "Ask" }).click();
      await page.getByText("getTitle {} output-available").waitFor();
      await ready(page);
      assert.deepEqual([mine.posts.length, tickets.calls.length], [1, 0]);
      await page.getByRole("button", { name: "Allow one" }).click();
      await page.getByText("Mine has a ticket.").waitFor();
      await ready(page);
      assert.deepEqual([mine.posts.length, tickets.calls.length], [2, 1]);
      assert.match(JSON.stringify(org.upstream.requests[1].body.messages), /Mine/);
    });
    mine.stop();
  });
}
