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
