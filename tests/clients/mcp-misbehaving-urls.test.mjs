// MCP servers by URL that misbehave, in chats.
//
// Rule: whatever a server does, the model reads a sentence of it, the reply goes on to its end, and nothing is sent twice.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startAlm } from "./alm.mjs";
import { startFakeMcp } from "./fake-mcp.mjs";
import { call, orgWithServer } from "./mcp-chats.mjs";

const MIB = 1024 * 1024;
const BROKE = "The connection broke. It may have taken effect: check before you call it again.";
const TOO_LONG = "The answer has more than 4194304 bytes: it was read no further.";

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

const sse = (response) => response.writeHead(200, { "content-type": "text/event-stream" });
const answered = (id, result) => JSON.stringify({ jsonrpc: "2.0", id, result });
const CALLS = {
  "a page instead of an answer": [
    (response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>Please log in</html>"),
    /Its answer is not JSON/,
  ],
  "a redirect": [
    (response) => response.writeHead(302, { location: "http://169.254.169.254/" }).end(),
    /HTTP 302: it points to http:\/\/169\.254\.169\.254\//,
  ],
  "a huge body": [
    (response, id) => response.end(answered(id, { content: [{ type: "text", text: "x".repeat(5 * MIB) }] })),
    TOO_LONG,
  ],
  "an event without an end": [
    (response) => {
      sse(response).write("data: ");
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(MIB)));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    },
    TOO_LONG,
  ],
  "half an answer": [(response) => sse(response).end('data: {"jsonrpc":"2.0","id":'), BROKE],
  "a connection that is cut": [(response) => response.destroy(), BROKE],
  "comments without an end": [
    (response) => {
      const timer = setInterval(() => response.write(": still here\n\n"), 5);
      sse(response).once("close", () => clearInterval(timer));
    },
    /No answer came within 1 s/,
  ],
};

/** What a model is told of a call that is answered like this, by a server that has a second for it. */
async function toldOf(answer, other) {
  const server = await startFakeMcp([{ name: "t", inputSchema: { type: "object" }, answer }], other);
  try {
    const { org } = await orgWithServer(app, "far", [server.url]);
    const entry = JSON.stringify({ url: server.url, timeout: 1_000 });
    await app.cli("mcp", "add-json", "evil", entry, "--org", org.slug, "--yes");
    await app.cli("tools", "set", "evil__t", "--approval", "never", "--org", org.slug);
    const { stream, told: sentence } = await call(org, "evil__t", {});
    assert.equal(stream.only("finish").finishReason, "stop");
    assert.equal(server.calls.length, 1, "it is not sent again");
    return { sentence, others: server.others };
  } finally {
    await server.stop();
  }
}

for (const [what, [answer, expected]] of Object.entries(CALLS)) {
  test(what, async () => {
    const { sentence } = await toldOf(answer);
    if (typeof expected === "string") assert.equal(sentence, expected);
    else assert.match(sentence, expected);
  });
}

test("an answer that is always to come later is asked for again within bounds", async () => {
  const later = (response) => sse(response).end("id: 1\nretry: 0\ndata: \n\n");
  const { sentence, others } = await toldOf(later, later);
  assert.match(sentence, /No answer came within 1 s|The connection broke/);
  assert.ok(others <= 4, String(others));
});
