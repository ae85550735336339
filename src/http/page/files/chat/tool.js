// @ts-check

// A call of a tool in a message: what it was given, what came of it, and while it waits the card that asks.

import { fill, h } from "../lib/dom.js";
import { code } from "./code.js";

/** Longest piece of a tool's JSON that is shown. */
const JSON_CHARS_MAX = 50_000;

/** @type {Record<string, string>} */
const STATES = {
  "input-streaming": "calling…",
  "input-available": "running…",
  "approval-requested": "waits for an answer",
  "approval-responded": "answered",
  "output-available": "done",
  "output-error": "failed",
  "output-denied": "denied",
};

/**
 * The view of such a part of a message; `answers` knows the card of one that waits, and why one was denied.
 * @param {ShownMessage} message
 * @param {Answers} [answers]
 */
export function toolView(message, answers) {
  const title = h("summary");
  const content = h("div");
  const details = h("details.aside", title, content);
  const element = h("div.tool", details);
  return {
    element,
    /** @param {any} part */
    update(part) {
      fill(title, "Tool ", h("code", nameOf(part)), ` · ${stateOf(part, message)}`);
      fill(content, contentOf(part, answers?.reasonOf(part)));
      const shown = (part.state === "approval-requested" && answers?.cardOf(part)) || details;
      if (shown.parentElement !== element) fill(element, shown);
    },
  };
}

/** @param {any} part */
export const nameOf = (part) => part.toolName ?? part.type.slice("tool-".length);

/**
 * @param {any} part
 * @param {ShownMessage} message
 */
function stateOf({ state }, { status, state: progress }) {
  // A reply that is whole has run its own tools: this one is the client's.
  const isWhole = status === "complete" || progress === "complete";
  return state === "input-available" && isWhole ? "for the program that asked" : (STATES[state] ?? state);
}

/**
 * @param {any} part
 * @param {string} [reason]
 */
function contentOf({ input, rawInput, output, errorText, approval }, reason) {
  const sections = [
    ["Arguments", input ?? rawInput],
    ["Reason", approval?.reason ?? reason],
    ["Result", output],
    ["Error", errorText],
  ];
  return sections
    .filter(([, value]) => value !== undefined)
    .map(([title, value]) => [h("h4", title), code(json(value), "json")]);
}

/** @param {unknown} value */
export function json(value) {
  const text = typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "");
  return text.length > JSON_CHARS_MAX ? `${text.slice(0, JSON_CHARS_MAX)}…` : text;
}
