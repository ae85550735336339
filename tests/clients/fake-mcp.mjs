// An MCP server of the modern kind (2026-07-28) on a loopback port: one POST for each request, answered with JSON.
//
// Rule: it does what its `tools` say at that moment, so a test changes what it lists. `calls` are the calls of tools that came,
// `others` what came that was no POST.

import { createServer } from "node:http";

const VERSION = "2026-07-28";

/**
 * Starts it. A tool is `{name, description, inputSchema, run?, answer?}`: `run` gives the text of an answer, which is "done" without
 * it; `answer` does all of it, with the response and the request's id. `other` answers what is no POST, which is refused without it.
 */
export async function startFakeMcp(tools, other = (response) => response.writeHead(405, { allow: "POST" }).end()) {
  const fake = { tools, calls: [], others: 0 };
  const answers = {
    "server/discover": () => ({ supportedVersions: [VERSION], capabilities: { tools: { listChanged: false } } }),
    "tools/list": () => ({ tools: fake.tools.map(({ run, answer, ...tool }) => tool) }),
    "tools/call": ({ name, arguments: input }) => {
      const { run = () => "done" } = fake.tools.find((tool) => tool.name === name);
      return { content: [{ type: "text", text: run(input) }], isError: false };
    },
  };
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const bytes of request) text += bytes;
    if (request.method !== "POST") {
      fake.others += 1;
      return other(response);
    }
    const { id, method, params } = JSON.parse(text);
    if (id === undefined) return response.writeHead(202).end();
    if (method === "tools/call") {
      fake.calls.push({ name: params.name, input: params.arguments });
      const { answer } = fake.tools.find((tool) => tool.name === params.name);
      if (answer) return answer(response, id);
    }
    const answer = answers[method];
    const _meta = { "io.modelcontextprotocol/serverInfo": { name: "fake-mcp", version: "1.0" } };
    const body = answer
      ? { result: { resultType: "complete", ttlMs: 0, cacheScope: "private", _meta, ...answer(params) } }
      : { error: { code: -32601, message: "Method not found" } };
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ jsonrpc: "2.0", id, ...body }));
  });
  server.listen(0, "127.0.0.1").unref();
  await new Promise((resolve) => server.once("listening", resolve));
  fake.url = `http://127.0.0.1:${server.address().port}/mcp`;
  fake.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return fake;
}
