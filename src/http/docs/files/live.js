// A Swagger UI plugin: a reply of type text/event-stream is shown while it arrives, above the responses of its operation.
// Swagger UI itself shows a reply when it has ended, and still does: the body is read twice.

/** What the panel keeps of the raw events; the reply below it has all of them. */
const RAW_CHARS_MAX = 200_000;

/** Operation ("post /api/v1/chat") → what its last stream has said so far; a new object at every change. */
const replies = new Map();
const watchers = new Set();

function tell(operation, reply) {
  replies.set(operation, reply);
  for (const watcher of watchers) watcher();
}

function subscribe(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/** Splits an event stream into the data of its events; `feed` takes any piece of it. */
export function eventSplitter(onData) {
  let rest = "";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length > 0) onData(data.join("\n"));
      data = [];
    } else if (text.startsWith("data:")) {
      data.push(text.slice(text.startsWith("data: ") ? 6 : 5));
    }
  };
  return {
    feed(text) {
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      lines.forEach(line);
    },
  };
}

/** The reply after one more event. */
export function withEvent(reply, data) {
  const next = { ...reply, events: reply.events + 1, raw: (reply.raw + data + "\n").slice(-RAW_CHARS_MAX) };
  if (data === "[DONE]") return next.state === "arriving" ? { ...next, state: "complete" } : next;
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    return next; // not one of ours: it is in the raw events
  }
  if (chunk?.type === "text-delta") return { ...next, text: reply.text + chunk.delta };
  if (chunk?.type === "abort") return { ...next, state: "stopped" };
  if (chunk?.type === "error") return { ...next, text: `${reply.text}\n${chunk.errorText}`, state: "failed" };
  return next;
}

/** A reply of which nothing has come yet. */
export const silent = { text: "", raw: "", events: 0, state: "arriving" };

async function show(operation, body) {
  let reply = silent;
  tell(operation, reply);
  const splitter = eventSplitter((data) => (reply = withEvent(reply, data)));
  try {
    for await (const text of iterate(body.pipeThrough(new TextDecoderStream()))) {
      splitter.feed(text);
      tell(operation, reply);
    }
    tell(operation, reply.state === "arriving" ? { ...reply, state: "ended early" } : reply);
  } catch {
    tell(operation, { ...reply, state: "cut off" });
  }
}

// Not every browser can iterate over a stream by itself.
async function* iterate(stream) {
  const reader = stream.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
}

/** `fetch`, which also shows an event stream in the panel of `operation`. */
function watchedFetch(operation) {
  return async (url, options) => {
    tell(operation, undefined);
    const answer = await fetch(url, options);
    if (!answer.body || !answer.headers.get("content-type")?.startsWith("text/event-stream")) return answer;
    const [shown, kept] = answer.body.tee();
    show(operation, shown);
    return new Response(kept, answer);
  };
}

function panel(React, operation) {
  const e = React.createElement;
  const reply = React.useSyncExternalStore(subscribe, () => replies.get(operation));
  if (!reply) return null;
  return e(
    "section",
    { className: "live", "aria-label": "Reply as it arrives" },
    e("h4", null, "Reply", e("span", { role: "status" }, reply.state)),
    e("div", { className: "text" }, reply.text),
    e(
      "details",
      { open: true },
      e("summary", null, `Events: ${reply.events}`),
      e("pre", { tabIndex: 0, "aria-label": "Raw events" }, reply.raw),
    ),
  );
}

/** The plugin. */
export function live({ React }) {
  const Live = ({ operation }) => panel(React, operation);
  return {
    statePlugins: {
      spec: {
        wrapActions: {
          executeRequest: (execute) => (request) =>
            execute({ ...request, userFetch: watchedFetch(`${request.method} ${request.pathName}`) }),
        },
      },
    },
    wrapComponents: {
      responses: (Responses) => (props) =>
        React.createElement(
          React.Fragment,
          null,
          React.createElement(Live, { operation: `${props.method} ${props.path}` }),
          React.createElement(Responses, props),
        ),
    },
  };
}
