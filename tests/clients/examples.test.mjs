// The programs of examples/ that ask a running server, as they stand. The page of use-chat is opened by tests/browser.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";
import { sdks } from "./sdks.mjs";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const ROUTE = new URL("../../examples/next-route/app/api/chat/[[...path]]/route.js", import.meta.url);
const PATIENCE_MS = 50_000;
/** Built by run.sh, since that takes longer than a test may. */
const GO = fileURLToPath(new URL("../../target/tools/ask-go", import.meta.url));
const QUESTION = 'Say "one",\nplease';

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

const environment = (org) => ({ ...process.env, ALM_URL: app.base, ALM_KEY: org.key, PORT: "0" });

/** What a program says and how it ends. */
async function asked(command, env) {
  const [program, ...words] = [...command, QUESTION];
  const done = promisify(execFile)(program, words, { env, cwd: EXAMPLES, timeout: PATIENCE_MS });
  return done.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

for (const command of [["node", "ask.mjs"], ["python3", "ask.py"], ["sh", "ask.sh"], [GO]]) {
  const name = command.at(-1).split("/").at(-1);

  test(`${name} prints a reply and nothing else`, async () => {
    const org = await app.org({ upstream: [fake.reasoning("Hm.", 'One "two"\n\\three €')] });
    await app.cli("org", "set", org.slug, "--default-model", org.model);
    assert.deepEqual(await asked(command, environment(org)), {
      code: 0,
      stdout: 'One "two"\n\\three €\n',
      stderr: "",
    });
    assert.equal(org.upstream.requests[0].body.messages.at(-1).content, QUESTION);
  });

  test(`${name} says why it was refused, and why a reply broke off`, async () => {
    const org = await app.org({ upstream: [fake.noFinish("Half")] });
    await app.cli("org", "set", org.slug, "--default-model", org.model);
    const refused = await asked(command, { ...environment(org), ALM_KEY: "alm_live_nobody" });
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /this API key is unknown, revoked or expired/);
    const broken = await asked(command, environment(org));
    assert.notEqual(broken.code, 0);
    assert.match(broken.stderr, /\w+/);
    assert.equal(broken.stdout.trim(), "Half");
  });
}

/** A page's way to alm: history, a chat, a stop; whatever else is asked is 404. */
async function serves(base, org) {
  const api = `${base}/api/chat`;
  const id = `example-${org.slug}`;
  const history = () => fetch(`${api}/${id}/messages`);
  assert.equal((await history()).status, 404);
  assert.equal((await fetch(`${api}/${id}/stream`)).status, 204);
  const { sdk, Chat } = sdks.find(({ Chat }) => Chat);
  const chat = new Chat({ id, transport: new sdk.DefaultChatTransport({ api }) });
  await chat.sendMessage({ text: "Hello" });
  assert.equal(chat.error, undefined);
  const { items } = (await (await history()).json()).data;
  assert.deepEqual(
    items.map(({ role }) => role),
    ["user", "assistant"],
  );
  assert.equal((await fetch(`${api}/${id}/stop`, { method: "POST" })).status, 200);
  for (const path of ["/nothing", `/${id}`, `/${id}/delete`, "/..%2Fagents/messages"])
    assert.equal((await fetch(api + path)).status, 404, path);
  assert.equal((await fetch(`${api}/${id}/messages`, { method: "POST" })).status, 404);
}

test("the back end of use-chat passes on what its page asks", async () => {
  const org = await app.org();
  const child = spawn("node", ["use-chat/back-end.mjs"], {
    env: environment(org),
    cwd: EXAMPLES,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = await once(createInterface({ input: child.stdout }), "line");
    await serves(line.match(/http:\S+/)[0], org);
  } finally {
    child.kill();
  }
});

test("the route of Next.js passes on what its page asks", async () => {
  const org = await app.org();
  Object.assign(process.env, { ALM_URL: app.base, ALM_KEY: org.key });
  const route = await import(ROUTE);
  // What Next.js does with a route: it matches the path and calls the function of the method.
  const server = createServer(async (incoming, outgoing) => {
    const [, rest] = incoming.url.match(/^\/api\/chat\/?(.*)$/);
    const path = rest ? rest.split("/").map(decodeURIComponent) : undefined;
    const { method } = incoming;
    const body = method === "POST" ? Readable.toWeb(incoming) : undefined;
    const request = new Request(`http://127.0.0.1${incoming.url}`, { method, body, duplex: "half" });
    const response = await route[method](request, { params: Promise.resolve({ path }) });
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    if (!response.body) return outgoing.end();
    return pipeline(Readable.fromWeb(response.body), outgoing);
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  try {
    await serves(`http://127.0.0.1:${server.address().port}`, org);
  } finally {
    server.close();
  }
});
