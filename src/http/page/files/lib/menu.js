// @ts-check

// A button that opens a short list of actions beside it.
//
// Rule: the browser closes it, on Escape and on a click elsewhere, and gives the focus back: it is a popover.

import { el, newId } from "./dom.js";

/** How far the list keeps from its button and from the edge of the window. */
const GAP_PX = 8;

/**
 * The button and its list, which `items` (buttons) are put into. To choose one closes the list.
 * @param {string} label
 * @param {Child} items
 */
export function menu(label, items) {
  const id = newId();
  const list = el("div.menu", { id, popover: "auto", role: "group", "aria-label": label }, items);
  const opener = el("button.icon", { type: "button", popovertarget: id, "aria-label": label, title: label }, "⋯");
  list.addEventListener("beforetoggle", (event) => {
    opener.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState !== "open") return;
    const { right, bottom } = opener.getBoundingClientRect();
    const top = bottom + GAP_PX / 2;
    list.style.top = `${top}px`;
    list.style.maxHeight = `${innerHeight - top - GAP_PX}px`;
    list.style.right = `${Math.max(GAP_PX, innerWidth - right)}px`;
  });
  list.addEventListener("toggle", (event) => {
    if (event.newState === "open") list.querySelector("button")?.focus();
  });
  // Before the action, which may open a dialog: the focus is to come back to the button.
  list.addEventListener("click", () => list.hidePopover(), true);
  opener.setAttribute("aria-expanded", "false");
  return [opener, list];
}
