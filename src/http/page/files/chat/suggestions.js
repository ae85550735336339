// @ts-check

// What an empty chat shows: a few questions to begin with.

import { el, h } from "../lib/dom.js";
import { nothing } from "../lib/states.js";

export const SUGGESTIONS = [
  "Summarise the periodic table in 3 sentences.",
  "Think: is 221 prime?",
  "What time is it?",
  "Show me Markdown",
];

/** @param {(text: string) => unknown} ask */
export function suggestions(ask) {
  /** @param {string} text */
  const suggestion = (text) => el("button", { type: "button", onclick: () => ask(text) }, text);
  return nothing(
    "What would you like to ask?",
    "The reply is streamed and stored by the same API that your programs use.",
    h("div.suggestions", SUGGESTIONS.map(suggestion)),
  );
}
