// @ts-check

// Sessions: the list with its search, and beside it the one that is open.

import { call } from "../lib/api.js";
import { showChat } from "../chat/open.js";
import { ask, dialog } from "../lib/dialog.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { field, form, input, FieldError } from "../lib/form.js";
import { failure, loading, nothing } from "../lib/states.js";
import { sessionList } from "./session-list.js";

/** Where a key is a letter. */
const WRITING = "input, textarea, select, [contenteditable]";

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
  const follow = async ([id, second, words]) => {
    leave.abort();
    leave = new AbortController();
    const { signal } = leave;
    page.main.classList.toggle("reading", Boolean(id));
    list.mark(id);
    fill(open, loading(4));
    try {
      await showChat(open, {
        id: !id || id === "new" ? null : id,
        ...(id === "new" ? { agent: second } : second && { hit: { at: second, words: words ?? "" } }),
        isOwner: page.isOwner,
        signal,
        rename,
        remove,
        changed: (id) => {
          list.mark(id);
          list.touch(id);
        },
      });
    } catch (error) {
      if (signal.aborted) return undefined;
      fill(
        open,
        error.status === 404
          ? nothing(
              "No such session",
              "It was deleted or never existed.",
              el("a.button", { href: "#sessions" }, "All sessions"),
            )
          : failure(error, () => follow([id, second, words])),
      );
    }
    return undefined;
  };
  document.addEventListener("keydown", (event) => slash(event, list.search), { signal: page.signal });
  await Promise.all([list.load(), follow(page.rest)]);
  list.mark(page.rest[0]);
  return follow;
}

/**
 * A slash leads to the search, unless it is written.
 * @param {KeyboardEvent} event
 * @param {HTMLElement} search
 */
function slash(event, search) {
  const target = /** @type {Element} */ (event.target);
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.closest(`${WRITING}, dialog`) || !search.offsetParent) return;
  event.preventDefault();
  search.focus();
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
