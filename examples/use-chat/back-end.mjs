// Holds the key and passes on what the page may ask: a chat, its history, a running reply, a stop. Nothing to install.
//
//     ALM_KEY=alm_live_… node back-end.mjs

import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const { ALM_URL = "http://127.0.0.1:2560", ALM_KEY, PORT = "3000" } = process.env;

/** What a request of the page is at alm. */
function target({ method, url }) {
  const [, id, what] = url.match(/^\/api\/chat(?:\/([\w.:-]+)\/(stream|stop|messages))?$/) ?? [];
  const wanted = `${method} ${what ?? (id === undefined && url === "/api/chat" ? "chat" : "")}`;
  if (wanted === "POST chat") return "/chat";
  if (wanted === "GET stream" || wanted === "POST stop") return `/chat/${id}/${what}`;
  if (wanted === "GET messages") return `/sessions/${id}/messages?pageSize=500`;
}

async function handle(request, response) {
  const path = target(request);
  if (!path) return response.writeHead(404).end();
  // Check your own session cookie here, and whose session it is: who gets past this line spends on your key.
  const reply = await fetch(`${ALM_URL}/api/v1${path}`, {
    method: request.method,
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${ALM_KEY}` },
    body: request.method === "POST" ? Readable.toWeb(request) : undefined,
    duplex: "half",
  });
  if (!reply.body) return response.writeHead(reply.status).end();
  response.writeHead(reply.status, {
    "Content-Type": reply.headers.get("content-type"),
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
  });
  await pipeline(Readable.fromWeb(reply.body), response);
}

const server = createServer((request, response) =>
  handle(request, response).catch(() => (response.headersSent ? response.destroy() : response.writeHead(502).end())),
);
server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
