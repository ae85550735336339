// @ts-check

// What a section looks like before, without, and instead of what it shows.

import { el, h } from "./dom.js";

/** Grey lines where something will be. */
export const loading = (lines = 3) =>
  el(
    "div.loading",
    { role: "status" },
    h("span.away", "Loading…"),
    Array.from({ length: lines }, () => el("div.line", { "aria-hidden": "true" })),
  );

/**
 * Nothing there yet, and what to do about it.
 * @param {string} title
 * @param {string} text
 * @param {...Child} actions
 */
export const nothing = (title, text, ...actions) => h("div.nothing", h("h2", title), h("p", text), actions);

/**
 * It could not be had: why, and another try.
 * @param {any} error
 * @param {() => unknown} again
 */
export const failure = (error, again) =>
  el(
    "div.nothing.failed",
    { role: "alert" },
    h("h2", "This could not be loaded"),
    h("p", error.message),
    error.requestId && h("p.quiet", "Request ID: ", h("code", error.requestId)),
    el("button", { type: "button", onclick: () => again() }, "Try again"),
  );

/**
 * A table that scrolls sideways where it has to; `amounts` are columns of numbers, after the others.
 * @param {string} label
 * @param {"table" | `table.${string}`} name
 * @param {Child[]} columns
 * @param {Child[]} amounts
 * @param {Child} body
 */
export const table = (label, name, columns, amounts, body) =>
  el(
    "div.scrolls",
    { tabindex: "0", role: "region", "aria-label": label },
    h(
      name,
      h(
        "thead",
        h(
          "tr",
          columns.map((column) => el("th", { scope: "col" }, column)),
          amounts.map((column) => el("th.amount", { scope: "col" }, column)),
        ),
      ),
      body,
    ),
  );
