// @ts-check

// What was called: who allowed it and which way, when it ran, how it ended, and what it cost.

import { call } from "../../lib/api.js";
import { el, fill, h } from "../../lib/dom.js";
import { select } from "../../lib/form.js";
import { moment, money, number } from "../../lib/format.js";
import { failure, loading, table } from "../../lib/states.js";

const PAGE = 30;

/** How a call stands, as people say it. */
const STATES = {
  waiting: "waits for an answer",
  approved: "allowed, not run yet",
  denied: "denied",
  withdrawn: "withdrawn",
  called: "running",
  done: "done",
  failed: "failed",
  unknown: "outcome unknown",
};

/** States that pass by themselves. */
const MOVING = ["approved", "called"];

/** @type {Record<string, string>} */
const WAYS = { "sign-in": "in a browser", "command line": "on the command line" };

/**
 * The list, its filter, `reload()`, and whether it is worth one.
 * @param {Page} page
 */
export function callLog(page) {
  const element = h("div", loading(2));
  const rows = h("tbody");
  const more = el("button.small", { type: "button", hidden: true, onclick: () => load(cursor) }, "Show more");
  const status = select("status", [["", "All calls"], ...Object.entries(STATES)], "", { "aria-label": "Which calls" });
  /** @type {string | null} */
  let cursor = null;
  let asked = new AbortController();
  let moves = false;
  /** @param {string | null} [after] */
  const load = async (after) => {
    asked.abort();
    asked = new AbortController();
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (status.value) query.set("status", status.value);
    if (after) query.set("cursor", after);
    const signal = AbortSignal.any([asked.signal, page.signal]);
    try {
      show(await call("GET", `/tool-calls?${query}`, undefined, { signal }), after);
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(
        element,
        failure(error, () => load(after)),
      );
    }
  };
  /**
   * @param {Items<Api.ToolCall>} answer
   * @param {string | null} [after]
   */
  const show = ({ items, hasMore, nextCursor }, after) => {
    if (after) rows.append(...items.map(row));
    else fill(rows, items.map(row));
    cursor = nextCursor;
    // Who reads on in the list is not brought back to its beginning.
    moves = !after && items.some(({ status }) => MOVING.includes(status));
    more.hidden = !hasMore;
    fill(element, rows.childElementCount > 0 ? [log(rows), more] : h("p.quiet", "No calls."));
  };
  status.addEventListener("change", () => load());
  return {
    element,
    filter: status,
    reload: () => load(),
    /** Whether something that is shown will soon be otherwise. */
    get moves() {
      return moves && !element.contains(document.activeElement);
    },
  };
}

/** @param {HTMLElement} rows */
const log = (rows) =>
  table("What was called", "table.calls", ["Tool", "Session", "Allowed", "Run", "Outcome"], ["Bytes", "Cost"], rows);

/** @param {Api.ToolCall} one */
const row = (one) =>
  h(
    "tr",
    el("th", { scope: "row" }, h("code", one.tool)),
    h("td", one.sessionId ? el("a", { href: `#sessions/${encodeURIComponent(one.sessionId)}` }, "open") : "not stored"),
    h("td", whoAllowed(one)),
    h("td", moment(one.calledAt, "never")),
    h("td", STATES[one.status] ?? one.status, one.reason && h("p.quiet", one.reason)),
    h("td.amount", one.outputBytes > 0 ? number(one.outputBytes) : ""),
    h("td.amount", one.costMicrocents > 0 ? money(one.costMicrocents) : ""),
  );

/** @param {Api.ToolCall} one */
function whoAllowed({ policy, decidedAt, decidedBy, decidedVia, status }) {
  if (!decidedAt) return policy === "never" ? "needs no answer" : "";
  const verb = status === "denied" ? "denied by " : status === "withdrawn" ? "withdrawn " : "";
  const way = decidedVia && (WAYS[decidedVia] ?? "with a key");
  return [verb, decidedBy?.email, h("p.quiet", way && `${way}, `, moment(decidedAt))];
}
