// An organization with one MCP server, and chats whose model calls its tools.

import assert from "node:assert/strict";

import * as fake from "./fake-upstream.mjs";

/** An organization with the server that these words of `alm mcp add` name; nobody has to allow its calls. */
export async function orgWithServer(app, slug, words) {
  const org = await app.org({ upstream: [fake.text("Nothing to do.")] });
  await app.cli("mcp", "add", "--org", org.slug, "--approval", "never", "--yes", slug, ...words);
  const { items } = await org.data("GET", "/tools?origin=mcp&limit=100");
  return { org, names: items.map((tool) => tool.name) };
}

/** A chat whose model calls this tool: its stream, and what the model is told. */
export async function call(org, name, input) {
  org.upstream.requests.length = 0;
  org.upstream.replies = [fake.toolCall(name, [JSON.stringify(input)]), fake.text("Done.")];
  const stream = await org.reply("Please.");
  assert.equal(org.upstream.requests.length, 2, stream.types.join(" "));
  return { stream, told: org.upstream.requests[1].body.messages.at(-1).content };
}
