// MCP servers that misbehave, as commands, in chats.
//
// Rule: whatever a server does, the model reads a sentence of it, the reply goes on to its end, and the next one works.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { startAlm } from "./alm.mjs";
import { toolCall } from "./fake-upstream.mjs";
import { call, orgWithServer } from "./mcp-chats.mjs";

const EVIL = join(dirname(fileURLToPath(import.meta.url)), "evil-mcp.mjs");
const MIB = 1024 * 1024;
/** What a flood may cost in memory: some lines of 4 MiB, and what the allocator keeps. */
const FLOOD_BYTES_MAX = 128 * MIB;

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

const BROKE = "The connection broke. It may have taken effect: check before you call it again.";
const TOO_LONG = "The answer has more than 4194304 bytes: it was read no further.";

/** Tries an organization with a server of that mood, which ends with it: some would go on for ever. */
async function withServer(mood, tries) {
  const { org, names } = await orgWithServer(app, "evil", ["--", process.execPath, EVIL, mood]);
  try {
    await tries(org, names);
  } finally {
    await app.cli("mcp", "remove", "evil", "--org", org.slug);
  }
}

/** What the server takes of memory, in bytes. */
async function memory() {
  const status = await readFile(`/proc/${app.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
}

/** Calls a tool whose reply must come to its end whatever the tool does; what the model was told. */
async function told(org, name = "evil__t") {
  const { stream, told } = await call(org, name, {});
  assert.equal(stream.only("finish").finishReason, "stop");
  return told;
}

describe("a call is answered with a sentence, and the chat goes on", () => {
  const SAID = {
    dies: BROKE,
    half: BROKE,
    huge: TOO_LONG,
    "endless-line": TOO_LONG,
    "no-result": "The answer is none to this question.",
    "a-text": "just a text",
    "wrong-ids": "yours",
    garbage: "fine",
    "flood-of-notices": "fine",
    "flood-of-progress": "done at last",
  };
  for (const [mood, sentence] of Object.entries(SAID)) {
    test(mood, async () => {
      await withServer(mood, async (org) => assert.equal(await told(org), sentence));
    });
  }

  test("one that never answers is out of time, and one that died is started again", async () => {
    await withServer("dies", async (org) => {
      const entry = JSON.stringify({ command: process.execPath, args: [EVIL, "silent"], timeout: 1_000 });
      await app.cli("mcp", "add-json", "mute", entry, "--org", org.slug, "--yes");
      await app.cli("tools", "set", "mute__t", "--approval", "never", "--org", org.slug);
      const unknown = "No answer came within 1 s. It may have taken effect: check before you call it again.";
      assert.equal(await told(org, "mute__t"), unknown);
      assert.equal(await told(org), BROKE);
      await org.dataWhen("/mcp/servers/evil", (server) => server.state === "ready" && server.pid);
      assert.equal(await told(org), BROKE);
    });
  });
});

describe("a server that floods", () => {
  test("questions that it reads no answers to cost no memory", async () => {
    await withServer("flood-of-questions", async (org) => {
      const before = await memory();
      assert.equal(await told(org), "done at last");
      const now = await memory();
      assert.ok(now - before < FLOOD_BYTES_MAX, `${before} bytes became ${now}`);
    });
  });

  test("notices that its list has changed are heard, and calls are made between them", async () => {
    await withServer("flood-of-changes", async (org) => {
      assert.equal(await told(org), "fine");
      const { listedAt } = await org.dataWhen("/mcp/servers/evil", (server) => server.state === "ready");
      await org.dataWhen("/mcp/servers/evil", (server) => server.listedAt !== listedAt);
      assert.equal(await told(org), "fine");
    });
  });
});

describe("a list", () => {
  test("that never ends is taken up to its bound, and its server says so", async () => {
    for (const [mood, count, note] of [
      ["endless-list", 32, /more than 32 pages/],
      ["looping-list", 2, /begins again and again/],
    ]) {
      await withServer(mood, async (org, names) => {
        assert.equal(names.length, count, mood);
        assert.match((await org.data("GET", "/mcp/servers/evil")).lastError, note);
        assert.equal(await told(org, "evil__t1"), "fine");
      });
    }
  });

  test("whose pages are large costs no more than its bound", async () => {
    const before = await memory();
    await withServer("large-pages", async (org) => {
      await told(org, "evil__t1");
      await org.dataWhen("/mcp/servers/evil", (server) => server.state === "ready");
      assert.match((await org.data("GET", "/mcp/servers/evil")).lastError, /more than 16 MiB/);
      const now = await memory();
      assert.ok(now - before < FLOOD_BYTES_MAX, `${before} bytes became ${now}`);
    });
  });

  test("with bad tools names them and keeps the good one", async () => {
    await withServer("bad-schemas", async (org) => {
      const { items } = await org.data("GET", "/tools?origin=mcp&limit=100");
      const bad = items.filter((tool) => tool.fault);
      assert.equal(bad.length, 8, JSON.stringify(items));
      assert.ok(!bad.some((tool) => tool.name === "evil__good"));
      assert.equal(await told(org, "evil__good"), "fine");
    });
  });

  test("that is another each time makes the tool ask before it runs", async () => {
    await withServer("another-each-time", async (org) => {
      // A running server sees what was added beside it at its next use.
      await org.reply("Hello.");
      await org.dataWhen("/tools/evil__t", (tool) => tool.changed);
      org.upstream.replies = [toolCall("evil__t", ["{}"])];
      const stream = await org.reply("Please.");
      assert.equal(stream.only("tool-approval-request").toolCallId, stream.only("tool-input-available").toolCallId);
    });
  });
});

test("a server that is removed on the machine ends, though nobody asks the running one", async () => {
  let pid;
  await withServer("good", async (org) => {
    await org.reply("Hello.");
    ({ pid } = await org.dataWhen("/mcp/servers/evil", (server) => server.state === "ready"));
  });
  const isThere = () =>
    readFile(`/proc/${pid}/stat`).then(
      () => true,
      () => false,
    );
  for (let poll = 0; (await isThere()) && poll < 200; poll++) await sleep(50);
  assert.equal(await isThere(), false);
});
