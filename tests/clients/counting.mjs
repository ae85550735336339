// A service on a loopback port that a tool calls, and that counts: how often a thing was really done is known on its side only.

import { createServer } from "node:http";

/** Starts the service. `endpoint(answer)` makes an address; `calls` are the requests that came there, in order. */
export async function startCounting() {
  const endpoints = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const bytes of request) text += bytes;
    const endpoint = endpoints[Number(request.url.split("/")[1])];
    if (!endpoint) return response.writeHead(404).end();
    const key = request.headers["idempotency-key"];
    endpoint.calls.push({ method: request.method, key, body: text && JSON.parse(text) });
    const answer = JSON.stringify(await endpoint.answer(endpoint.calls.at(-1)));
    response.writeHead(200, { "content-type": "application/json" }).end(answer);
  });
  server.listen(0, "127.0.0.1").unref();
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    endpoint(answer = () => ({ ok: true })) {
      const endpoint = { answer, calls: [] };
      endpoint.url = `http://127.0.0.1:${server.address().port}/${endpoints.push(endpoint) - 1}/tickets`;
      return endpoint;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
