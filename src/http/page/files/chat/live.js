// @ts-check

// What happens to the open session elsewhere, and the keys that work in it.

import { call } from "../lib/api.js";
import { happenings } from "../lib/events.js";

/** Where Escape has a meaning of its own. */
const OPEN = "dialog[open], :popover-open, [aria-expanded='true']";

/**
 * Keeps the chat up to date with other tabs and other programs, until it is left.
 * @param {import("./chat.js").Chat} chat
 */
export function keepUp(chat) {
  let state = "";
  let isLooking = false;
  let wantsLook = false;
  const look = async () => {
    // Its own reply ends with another event.
    if (chat.running || !chat.session || chat.history.later) return;
    wantsLook = isLooking;
    if (isLooking) return;
    isLooking = true;
    try {
      const session = await call("GET", chat.sessionPath, undefined, { signal: chat.signal, asks: false });
      const now = `${session.status} ${session.updatedAt}`;
      if (now !== state && !chat.running) {
        state = now;
        chat.entitle(session);
        if (session.status !== "running") await chat.showHistory();
        else await chat.history.refresh().then(() => chat.follow(() => {}));
      }
    } catch {
      // The next event, or the next look, leads here again.
    }
    isLooking = false;
    if (wantsLook) await look();
  };
  happenings(({ type, id, deleted }) => {
    if (type === "resync" || (type === "session" && id === chat.session?.id && !deleted)) look();
  }, chat.signal);
}

/**
 * Escape stops the reply, or leaves the search; an arrow up in the empty box edits the last question.
 * @param {import("./chat.js").Chat} chat
 */
export function keys(chat) {
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    const target = /** @type {HTMLInputElement} */ (event.target);
    if (event.defaultPrevented || event.isComposing || document.querySelector(OPEN)) return;
    if (event.key === "Escape" && !(target.type === "search" && target.value))
      chat.running ? chat.stop() : chat.hits?.close();
    if (event.key !== "ArrowUp" || !chat.box.element.contains(target) || chat.box.text() || chat.running) return;
    if (target.tagName !== "TEXTAREA") return;
    const edits = chat.view.messages.querySelectorAll(".mine .edit:not([hidden])");
    if (edits.length === 0) return;
    event.preventDefault();
    /** @type {HTMLElement} */ (edits[edits.length - 1]).click();
  };
  document.addEventListener("keydown", press, { signal: chat.signal });
}
