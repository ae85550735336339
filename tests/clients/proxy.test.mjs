// Behind nginx: as Debian ships it, with nothing said about buffering, where the head of the stream alone keeps it flowing; and as
// docs/operate.md has it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { events } from "./sse.mjs";

const POLLS_MAX = 100;
const POLL_PAUSE_MS = 50;

const page = await readFile(new URL("../../docs/operate.md", import.meta.url), "utf8");
const [, recipe] = page.match(/```nginx\n([^]*?)```/);
/** More than nginx takes by default, less than a chat may have. */
const LONG_CHARS = 2 << 20;

let app;
let proxy;
let proxyOfThePage;
before(async () => {
  app = await startAlm();
  proxy = await startNginx(`location / { proxy_pass ${app.base}; }`);
  const here = recipe.replace("http://127.0.0.1:2560", app.base);
  assert.notEqual(here, recipe);
  proxyOfThePage = await startNginx(here);
});
after(async () => {
  await proxy?.stop();
  await proxyOfThePage?.stop();
  await app?.stop();
});

test("each word passes nginx before the next one is said", async () => {
  const words = ["one ", "two ", "three"];
  const gates = words.map(() => Promise.withResolvers());
  const org = await app.org({ upstream: [fake.gated(...words.map((word, at) => [gates[at].promise, word]))] });
  org.api = `${proxy.base}/api/v1`;
  gates[0].resolve();
  let heard = 0;
  let last;
  for await (const event of events((await org.chat("Hello")).body)) {
    if (event.chunk?.type === "text-delta") gates[++heard]?.resolve();
    last = event;
  }
  assert.equal(heard, words.length);
  assert.ok(last.done);
});

test("a long history and its reply pass nginx as docs/operate.md has it", async () => {
  const org = await app.org({ upstream: [fake.text("Long.")] });
  const long = { messages: [{ role: "user", content: "word ".repeat(LONG_CHARS / 5) }] };
  org.api = `${proxy.base}/api/v1`;
  assert.equal((await org.chat(long)).status, 413);
  org.api = `${proxyOfThePage.base}/api/v1`;
  assert.equal((await org.reply(long)).text, "Long.");
});

test("a failure passes nginx as it is", async () => {
  const org = await app.org();
  org.api = `${proxy.base}/api/v1`;
  const response = await org.chat("Hello", { authorization: "Bearer nonsense" });
  assert.deepEqual([response.status, (await response.json()).error.code], [401, "UNAUTHORIZED"]);
});

/** nginx with this location and every other setting at its default, in a folder of its own. */
async function startNginx(location) {
  const folder = await mkdtemp(join(tmpdir(), "alm-nginx-"));
  // Started by root, its workers are somebody else, who keep long bodies in here.
  await chmod(folder, 0o711);
  const port = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  const config = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
    events {}
    http { access_log off; ${paths} server { listen 127.0.0.1:${port}; ${location} } }`;
  await writeFile(join(folder, "nginx.conf"), config);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  const child = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], {
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  await once(child, "spawn");
  const base = `http://127.0.0.1:${port}`;
  for (let poll = 0; !(await fetch(base).catch(() => undefined)); poll++) {
    assert.ok(poll < POLLS_MAX && child.exitCode === null, "nginx does not answer");
    await sleep(POLL_PAUSE_MS);
  }
  return {
    base,
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}
