// MCP servers by URL as people have them: server-everything for Node, of the old protocol with its sessions, and a server written
// with the library for Python, of the new one without.
//
// Rule: each is added by the command line, on the machine that may reach its own loopback, and used in a chat.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startAlm } from "./alm.mjs";
import { call, orgWithServer } from "./mcp-chats.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);
const EVERYTHING = join(here, "node_modules/@modelcontextprotocol/server-everything/dist/index.js");

let app;
let python;
before(async () => {
  app = await startAlm();
  python = (await run(join(here, "python.sh"))).stdout.trim();
});
after(() => app?.stop());

/** A port that nobody listens at. */
async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

/** A program that serves at a port once it has said so. `restart` is `kill -9`, and the same again at the same port. */
async function startServer(command, environment, ready) {
  const begin = async () => {
    const child = spawn(command[0], command.slice(1), {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    // Read to its end: a server whose words nobody takes any more would die of them.
    await new Promise((resolve, reject) => {
      child.stderr.on("data", (bytes) => {
        said += bytes;
        if (ready.test(said)) resolve();
      });
      child.once("exit", () => reject(new Error(said)));
    });
    return child;
  };
  let child = await begin();
  const end = async () => {
    child.kill("SIGKILL");
    if (child.signalCode === null && child.exitCode === null) await once(child, "exit");
  };
  return {
    stop: end,
    async restart() {
      await end();
      child = await begin();
    },
  };
}

/** What both are asked alike. */
const SERVERS = {
  "server-everything, of the old protocol": {
    era: "2025-11-25",
    async start(port) {
      const command = [process.execPath, EVERYTHING, "streamableHttp"];
      return startServer(command, { PORT: String(port) }, /listening on port/);
    },
    adds: { tool: "get-sum", input: { a: 2, b: 3 }, told: "The sum of 2 and 3 is 5." },
    waits: {
      tool: "trigger-long-running-operation",
      input: { duration: 2, steps: 8 },
      told: /Long running operation completed/,
    },
  },
  "a server for Python, of the new protocol": {
    era: "2026-07-28",
    async start(port) {
      const command = [python, join(here, "mcp_server.py"), String(port)];
      return startServer(command, {}, /Uvicorn running/);
    },
    adds: { tool: "temperature", input: { town: "Oslo" }, told: "20 degrees in Oslo" },
    waits: { tool: "climb", input: { steps: 8 }, told: /8 steps up/ },
  },
};

for (const [name, kind] of Object.entries(SERVERS)) {
  describe(name, () => {
    let server;
    let url;
    let org;
    let names;
    before(async () => {
      const port = await freePort();
      url = `http://127.0.0.1:${port}/mcp`;
      server = await kind.start(port);
      ({ org, names } = await orgWithServer(app, "far", [url]));
    });
    after(() => server?.stop());

    test("its tools are listed, its row says what it speaks, and a call is answered", async () => {
      const { tool, input, told } = kind.adds;
      assert.ok(names.includes(`far__${tool}`), names.join(" "));
      assert.equal((await org.data("GET", "/mcp/servers/far")).era, kind.era);
      assert.equal((await call(org, `far__${tool}`, input)).told, told);
    });

    test("a call that tells of its progress is waited for longer than one that does not", async () => {
      const { tool, input, told } = kind.waits;
      const hasty = JSON.stringify({ url, timeout: 1_000 });
      await app.cli("mcp", "add-json", "hasty", hasty, "--org", org.slug, "--yes");
      await app.cli("tools", "set", `hasty__${tool}`, "--approval", "never", "--org", org.slug);
      assert.match((await call(org, `hasty__${tool}`, input)).told, told);
    });

    test("after it was killed and started again the next chat uses it, with a new session if it has any", async () => {
      await server.restart();
      const { tool, input, told } = kind.adds;
      assert.equal((await call(org, `far__${tool}`, input)).told, told);
    });
  });
}

test("an error of the tool is told to the model, and the reply goes on", async () => {
  const port = await freePort();
  const server = await SERVERS["a server for Python, of the new protocol"].start(port);
  try {
    const { org } = await orgWithServer(app, "far", [`http://127.0.0.1:${port}/mcp`]);
    const { stream, told } = await call(org, "far__broken", {});
    assert.match(told, /the gauge is broken/);
    assert.match(stream.only("tool-output-error").errorText, /the gauge is broken/);
    assert.match((await call(org, "far__count", {})).told, /"calls": 1/);
  } finally {
    await server.stop();
  }
});

describe("server-everything, of the transport before", () => {
  test("is named, with what to give in its place", async () => {
    const port = await freePort();
    const command = [process.execPath, EVERYTHING, "sse"];
    const server = await startServer(command, { PORT: String(port) }, /is running on port/);
    try {
      const org = await app.org({});
      const url = `http://127.0.0.1:${port}/sse`;
      const failed = await app.cli("mcp", "add", "--org", org.slug, "old", url).then(assert.fail, (error) => error);
      assert.match(failed.stderr, /old speaks HTTP\+SSE, the transport of 2024, .* ends in \/mcp, or add a bridge/);
      assert.match(failed.stdout, /ok +reach/);
      const page = `http://127.0.0.1:${port}/mcp`;
      const none = await app.cli("mcp", "add", "--org", org.slug, "page", page).then(assert.fail, (error) => error);
      assert.match(none.stderr, /page: HTTP 404: this is a web page, and no MCP server/);
    } finally {
      await server.stop();
    }
  });
});
