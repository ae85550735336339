// alm as a server of the Model Context Protocol, for the clients that people have: both generations of the official SDK for
// JavaScript, the one for Python, and curl.
//
// Rule: each client lists and calls by its own means, and all of them are told the same.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { Client as NewClient, StreamableHTTPClientTransport as NewTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";

const run = promisify(execFile);
const TOOLS = ["list_agents", "ask_agent", "search_history", "read_session"];
const QUESTION = "Summarise the periodic table in 3 sentences.";
const MODERN = "2026-07-28";

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

/** The clients for JavaScript: how each connects, and which version it should come to speak. */
const CLIENTS = {
  "sdk 1.32": { Client: OldClient, Transport: OldTransport, version: "2025-11-25" },
  "client 2.4": { Client: NewClient, Transport: NewTransport, version: "2025-11-25" },
  "client 2.4, which looks first": {
    Client: NewClient,
    Transport: NewTransport,
    options: { versionNegotiation: { mode: "auto" } },
    version: MODERN,
  },
  "client 2.4, pinned": {
    Client: NewClient,
    Transport: NewTransport,
    options: { versionNegotiation: { mode: { pin: MODERN } } },
    version: MODERN,
  },
};

/** A client that is connected to the server with this key; `calls` are its requests and their answers' status. */
async function connect({ Client, Transport, options }, key) {
  const calls = [];
  const counted = async (url, init) => {
    const response = await fetch(url, init);
    const version = new Headers(init?.headers).get("mcp-protocol-version");
    calls.push({ method: init?.method, status: response.status, version });
    return response;
  };
  const client = new Client({ name: "alm-tests", version: "1" }, options);
  const requestInit = { headers: { authorization: `Bearer ${key}` } };
  await client.connect(new Transport(new URL("/mcp", app.base), { requestInit, fetch: counted }));
  return { client, calls };
}

for (const [name, kind] of Object.entries(CLIENTS)) {
  describe(name, () => {
    test("lists and calls every tool, and its schemas hold", async () => {
      const org = await app.org();
      const { client, calls } = await connect(kind, org.key);
      assert.equal(client.getServerVersion().name, "alm");
      const { tools } = await client.listTools();
      assert.deepEqual(
        tools.map((tool) => tool.name),
        TOOLS,
      );
      const call = (tool, args, options) => client.callTool({ name: tool, arguments: args }, ...options);
      const progress = [];
      // The old client takes the schema of a result before its options.
      const between = kind.Client === OldClient ? [undefined] : [];
      const plain = [...between, {}];
      const told = async (tool, args, options = plain) => {
        const result = await call(tool, args, options);
        assert.ok(!result.isError, JSON.stringify(result));
        assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
        return result.structuredContent;
      };
      assert.equal((await told("list_agents", {})).agents[0].agent, "ala");
      const onprogress = (note) => progress.push(note);
      const answer = await told("ask_agent", { agent: "ala", message: QUESTION }, [...between, { onprogress }]);
      const history = await org.history(answer.sessionId);
      assert.deepEqual([answer.text, answer.messageId], [history[1].content, history[1].id]);
      assert.ok(progress.length > 0 && progress[0].message.includes(answer.sessionId), JSON.stringify(progress));
      const read = await told("read_session", { sessionId: answer.sessionId });
      assert.deepEqual(
        read.messages.map((message) => message.text),
        [QUESTION, answer.text],
      );
      const { hits } = await told("search_history", { query: "periodic table" });
      assert.ok(hits.every((hit) => hit.sessionId === answer.sessionId) && hits.length > 0);
      const failed = await call("ask_agent", { agent: "nobody", message: "Hi" }, plain);
      assert.deepEqual([failed.isError, failed.content[0].text], [true, "no such agent"]);
      await client.close();
      const last = calls.filter((call) => call.method === "POST").at(-1);
      assert.equal(last.version, kind.version);
      assert.ok(
        calls.every((call) => call.status < 300 || call.status === 405),
        JSON.stringify(calls),
      );
    });

    test("is turned away without a key, and looks for no other door for ever", async () => {
      await assert.rejects(connect(kind, "alm_live_0"), (error) => /401|unauthorized|key/i.test(String(error)));
    });

    test("may leave while an agent answers", async () => {
      let goOn;
      const open = new Promise((resolve) => (goOn = resolve));
      const org = await app.org({
        upstream: [fake.gated([Promise.resolve(), "Half of it"], [open, ", and the rest."])],
      });
      const agent = await org.data("POST", "/agents", { name: "Slow", model: org.model });
      const { client } = await connect(kind, org.key);
      const left = new AbortController();
      const between = kind.Client === OldClient ? [undefined] : [];
      const params = { name: "ask_agent", arguments: { agent: agent.slug, message: "Go on" } };
      const asked = client.callTool(params, ...between, { signal: left.signal, onprogress: () => left.abort() });
      await assert.rejects(asked);
      await client.close();
      goOn();
      const [session] = (await org.data("GET", "/sessions")).items;
      const items = await org.historyWhen(session.id, (items) => items.length === 2);
      assert.deepEqual([items[1].content, items[1].status], ["Half of it, and the rest.", "complete"]);
    });
  });
}

describe("the SDK for Python", () => {
  for (const [mode, version] of [
    ["auto", MODERN],
    ["legacy", "2025-11-25"],
  ]) {
    test(`lists and calls every tool (${mode})`, async () => {
      const org = await app.org();
      const python = (await run("./python.sh", { cwd: import.meta.dirname })).stdout.trim();
      const script = ["mcp_client.py", `${app.base}/mcp`, org.key, mode];
      const seen = JSON.parse((await run(python, script, { cwd: import.meta.dirname })).stdout);
      assert.deepEqual([seen.version, seen.server, seen.tools], [version, "alm", TOOLS]);
      assert.equal(seen.agents.agents[0].agent, "ala");
      const [asked, answer] = await org.history(seen.answer.sessionId);
      assert.deepEqual(
        seen.read.messages.map((message) => message.text),
        [asked.content, answer.content],
      );
      assert.ok(seen.found.hits.length > 0);
      assert.deepEqual(seen.failed, [true, "no such agent"]);
      assert.ok(seen.progress[0][1].includes(seen.answer.sessionId), JSON.stringify(seen.progress));
    });
  }
});

describe("curl", () => {
  test("lists and calls with one request each", async () => {
    const org = await app.org();
    const curl = async (method, params) => {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const headers = ["-H", `Authorization: Bearer ${org.key}`, "-H", "Content-Type: application/json"];
      return JSON.parse((await run("curl", ["-sS", ...headers, "-d", body, `${app.base}/mcp`])).stdout).result;
    };
    const { tools } = await curl("tools/list");
    assert.deepEqual(
      tools.map((tool) => tool.name),
      TOOLS,
    );
    const result = await curl("tools/call", { name: "ask_agent", arguments: { agent: "ala", message: QUESTION } });
    assert.equal((await org.history(result.structuredContent.sessionId))[1].content, result.structuredContent.text);
  });
});
