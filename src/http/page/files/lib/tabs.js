// @ts-check

// Tabs: one of several texts at a time, by pointer and by the arrow keys.

import { el, fill, h, newId } from "./dom.js";

/**
 * @param {string} label
 * @param {Record<string, () => Child>} tabs by name: what each shows
 */
export function tabs(label, tabs) {
  const names = Object.keys(tabs);
  const panel = el("div.panel", { id: newId(), role: "tabpanel" });
  /** @type {HTMLElement[]} */
  const buttons = names.map((name, at) =>
    el(
      "button.small",
      {
        type: "button",
        role: "tab",
        id: newId(),
        "aria-controls": panel.id,
        onclick: () => choose(at),
        onkeydown: (/** @type {KeyboardEvent} */ event) => {
          const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (!step) return;
          event.preventDefault();
          choose((at + step + names.length) % names.length).focus();
        },
      },
      name,
    ),
  );
  /**
   * @param {number} at
   * @returns {HTMLElement}
   */
  function choose(at) {
    buttons.forEach((button, other) => {
      button.setAttribute("aria-selected", String(other === at));
      button.tabIndex = other === at ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", buttons[at].id);
    fill(panel, tabs[names[at]]());
    return buttons[at];
  }
  choose(0);
  return h("div.tabs", el("div.choice", { role: "tablist", "aria-label": label }, buttons), panel);
}
