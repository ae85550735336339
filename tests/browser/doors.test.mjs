// The doors of the pages: addresses where nothing is, coming back, and how little a first look asks for.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { startEmpty } from "../clients/alm.mjs";
import { withPage } from "./browser.mjs";
import { ORG, open, startOwned } from "./person.mjs";

// What a page at the door may ask for and weigh, over the wire.
const REQUESTS_MAX = 12;
const BYTES_MAX = 90 * 1_024;

const FILES = fileURLToPath(new URL("../../src/http/page/files", import.meta.url));
const DOCS = fileURLToPath(new URL("../../src/http/docs/files", import.meta.url));

let alm;
let empty;

before(async () => ([alm, empty] = await Promise.all([startOwned(), startEmpty()])));
after(() => Promise.all([alm?.stop(), empty?.stop()]));

/** What the browser asked for while `use` ran: paths, and how many bytes came. */
async function asked(page, use) {
  const client = await page.context().newCDPSession(page);
  await client.send("Network.enable");
  const paths = new Map();
  const bytes = new Map();
  client.on("Network.requestWillBeSent", ({ requestId, request }) =>
    paths.set(requestId, new URL(request.url).pathname),
  );
  client.on("Network.requestServedFromCache", ({ requestId }) => paths.delete(requestId));
  client.on("Network.responseReceived", ({ requestId, response }) => response.fromDiskCache && paths.delete(requestId));
  client.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => bytes.set(requestId, encodedDataLength));
  await use();
  await client.detach();
  return { paths: [...paths.values()], bytes: [...paths.keys()].reduce((sum, id) => sum + (bytes.get(id) ?? 0), 0) };
}

test("a page at the door asks for little, and whoever comes back for the page alone", async () => {
  for (const [server, path, field] of [
    [alm, "/login", "E-mail"],
    [empty, "/setup", "Organization"],
  ]) {
    await withPage(server.base, async (page) => {
      const look = async () => {
        await page.goto(path, { waitUntil: "networkidle" });
        await page.getByLabel(field).waitFor();
      };
      const first = await asked(page, look);
      const files = first.paths.filter((path) => !path.startsWith("/api/"));
      assert.ok(files.length <= REQUESTS_MAX, `${path}: ${files.join(" ")}`);
      assert.ok(first.bytes <= BYTES_MAX, `${path}: ${first.bytes} bytes`);
      const again = await asked(page, look);
      assert.deepEqual(
        again.paths.filter((path) => !path.startsWith("/api/")),
        [path],
      );
    });
  }
});

test("a section is loaded when it is opened, and a server that is away is said", async () => {
  await alm.signedIn(async (page) => {
    const first = await asked(page, () => open(page, "keys"));
    assert.ok(
      first.paths.some((path) => path.endsWith("/sections/keys.js")),
      first.paths.join(" "),
    );
    assert.ok(!first.paths.some((path) => path.endsWith("/sections/usage.js")), first.paths.join(" "));
    await page.context().setOffline(true);
    await page.getByRole("link", { name: "Usage" }).click();
    await page.getByRole("alert").getByText("Cannot reach the server").waitFor();
    await page.context().setOffline(false);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("heading", { name: "Usage", level: 1 }).waitFor();
  });
});

test("an address where nothing is leads on", async () => {
  await alm.signedIn(async (page) => {
    for (const path of ["/help", "/acme/nothing", "/docs/nothing"]) {
      const answer = await page.goto(path);
      assert.equal(answer.status(), 404, path);
      await page.getByRole("heading", { name: "There is nothing here" }).waitFor();
    }
    await page.getByRole("link", { name: "Go to your organization" }).click();
    await page.waitForURL(`**/${ORG}/settings`);
    await page.goto(`/${ORG}`);
    await page.waitForURL(`**/${ORG}/settings`);
  });
  const answer = await fetch(`${alm.base}/api/v1/nothing`, { headers: { accept: "text/html" } });
  assert.equal((await answer.json()).error.code, "NOT_FOUND");
  await withPage(alm.base, async (page) => {
    await page.goto(`/${ORG}`);
    await page.waitForURL("**/login?next=*");
    await page.goto("/favicon.ico");
    assert.equal((await page.request.get("/favicon.ico")).headers()["content-type"], "image/svg+xml");
  });
});

test("the front door leads to setting up, once", async () => {
  await withPage(empty.base, async (page) => {
    await page.goto("/");
    await page.getByLabel("Setup code").waitFor();
  });
  await withPage(alm.base, async (page) => {
    await page.goto("/");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.goto("/setup");
    await page.getByRole("heading", { name: "This server is set up" }).waitFor();
  });
});

test("what is served of a script is all of it that a compiler reads", async () => {
  const plain = (text) => {
    const file = ts.createSourceFile("a.mjs", text, ts.ScriptTarget.ESNext);
    return ts
      .createPrinter({ removeComments: true })
      .printFile(file)
      .replace(/\s*\n\s*/g, " ");
  };
  let ours = 0;
  for (const [folder, prefix] of [
    [FILES, "/_page"],
    [DOCS, "/docs"],
  ]) {
    const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".js"));
    for (const name of names) {
      const source = await readFile(`${folder}/${name}`, "utf8");
      const served = await (await fetch(`${alm.base}${prefix}/${name}`)).text();
      if (source.startsWith("// @ts-check")) ours += 1;
      else assert.equal(served, source, name);
      assert.equal(plain(served), plain(source), name);
    }
  }
  assert.ok(ours > 50, `${ours} scripts of our own`);
});

test("what is served of a style is all of it that a browser reads", async () => {
  await withPage(alm.base, async (page) => {
    await page.goto("/login");
    const rules = (text) =>
      page.evaluate((text) => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(text);
        return [...sheet.cssRules].map(({ cssText }) => cssText.replaceAll(", ", ","));
      }, text);
    for (const [folder, prefix, name] of [
      [FILES, "/_page", "page.css"],
      [FILES, "/_page", "top.css"],
      [FILES, "/_page", "chat/message.css"],
      [DOCS, "/docs", "docs.css"],
    ]) {
      const source = await rules(await readFile(`${folder}/${name}`, "utf8"));
      const served = await (await fetch(`${alm.base}${prefix}/${name}`)).text();
      assert.ok(source.length > 10 && !served.includes("/*"), name);
      assert.deepEqual(await rules(served), source, name);
    }
  });
});
