// @ts-check

// Growing text for a screen reader: whole sentences, at a pace that can be listened to.

import { el } from "../lib/dom.js";

/** How long to wait between two announcements. */
const PAUSE_MS = 3_000;
/** Longest announcement; more would not be listened to. */
const CHARS_MAX = 600;

/** A region to put on the page; `grow(text)` takes the whole text so far, `end(word)` says how it ended. */
export function announcer() {
  const element = el("div.away", { role: "status" });
  let said = 0;
  let text = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @param {string} words */
  const say = (words) => words.trim() && (element.textContent = words.trim().slice(0, CHARS_MAX));
  const sentences = () => {
    timer = undefined;
    const fresh = text.slice(said);
    const end = Math.max(fresh.lastIndexOf(". "), fresh.lastIndexOf("? "), fresh.lastIndexOf("\n"));
    if (end < 0) return;
    said += end + 1;
    say(fresh.slice(0, end + 1));
  };
  return {
    element,
    begin() {
      said = 0;
      text = "";
      say("The reply has started.");
    },
    /** @param {string} whole */
    grow(whole) {
      text = whole;
      timer ??= setTimeout(sentences, PAUSE_MS);
    },
    /** @param {string} word */
    end(word) {
      clearTimeout(timer);
      timer = undefined;
      say(`${text.slice(said)} ${word}`);
    },
  };
}
