// @ts-check

// Sessions: the list with its search, and beside it the one that is open.

import { call } from "../lib/api.js";
import { showChat } from "../chat/chat.js";
import { ask, dialog } from "../lib/dialog.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { field, form, input, FieldError } from "../lib/form.js";
import { count, moment } from "../lib/format.js";
import { failure, loading, nothing } from "../lib/states.js";

/** How long to wait for the next letter of a search. */
const TYPING_MS = 200;
const PAGE = 30;

/**
 * Shows the section; returns a function that follows `#sessions/…`.
 * @param {Page} page
 * @returns {Promise<Follow>}
 */
export async function sessions(page) {
  const list = sessionList(page);
  const open = h("div.open");
  fill(page.main, h("h1.away", "Sessions"), h("div.sessions", list.element, open));
  let leave = new AbortController();
  page.signal.addEventListener("abort", () => leave.abort());
  /** @param {string[]} rest */
  const follow = async ([id, agent]) => {
    leave.abort();
    leave = new AbortController();
    const { signal } = leave;
    page.main.classList.toggle("reading", Boolean(id));
    list.mark(id);
    fill(open, loading(4));
    try {
      await showChat(open, {
        id: !id || id === "new" ? null : id,
        agent,
        isOwner: page.isOwner,
        signal,
        rename,
        remove,
        changed: list.reload,
      });
    } catch (error) {
      if (signal.aborted) return undefined;
      fill(
        open,
        error.status === 404
          ? nothing("No such session", "It was deleted or never existed.")
          : failure(error, () => follow([id, agent])),
      );
    }
    return undefined;
  };
  await Promise.all([list.reload(), follow(page.rest)]);
  list.mark(page.rest[0]);
  return follow;
}

/** @param {Page} page */
function sessionList(page) {
  const items = h("ul");
  const more = el("button.small", { type: "button", hidden: true, onclick: () => load(cursor) }, "Show more");
  const search = el("input", {
    type: "search",
    placeholder: "Search",
    "aria-label": "Search sessions and messages",
    autocomplete: "off",
  });
  const found = el("p.away", { role: "status" });
  const body = h("div.list-body", loading(5));
  /** @type {string | null} */
  let cursor = null;
  /** @type {string | undefined} */
  let marked;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;
  let asked = new AbortController();

  /** @param {string | null} [after] */
  const load = async (after) => {
    asked.abort();
    asked = new AbortController();
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (search.value.trim()) query.set("q", search.value.trim());
    if (after) query.set("cursor", after);
    try {
      const answer = await call("GET", `/sessions?${query}`, undefined, {
        signal: AbortSignal.any([asked.signal, page.signal]),
      });
      show(answer, after);
    } catch (error) {
      if (error.name !== "AbortError")
        fill(
          body,
          failure(error, () => load(after)),
        );
    }
  };
  /**
   * @param {Items<Api.Session>} answer
   * @param {string | null} [after]
   */
  const show = (answer, after) => {
    const rows = answer.items.map((session) => row(session));
    if (after) items.append(...rows);
    else fill(items, rows);
    cursor = answer.nextCursor;
    more.hidden = !answer.hasMore;
    const isSearch = search.value.trim() !== "";
    if (isSearch) found.textContent = `${count(items.childElementCount, "session")} found`;
    fill(
      body,
      items.childElementCount > 0 ? [items, more] : h("p.quiet.pad", isSearch ? "No matches." : "No sessions yet."),
    );
    mark(marked);
  };
  /** @param {string} [id] */
  const mark = (id) => {
    marked = id;
    for (const link of items.querySelectorAll("a")) {
      if (link.dataset.id === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  search.addEventListener("input", () => {
    clearTimeout(typing);
    body.setAttribute("aria-busy", "true");
    typing = setTimeout(() => load().finally(() => body.removeAttribute("aria-busy")), TYPING_MS);
  });
  const head = h("div.list-head", search, el("a.button.primary", { href: "#sessions/new" }, "New chat"));
  return {
    element: el("nav.list", { "aria-label": "Sessions" }, head, found, body),
    reload: (/** @type {string | undefined} */ made = undefined) => {
      marked = made ?? marked;
      return load();
    },
    mark,
  };
}

/** @type {Record<string, string>} */
const STATES = { running: "replying…", awaiting_approval: "needs approval", interrupted: "interrupted" };

/** @param {Api.Session} session */
function row({ id, label, status, agentName, updatedAt, snippet }) {
  return h(
    "li",
    el(
      "a",
      { href: `#sessions/${encodeURIComponent(id)}`, "data-id": id },
      h("span.label", label),
      h(
        "span.quiet",
        [agentName, STATES[status]].filter(Boolean).join(" · "),
        agentName || STATES[status] ? " · " : "",
        moment(updatedAt),
      ),
      snippet && h("span.snippet", snippet),
    ),
  );
}

/**
 * @param {Api.Session} session
 * @returns {Promise<Api.Session | undefined>}
 */
function rename(session) {
  return dialog("Rename session", (close) =>
    form({
      content: field("Label", input("label", { value: session.label, maxlength: "255", autofocus: true })),
      submit: "Rename",
      cancel: close,
      send: async ({ label }) => {
        if (!label.trim()) throw new FieldError("label", "Enter a label.");
        close(await call("PATCH", `/sessions/${encodeURIComponent(session.id)}`, { label }));
      },
    }),
  );
}

/** @param {Api.Session} session */
async function remove(session) {
  if (
    !(await ask(`Delete “${session.label}”?`, "Its messages are deleted too. This cannot be undone.", "Delete session"))
  )
    return false;
  await call("DELETE", `/sessions/${encodeURIComponent(session.id)}`);
  notify("Session deleted.");
  return true;
}
