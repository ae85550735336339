// @ts-check

// A Swagger UI plugin: a reply of type text/event-stream is shown while it arrives, above the responses of its operation.
// Swagger UI itself shows a reply when it has ended, and still does: the body is read twice.

import { events } from "/_page/chat/sse.js";
import { emptyReply, withEvent } from "/docs/reply.js";

/**
 * Operation ("post /api/v1/chat") → what its last stream has sent so far; a new object at every change.
 * @type {Map<string, LiveReply | undefined>}
 */
const replies = new Map();
/** @type {Set<() => void>} */
const watchers = new Set();

/**
 * @param {string} operation
 * @param {LiveReply | undefined} reply
 */
function publish(operation, reply) {
  replies.set(operation, reply);
  for (const watcher of watchers) watcher();
}

/** @param {() => void} watcher */
function subscribe(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/**
 * @param {string} operation
 * @param {Response} response
 */
async function show(operation, response) {
  let reply = emptyReply;
  publish(operation, reply);
  try {
    for await (const data of events(response)) {
      reply = withEvent(reply, data);
      publish(operation, reply);
    }
    publish(operation, reply.state === "arriving" ? { ...reply, state: "ended early" } : reply);
  } catch {
    publish(operation, { ...reply, state: "cut off" });
  }
}

/**
 * `fetch`, which also shows an event stream in the panel of `operation`.
 * @param {string} operation
 * @returns {typeof fetch}
 */
function watchedFetch(operation) {
  return async (url, options) => {
    publish(operation, undefined);
    const response = await fetch(url, options);
    if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
    const [shown, kept] = response.body.tee();
    show(operation, new Response(shown));
    return new Response(kept, response);
  };
}

/**
 * @param {any} React
 * @param {string} operation
 */
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

/**
 * The plugin.
 * @param {{ React: any }} system
 */
export function live({ React }) {
  /** @param {{ operation: string }} props */
  const Live = ({ operation }) => panel(React, operation);
  return {
    statePlugins: {
      spec: {
        wrapActions: {
          /** @param {(request: any) => unknown} execute */
          executeRequest: (execute) => (/** @type {any} */ request) =>
            execute({ ...request, userFetch: watchedFetch(`${request.method} ${request.pathName}`) }),
        },
      },
    },
    wrapComponents: {
      /** @param {any} Responses */
      responses: (Responses) => (/** @type {any} */ props) =>
        React.createElement(
          React.Fragment,
          null,
          React.createElement(Live, { operation: `${props.method} ${props.path}` }),
          React.createElement(Responses, props),
        ),
    },
  };
}
