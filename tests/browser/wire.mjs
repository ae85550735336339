// A line between a browser and the server that a test can cut: all that runs over it ends, and nobody answers until it is mended.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A line to the server at `base`; `cut()` and `mend()` do as they say, `base` is where the browser finds it. */
export async function startLine(base) {
  const { port } = new URL(base);
  const sockets = new Set();
  const server = createServer((near) => {
    // It came in while the line was being cut.
    if (!server.listening) return near.destroy();
    const far = connect(Number(port), "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(socket);
      socket.pipe(other);
      socket
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(socket);
          other.destroy();
        });
    }
  });
  const listen = async (port) => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  };
  const cut = async () => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await listen(0);
  const { port: own } = server.address();
  return { base: `http://127.0.0.1:${own}`, cut, mend: () => listen(own) };
}
