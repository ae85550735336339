// @ts-check

// Dialogs: a question, or a form, before everything else. The browser keeps the focus inside and gives it back.

import { el, fill, h, newId } from "./dom.js";

/**
 * Opens a dialog. `content(close)` gives what is in it; the promise has what `close` was called with, or undefined when it
 * was dismissed. With `mustAnswer` the Escape key does not dismiss it.
 * @template [T=any]
 * @param {string} title
 * @param {(close: (value?: T) => void) => Child} content
 * @param {{ mustAnswer?: boolean, wide?: boolean, high?: boolean }} [options]
 * @returns {Promise<T | undefined>}
 */
export function dialog(title, content, { mustAnswer = false, wide = false, high = false } = {}) {
  return new Promise((resolve) => {
    const id = newId();
    /** @type {T | undefined} */
    let answer;
    /** @param {T} [value] */
    const close = (value) => {
      answer = value;
      element.close();
    };
    const element = el("dialog", { class: wide ? "wide" : high ? "high" : null, "aria-labelledby": id });
    fill(element, el("h2", { id }, title), content(close));
    if (mustAnswer) {
      element.addEventListener("cancel", (event) => event.preventDefault());
      // A second Escape closes a dialog whatever `cancel` said.
      element.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
    }
    element.addEventListener("close", () => {
      element.remove();
      resolve(answer);
    });
    document.body.append(element);
    element.showModal();
  });
}

/**
 * A plain question; whether the answer was yes.
 * @param {string} title
 * @param {string} text
 * @param {string} verb
 * @param {{ danger?: boolean }} [options]
 */
export async function ask(title, text, verb, { danger = true } = {}) {
  const answer = await dialog(title, (close) => [
    h("p", text),
    h(
      "div.actions",
      el("button", { type: "button", onclick: () => close(false) }, "Cancel"),
      el(danger ? "button.danger" : "button.primary", { type: "button", onclick: () => close(true) }, verb),
    ),
  ]);
  return answer === true;
}
