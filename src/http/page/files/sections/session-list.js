// @ts-check

// The list of sessions: by day, with a search in what was said.
//
// Rule: what changes moves its own row. The rest of the list, its place and the focus stay.

import { call } from "../lib/api.js";
import { arrange, el, fill, h } from "../lib/dom.js";
import { happenings } from "../lib/events.js";
import { count, moment } from "../lib/format.js";
import { failure, loading } from "../lib/states.js";

/** How long to wait for the next letter of a search. */
const TYPING_MS = 200;
const PAGE = 30;
const DAY_MS = 86_400_000;
/** Sessions that agents and programs hold with each other are not listed. */
const HIDDEN = ["agent", "responses"];

/** @type {Record<string, string>} */
const STATES = { running: "replying…", awaiting_approval: "needs approval", interrupted: "interrupted" };

const month = new Intl.DateTimeFormat("en", { month: "long", year: "numeric" });

/**
 * Under which heading this moment stands.
 * @param {string} text
 */
function dayOf(text) {
  const at = new Date(text);
  const today = new Date().setHours(0, 0, 0, 0);
  // A day may be an hour shorter or longer.
  const days = Math.round((today - new Date(at).setHours(0, 0, 0, 0)) / DAY_MS);
  if (days < 1) return "Today";
  if (days < 2) return "Yesterday";
  if (days < 8) return "Last 7 days";
  return days < 31 ? "Last 30 days" : month.format(at);
}

/** @param {Page} page */
export function sessionList(page) {
  const groups = h("div.groups");
  const more = el("button.small", { type: "button", hidden: true, onclick: () => load(cursor) }, "Show more");
  const empty = h("p.quiet.pad");
  const search = el("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search sessions and messages",
    "aria-keyshortcuts": "/",
    autocomplete: "off",
  });
  const found = el("p.away", { role: "status" });
  const body = h("div.list-body", loading(5));
  /** @type {Map<string, ReturnType<typeof row>>} */
  const rows = new Map();
  /** By heading. @type {Map<string, { element: HTMLElement, list: HTMLElement }>} */
  const known = new Map();
  /** @type {string | null} */
  let cursor = null;
  /** @type {string | undefined} */
  let marked;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  let asked = new AbortController();
  const query = () => search.value.trim();

  /** @param {string | null} [after] */
  const load = async (after) => {
    asked.abort();
    asked = new AbortController();
    const asks = new URLSearchParams({ limit: String(PAGE) });
    if (query()) asks.set("q", query());
    if (after) asks.set("cursor", after);
    try {
      const signal = AbortSignal.any([asked.signal, page.signal]);
      const answer = await call("GET", `/sessions?${asks}`, undefined, { signal });
      if (!after) rows.clear();
      answer.items.forEach(put);
      cursor = answer.nextCursor;
      more.hidden = !answer.hasMore;
      paint();
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(
        body,
        failure(error, () => load(after)),
      );
    }
  };

  /** @param {Api.Session} session */
  const put = (session) => {
    const known = rows.get(session.id);
    if (known) known.update({ ...known.session, ...session });
    else rows.set(session.id, row(session, query()));
  };

  /** @param {string} title */
  const group = (title) => {
    const list = h("ul");
    const made = known.get(title) ?? { element: h("section", title && h("h2.day", title), list), list };
    known.set(title, made);
    return made;
  };

  const paint = () => {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const sorted = [...rows.values()];
    if (!query()) sorted.sort((a, b) => (a.session.updatedAt < b.session.updatedAt ? 1 : -1));
    const byDay = Map.groupBy(sorted, ({ session }) => (query() ? "" : dayOf(session.updatedAt)));
    const shown = [...byDay].map(([title, rows]) => {
      const { element, list } = group(title);
      arrange(
        list,
        rows.map(({ element }) => element),
      );
      return element;
    });
    arrange(groups, shown);
    found.textContent = query() && `${count(rows.size, "session")} found`;
    empty.textContent = query() ? "No matches." : "No sessions yet.";
    arrange(body, rows.size > 0 ? [groups, more] : [empty]);
    mark(marked);
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  };

  /** @param {string} [id] */
  const mark = (id) => {
    marked = id;
    for (const { session, link } of rows.values()) {
      if (session.id === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };

  /**
   * Something of this session is new, or it is gone.
   * @param {string} id
   */
  const touch = async (id) => {
    try {
      const session = await call("GET", `/sessions/${encodeURIComponent(id)}`, undefined, page);
      // Whether a search finds it, only the search knows.
      if (rows.has(id) || !(query() || HIDDEN.includes(session.origin))) put(session);
    } catch (error) {
      if (error.status !== 404) return;
      rows.delete(id);
    }
    paint();
  };

  /** What may have changed anywhere: the newest are looked at again. */
  const look = async () => {
    if (query() || rows.size === 0) return;
    const answer = await call("GET", `/sessions?limit=${PAGE}`, undefined, { signal: page.signal, asks: false });
    answer.items.forEach(put);
    paint();
  };

  /** @param {Record<string, any>} event */
  const hear = ({ type, id, deleted, status, label, updatedAt, origin }) => {
    if (type === "resync") return look().catch(() => {});
    if (type !== "session") return undefined;
    const known = rows.get(id);
    if (deleted) rows.delete(id);
    else if (known) known.update({ ...known.session, status, label, updatedAt });
    else return HIDDEN.includes(origin) ? undefined : touch(id);
    return paint();
  };

  search.addEventListener("input", () => {
    clearTimeout(typing);
    body.ariaBusy = "true";
    typing = setTimeout(() => load().finally(() => (body.ariaBusy = null)), TYPING_MS);
  });
  const head = h("div.list-head", search, el("a.button.primary", { href: "#sessions/new" }, "New chat"));
  happenings(hear, page.signal);
  return { element: el("nav.list", { "aria-label": "Sessions" }, head, found, body), search, load, touch, mark };
}

/**
 * A row; where a search for these words found a message, it leads there.
 * @param {Api.Session & { messageId?: string | null }} session
 * @param {string} words
 */
function row(session, words) {
  const at = words && session.messageId ? [session.messageId, words] : [];
  const way = [session.id, ...at].map(encodeURIComponent).join("/");
  const link = el("a", { href: `#sessions/${way}`, "data-id": session.id });
  const made = {
    session,
    link,
    element: h("li", link),
    /** @param {Api.Session} session */
    update(session) {
      made.session = session;
      const { label, status, agentName, updatedAt, snippet } = session;
      const facts = [agentName, STATES[status], moment(updatedAt)].filter(Boolean);
      link.classList.toggle("running", status === "running");
      fill(
        link,
        h("span.label", label),
        h(
          "span.quiet",
          facts.map((fact, at) => [at > 0 && " · ", fact]),
        ),
        snippet && h("span.snippet", snippet),
      );
    },
  };
  made.update(session);
  return made;
}
