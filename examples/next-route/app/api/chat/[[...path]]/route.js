// A Next.js route handler that holds the key and passes on what `useChat` asks: a chat, its history, a running reply, a stop.
// ALM_KEY stands in `.env.local`. The page is that of ../use-chat.

const { ALM_URL = "http://127.0.0.1:2560" } = process.env;

/** What a request of the page is at alm: a method, an id and a word. */
function target(method, [id, what] = []) {
  if (method === "POST" && !id) return "/chat";
  if (!/^[\w.:-]+$/.test(id ?? "")) return undefined;
  if ((method === "GET" && what === "stream") || (method === "POST" && what === "stop")) return `/chat/${id}/${what}`;
  if (method === "GET" && what === "messages") return `/sessions/${id}/messages?pageSize=500`;
}

async function pass(request, { params }) {
  const path = target(request.method, (await params).path);
  if (!path) return new Response(null, { status: 404 });
  // Check your own sign-in here, and whose session it is: who gets past this line spends on your key.
  const reply = await fetch(`${ALM_URL}/api/v1${path}`, {
    method: request.method,
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${process.env.ALM_KEY}` },
    body: request.method === "POST" ? request.body : undefined,
    duplex: "half",
    cache: "no-store",
  });
  const headers = { "Cache-Control": "no-cache", "X-Accel-Buffering": "no" };
  const type = reply.headers.get("content-type");
  return new Response(reply.body, {
    status: reply.status,
    headers: type ? { ...headers, "Content-Type": type } : headers,
  });
}

export const GET = pass;
export const POST = pass;
