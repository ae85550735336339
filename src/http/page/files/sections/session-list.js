// @ts-check

// The list of sessions: what is pinned, then by day, with a search in what was said; several can be deleted at once.
//
// Rule: what changes moves its own row. The rest of the list, its place and the focus stay.

import { patternOf } from "../chat/hits.js";
import { call } from "../lib/api.js";
import { ask } from "../lib/dialog.js";
import { arrange, el, fill, h, notify } from "../lib/dom.js";
import { happenings } from "../lib/events.js";
import { count, moment } from "../lib/format.js";
import { failure, loading } from "../lib/states.js";

const PINNED = "Pinned";
/** How long to wait for the next letter of a search. */
const TYPING_MS = 200;
const PAGE = 30;
const DAY_MS = 86_400_000;
/** Sessions that agents and programs hold with each other are not listed. */
const HIDDEN = ["agent", "responses"];

/** @type {Record<string, string>} */
const STATES = { running: "replying…", awaiting_approval: "needs approval", interrupted: "interrupted" };

const month = new Intl.DateTimeFormat("en", { month: "long", year: "numeric" });

/** @param {Api.Session} session */
const isPinned = ({ metadata }) => metadata?.pinned === true;

/**
 * Under which heading a session stands.
 * @param {Api.Session} session
 */
function titleOf(session) {
  if (isPinned(session)) return PINNED;
  const at = new Date(session.updatedAt);
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
      const [answer, pinned] = await Promise.all([
        call("GET", `/sessions?${asks}`, undefined, { signal }),
        !after && !query() && call("GET", "/sessions?pinned=true&limit=100", undefined, { signal }),
      ]);
      if (!after) rows.clear();
      if (pinned) pinned.items.forEach(put);
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
    /** @param {Api.Session} session */
    const place = (session) => `${isPinned(session) ? 1 : 0} ${session.updatedAt}`;
    if (!query()) sorted.sort((a, b) => (place(a.session) < place(b.session) ? 1 : -1));
    const byDay = Map.groupBy(sorted, ({ session }) => (query() ? "" : titleOf(session)));
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
    tally();
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
    // Where neither is new, something else is.
    else if (known && (known.session.status !== status || known.session.label !== label))
      known.update({ ...known.session, status, label, updatedAt });
    else return known || !HIDDEN.includes(origin) ? touch(id) : undefined;
    return paint();
  };

  const chosen = () => [...rows.values()].filter(({ check }) => check.checked);
  const tally = () => {
    const { length } = chosen();
    remove.disabled = length === 0;
    fill(number, `${length} selected`);
  };
  /** @param {boolean} several whether rows are chosen, and not opened */
  const choose = (several) => {
    element.classList.toggle("choosing", several);
    head.hidden = several;
    choosing.hidden = !several;
    for (const { check } of rows.values()) check.checked = false;
    tally();
    (several ? cancel : select).focus();
  };
  const removeChosen = async () => {
    const all = chosen();
    const title = `Delete ${count(all.length, "session")}?`;
    if (!(await ask(title, "Their messages are deleted too. This cannot be undone.", "Delete"))) return;
    for (const { session } of all) {
      try {
        await call("DELETE", `/sessions/${encodeURIComponent(session.id)}`);
      } catch (error) {
        return notify(`${session.label}: ${error.message}`);
      }
      rows.delete(session.id);
      paint();
    }
    notify(`Deleted ${count(all.length, "session")}.`);
    choose(false);
    if (all.some(({ session }) => session.id === marked)) location.hash = "#sessions";
  };

  search.addEventListener("input", () => {
    clearTimeout(typing);
    body.ariaBusy = "true";
    typing = setTimeout(() => load().finally(() => (body.ariaBusy = null)), TYPING_MS);
  });
  /**
   * @param {string} name
   * @param {string} text
   * @param {() => unknown} onclick
   */
  const button = (name, text, onclick) => el(name, { type: "button", onclick }, text);
  const select = button("button.icon", "☑", () => choose(true));
  select.ariaLabel = select.title = "Select sessions";
  const number = el("span.grow", { role: "status" });
  const remove = /** @type {HTMLButtonElement} */ (button("button.small.danger", "Delete", removeChosen));
  const cancel = button("button.small", "Cancel", () => choose(false));
  const choosing = el("div.list-head", { hidden: true }, number, remove, cancel);
  const fresh = el("a.button.primary", { href: "#sessions/new", "aria-label": "New chat" }, "New");
  const head = h("div.list-head", search, select, fresh);
  const element = el("nav.list", { "aria-label": "Sessions" }, head, choosing, found, body);
  body.addEventListener("change", tally);
  // A press on a row is one on its box then.
  body.addEventListener("click", (event) => {
    const link = /** @type {HTMLElement} */ (event.target).closest("li a");
    if (choosing.hidden || !link) return;
    event.preventDefault();
    /** @type {HTMLElement} */ (link.previousElementSibling).click();
  });
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.key !== "Escape" || choosing.hidden || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    choose(false);
  };
  document.addEventListener("keydown", press, { signal: page.signal });
  happenings(hear, page.signal);
  return { element, search, load, touch, mark };
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
  const check = el("input", { type: "checkbox" });
  const pattern = patternOf(words);
  const made = {
    session,
    link,
    check,
    element: h("li", check, link),
    /** @param {Api.Session} session */
    update(session) {
      made.session = session;
      const { label, status, agentName, updatedAt, snippet, messageId } = session;
      check.ariaLabel = `Select ${label}`;
      const facts = [agentName, STATES[status], moment(updatedAt)].filter(Boolean);
      link.classList.toggle("running", status === "running");
      fill(
        link,
        h("span.label", marked(label, pattern)),
        h(
          "span.quiet",
          facts.map((fact, at) => [at > 0 && " · ", fact]),
        ),
        messageId && h("span.snippet", marked(snippet ?? "", pattern)),
      );
    },
  };
  made.update(session);
  return made;
}

/**
 * A text, with what was looked for marked in it.
 * @param {string} text
 * @param {RegExp} pattern
 */
function marked(text, pattern) {
  /** @type {Child[]} */
  const pieces = [];
  let at = 0;
  for (const { index, 0: found } of text.matchAll(pattern)) {
    pieces.push(text.slice(at, index), h("mark", found));
    at = index + found.length;
  }
  return [...pieces, text.slice(at)];
}
