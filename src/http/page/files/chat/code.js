// @ts-check

// A block of code: its language, its colours, and a button that copies it.

import { copyButton, el, h } from "../lib/dom.js";
import { pieces } from "./colour.js";

/** What shows more of the code that grows in an element. @type {WeakMap<Element, (text: string) => void>} */
const growing = new WeakMap();

/**
 * A block of code.
 * @param {string} text
 * @param {string} [language]
 */
export function code(text, language) {
  const label = (language ?? "").split(/\s/)[0];
  const content = h("code");
  /** @type {import("./colour.js").Piece[]} */
  let shown = [];
  /** @param {string} now */
  const show = (now) => {
    text = now;
    const all = pieces(text, label);
    let same = 0;
    while (same < shown.length && shown[same][0] === all[same]?.[0] && shown[same][1] === all[same][1]) same++;
    while (content.childNodes.length > same) content.lastChild?.remove();
    content.append(...all.slice(same).map(([kind, piece]) => (kind ? h(`span.${kind}`, piece) : piece)));
    shown = all;
  };
  show(text);
  const figure = h(
    "figure.code",
    h(
      "figcaption",
      h("span", label || "text"),
      copyButton(() => text),
    ),
    el("pre", { tabindex: "0", role: "region", "aria-label": label ? `Code, ${label}` : "Code" }, content),
  );
  growing.set(figure, show);
  return figure;
}

/**
 * Shows more text in a block that was made here; whether it was.
 * @param {Element | undefined} figure
 * @param {string} text
 */
export function grow(figure, text) {
  const show = figure && growing.get(figure);
  show?.(text);
  return show !== undefined;
}
