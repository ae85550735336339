// @ts-check

// Requests: what was asked of models, as it happens, and what became of it.

import { call } from "../lib/api.js";
import { dialog } from "../lib/dialog.js";
import { el, fill, h } from "../lib/dom.js";
import { happenings } from "../lib/events.js";
import { select } from "../lib/form.js";
import { duration, moment, money, number } from "../lib/format.js";
import { failure, loading, nothing, table } from "../lib/states.js";

const PAGE = 50;
/** Between two looks, however much happens. */
const LOOK_MS = 1_000;

/** @type {Record<string, string>} */
const STATES = {
  running: "running",
  complete: "complete",
  stopped: "stopped",
  interrupted: "interrupted",
  error: "broke off",
  refused: "refused",
};

const COLUMNS = ["When", "Who", "Agent", "Model", "Outcome"];
const AMOUNTS = ["First word", "Took", "Tokens", "Cost"];

/** @param {Page} page */
export async function requests(page) {
  const intro = page.isOwner
    ? "What everybody here asked of models in the last 30 days."
    : "What you asked of models in the last 30 days.";
  const key = select("key", [["", "Every key and browser"]], "", { "aria-label": "Key" });
  const failed = el("input", { type: "checkbox" });
  const body = h("div", loading(4));
  fill(
    page.main,
    h("h1", "Requests"),
    h("p.quiet", intro),
    h("div.filters", key, h("label", failed, " Failures only")),
    body,
  );
  const log = requestLog(page, body, () => {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (key.value) query.set("keyId", key.value);
    if (failed.checked) query.set("failed", "true");
    return query;
  });
  for (const filter of [key, failed]) filter.addEventListener("change", log.begin);
  const [{ items }] = await Promise.all([call("GET", "/api-keys", undefined, page), log.begin()]);
  key.append(...items.map((/** @type {any} */ one) => el("option", { value: one.id }, one.name)));
  happenings(({ type }) => (type === "request" || type === "resync") && log.look(), page.signal);
}

/**
 * The rows: `begin()` lists them anew, `look()` takes in what is new.
 * @param {Page} page
 * @param {HTMLElement} body
 * @param {() => URLSearchParams} query
 */
function requestLog(page, body, query) {
  const rows = h("tbody");
  const more = el("button.small", { type: "button", hidden: true, onclick: () => older() }, "Show more");
  const news = el("p.away", { role: "status" });
  /** @type {Map<string, { text: string, row: HTMLElement }>} */
  const known = new Map();
  /** @type {string | null} */
  let cursor = null;
  let asked = new AbortController();
  let last = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  page.signal.addEventListener("abort", () => clearTimeout(timer));

  /** @param {string} [after] */
  const ask = (after) => {
    const asks = query();
    if (after) asks.set("cursor", after);
    return call("GET", `/requests?${asks}`, undefined, { signal: AbortSignal.any([asked.signal, page.signal]) });
  };
  /** @param {any} one */
  const rowOf = (one) => {
    const text = JSON.stringify(one);
    const before = known.get(one.id);
    if (before?.text === text) return before.row;
    const row = requestRow(one, page);
    if (before) {
      const hadFocus = before.row.contains(document.activeElement);
      before.row.replaceWith(row);
      if (hadFocus) row.querySelector("button")?.focus();
    }
    known.set(one.id, { text, row });
    return row;
  };
  const begin = async () => {
    asked.abort();
    asked = new AbortController();
    try {
      const list = await ask();
      known.clear();
      fill(rows, list.items.map(rowOf));
      show(list);
    } catch (error) {
      if (error.name !== "AbortError") fill(body, failure(error, begin));
    }
  };
  /** @param {Items<any>} list */
  const show = ({ hasMore, nextCursor }) => {
    cursor = nextCursor;
    more.hidden = !hasMore;
    if (known.size === 0) fill(body, nothing("No requests", "Ask a model: the request appears here as it happens."));
    else if (!rows.isConnected)
      fill(body, table("Requests", "table.calls.requests", COLUMNS, AMOUNTS, rows), more, news);
  };
  const older = async () => {
    const list = await ask(cursor ?? "");
    rows.append(...list.items.map(rowOf));
    show(list);
  };
  const take = async () => {
    last = Date.now();
    const list = await ask();
    const isNew = list.items.filter((/** @type {any} */ one) => !known.has(one.id)).length;
    // Nothing that is shown is among them, or there is nothing yet: what lies between is not known.
    if (known.size === 0 || isNew === list.items.length) return begin();
    list.items.map(rowOf).forEach((/** @type {HTMLElement} */ row, /** @type {number} */ at) => {
      if (rows.children[at] !== row && !row.isConnected) rows.insertBefore(row, rows.children[at] ?? null);
    });
    return undefined;
  };
  const look = () => {
    clearTimeout(timer);
    timer = setTimeout(() => take().catch(() => {}), Math.max(0, last + LOOK_MS - Date.now()));
  };
  return { begin, look };
}

/**
 * @param {any} one
 * @param {Page} page
 */
const requestRow = (one, page) =>
  h(
    "tr",
    el("th", { scope: "row" }, el("button.plain", { type: "button", onclick: () => open(one, page) }, moment(one.at))),
    h("td", one.keyName ?? (one.keyId ? "a key" : "browser"), page.isOwner && h("p.quiet", one.email)),
    h("td", one.agentName ?? ""),
    h("td", one.model ? h("code", one.model) : ""),
    h("td", outcome(one), one.unlisted > 0 && h("p.quiet", `and ${number(one.unlisted)} refused before it`)),
    h("td.amount", one.firstMs === null ? "" : duration(one.firstMs)),
    h("td.amount", one.durationMs === null ? "" : duration(one.durationMs)),
    h("td.amount", tokens(one)),
    h("td.amount", one.costMicrocents > 0 ? money(one.costMicrocents) : ""),
  );

/** @param {any} one */
const outcome = ({ status, code, httpStatus }) => [
  STATES[status] ?? status,
  code && h("p.quiet", h("code", httpStatus >= 400 ? `${httpStatus} ${code}` : code)),
];

/** @param {any} one */
const tokens = ({ usage }) =>
  usage.inputTokens + usage.outputTokens > 0 ? number(usage.inputTokens + usage.outputTokens) : "";

/**
 * One request, whole.
 * @param {any} listed
 * @param {Page} page
 */
async function open(listed, page) {
  const one = await call("GET", `/requests/${listed.id}`, undefined, page);
  const facts = [
    ["When", moment(one.at)],
    ["Outcome", outcome(one)],
    ["Path", h("code", one.route)],
    ["Who", `${one.email}, ${one.keyName ? `with ${one.keyName}` : one.keyId ? "with a key" : "in a browser"}`],
    one.agentName && ["Agent", one.agentName],
    one.model && ["Model", h("code", one.model)],
    ["Tokens", `${number(one.usage.inputTokens)} in, ${number(one.usage.outputTokens)} out`],
    ["Cost", money(one.costMicrocents)],
    ["Request ID", h("code", one.requestId)],
  ].filter(Boolean);
  await dialog("Request", (close) => [
    h(
      "dl.details",
      facts.map(([name, value]) => [h("dt", name), h("dd", value)]),
    ),
    one.upstreamSaid && [h("h3", "What the provider said"), h("pre.said", one.upstreamSaid)],
    h(
      "p.actions",
      one.sessionId &&
        el(
          "a",
          { href: `#sessions/${encodeURIComponent(one.sessionId)}`, onclick: () => close(true) },
          "Open the session",
        ),
      el("button", { type: "button", onclick: () => close(true) }, "Close"),
    ),
  ]);
}
