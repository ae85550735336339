// @ts-check

// What a search found in a session: marked where it stands, one after the other.
//
// Rule: nothing of a message is changed for it; the marks are ranges that the browser paints.

import { el, fill, h } from "../lib/dom.js";

/** Most marks in a page; past them only the message is shown. */
const MARKS_MAX = 2_000;

/**
 * The bar that leads through the hits of `words`, first to that in the message `at`.
 * @param {import("./chat.js").Chat} chat
 * @param {{ at: string, words: string }} hit
 */
export function hits(chat, { at, words }) {
  const { messages } = chat.view;
  const said = el("span.quiet", { role: "status" });
  /** @type {Range | undefined} */
  let here;
  const pattern = patternOf(words);

  /** All that match, in the order of the page: a message may have been painted anew. */
  const found = () => {
    /** @type {Range[]} */
    const ranges = [];
    for (const parts of messages.querySelectorAll(".parts")) {
      const texts = document.createTreeWalker(parts, NodeFilter.SHOW_TEXT);
      while (texts.nextNode() && ranges.length < MARKS_MAX) {
        const text = /** @type {Text} */ (texts.currentNode);
        for (const { index, 0: match } of text.data.matchAll(pattern)) {
          const range = new Range();
          range.setStart(text, index);
          range.setEnd(text, index + match.length);
          ranges.push(range);
        }
      }
    }
    return ranges;
  };
  /**
   * @param {Range[]} ranges
   * @param {Range | Element} target
   */
  const show = (ranges, target) => {
    here = target instanceof Range ? target : undefined;
    const node = /** @type {Element | null} */ (here ? here.startContainer.parentElement : target);
    for (let fold = node?.closest("details"); fold; fold = fold.parentElement?.closest("details")) fold.open = true;
    const { top, height } = target.getBoundingClientRect();
    messages.scrollTop += top + height / 2 - messages.getBoundingClientRect().top - messages.clientHeight / 2;
    paint("hit", ranges);
    paint("here", here ? [here] : []);
    const more = chat.history.cursor || chat.history.later ? "+" : "";
    fill(said, here && `${ranges.indexOf(here) + 1} of ${ranges.length}${more}`);
  };
  /** @param {-1 | 1} step */
  const go = async (step) => {
    for (;;) {
      const ranges = found();
      const place = here && ranges.findIndex((range) => isSame(range, /** @type {Range} */ (here)));
      const next = place === undefined ? ranges[0] : ranges[place + step];
      if (next) return show(ranges, next);
      // Where no page is left, the last one stays.
      if (!(await (step < 0 ? chat.history.earlier() : chat.history.more()))) return undefined;
    }
  };
  /**
   * @param {string} text
   * @param {string} label
   * @param {() => unknown} onclick
   */
  const button = (text, label, onclick) =>
    el("button.icon", { type: "button", "aria-label": label, title: label, onclick }, text);
  const close = () => {
    paint("hit", []);
    paint("here", []);
    element.remove();
    messages.focus();
    history.replaceState(null, "", `#${chat.sessionPath.slice(1)}`);
  };
  const element = el(
    "div.hits",
    { role: "group", "aria-label": "Search hits" },
    h("span.grow", h("strong", words), " ", said),
    button("↑", "Previous hit", () => go(-1)),
    button("↓", "Next hit", () => go(1)),
    button("✕", "Close the search", close),
  );
  chat.signal.addEventListener("abort", () => ["hit", "here"].forEach((name) => paint(name, [])));
  return {
    element,
    close,
    /** To the hit that was asked for. */
    begin() {
      const message = messages.querySelector(`[data-id="${CSS.escape(at)}"]`);
      if (!message) return chat.view.toEnd();
      const ranges = found();
      show(ranges, ranges.find((range) => message.contains(range.startContainer)) ?? message);
      message.classList.add("found");
      return undefined;
    },
  };
}

/**
 * Finds the words of a search in a text; without a word, nothing.
 * @param {string} words
 */
export function patternOf(words) {
  const terms = words.split(/[\s"]+/).filter(Boolean);
  return new RegExp(terms.map(escaped).join("|") || "(?!)", "gi");
}

/** @param {string} text */
const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

/**
 * @param {Range} a
 * @param {Range} b
 */
const isSame = (a, b) => a.startContainer === b.startContainer && a.startOffset === b.startOffset;

/**
 * @param {string} name
 * @param {Range[]} ranges
 */
function paint(name, ranges) {
  if (typeof Highlight === "undefined") return;
  if (ranges.length > 0) CSS.highlights.set(name, new Highlight(...ranges));
  else CSS.highlights.delete(name);
}
