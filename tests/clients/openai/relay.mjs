// Stands between a client and the server and writes down what passes: how often a client asks is known on the wire only.
//
// Rule: nothing is changed on the way, and an end on either side is an end on the other.

import { createServer, request as ask } from "node:http";

/** Starts it. `base` is its address; `seen` are the requests that passed: `{ method, path, status }`. */
export async function startRelay(target) {
  const seen = [];
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const passed = { method, path: new URL(url, target).pathname, status: undefined };
    seen.push(passed);
    const onward = ask(target + url, { method, headers: { ...headers, host: new URL(target).host } }, (response) => {
      passed.status = response.statusCode;
      outgoing.writeHead(response.statusCode, response.rawHeaders);
      outgoing.flushHeaders();
      response.pipe(outgoing);
      response.on("close", () => response.complete || outgoing.destroy());
    });
    onward.on("error", () => outgoing.destroy());
    outgoing.on("close", () => onward.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, "127.0.0.1").unref();
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    seen,
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
