// The page of examples/use-chat in a real browser, with its own back end: a reload brings the history back, a reply that is still being
// written goes on, and a stop ends it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, request as ask } from "node:http";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { startAlm } from "../clients/alm.mjs";
import { gated, text } from "../clients/fake-upstream.mjs";
import { withPage } from "./browser.mjs";

const EXAMPLE = fileURLToPath(new URL("../../examples/use-chat/", import.meta.url));

let alm;
let script;

before(async () => {
  alm = await startAlm();
  // What Vite does with the page, with the packages that are here.
  const bundle = await build({
    entryPoints: [`${EXAMPLE}main.jsx`],
    bundle: true,
    write: false,
    format: "esm",
    jsx: "automatic",
    nodePaths: [fileURLToPath(new URL("node_modules", import.meta.url))],
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "error",
  });
  script = bundle.outputFiles[0].text;
});
after(() => alm?.stop());

/** The page and its back end under one address, as Vite's proxy has them. */
async function startExample(org) {
  const backEnd = spawn(process.execPath, [`${EXAMPLE}back-end.mjs`], {
    env: { ...process.env, ALM_URL: alm.base, ALM_KEY: org.key, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: backEnd.stdout }), "line");
  const behind = line.match(/http:\S+/)[0];
  const page = await readFile(`${EXAMPLE}index.html`, "utf8");
  const server = createServer((request, response) => {
    const { url, method, headers } = request;
    if (url === "/") return response.writeHead(200, { "content-type": "text/html" }).end(page);
    if (url === "/main.jsx") return response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    if (!url.startsWith("/api/")) return response.writeHead(204).end();
    const passed = ask(behind + url, { method, headers }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  const stop = () => {
    server.close();
    backEnd.kill();
  };
  return { base: `http://127.0.0.1:${server.address().port}`, stop };
}

/** An organization whose model answers so, by default. */
async function orgWith(...upstream) {
  const org = await alm.org({ upstream });
  await alm.cli("org", "set", org.slug, "--default-model", org.model);
  return org;
}

/** A promise, and what fulfils it. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}

async function say(page, words) {
  await page.getByLabel("Message").fill(words);
  await page.getByRole("button", { name: "Send" }).click();
}

test("a reload brings the history back, and a running reply goes on to its end", async () => {
  const [more, end] = [gate(), gate()];
  const org = await orgWith(text("First."), gated([undefined, "One"], [more.opened, " two"], [end.opened, " three."]));
  const example = await startExample(org);
  try {
    await withPage(example.base, async (page) => {
      await page.goto("/");
      await say(page, "Hello");
      await page.getByText("assistant: First.", { exact: true }).waitFor();
      await say(page, "Count");
      await page.getByText("assistant: One", { exact: true }).waitFor();
      more.open();
      await page.getByText("assistant: One two", { exact: true }).waitFor();
      await page.reload();
      await page.getByText("assistant: First.", { exact: true }).waitFor();
      await page.getByText("assistant: One two", { exact: true }).waitFor();
      end.open();
      await page.getByText("assistant: One two three.", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Stop" }).waitFor({ state: "detached" });
      assert.deepEqual(await page.locator("main > p").allInnerTexts(), [
        "user: Hello",
        "assistant: First.",
        "user: Count",
        "assistant: One two three.",
      ]);
    });
  } finally {
    example.stop();
  }
});

test("a stop ends the reply at the server, and what was said is kept", async () => {
  const never = gate();
  const org = await orgWith(gated([undefined, "One"], [never.opened, " two"]));
  const example = await startExample(org);
  try {
    await withPage(example.base, async (page) => {
      await page.goto("/");
      await say(page, "Count");
      await page.getByText("assistant: One", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await page.getByRole("button", { name: "Stop" }).waitFor({ state: "detached" });
      const id = new URL(page.url()).hash.slice(1);
      const [, reply] = await org.historyWhen(id, ([, reply]) => reply?.status === "stopped");
      assert.equal(reply.content, "One");
      await page.reload();
      await page.getByText("assistant: One", { exact: true }).waitFor();
    });
  } finally {
    never.open();
    example.stop();
  }
});
