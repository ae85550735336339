// @ts-check

// Ctrl K: one box for sections, agents, sessions and actions. And the keys that there are, by `?`.

import { call } from "./api.js";
import { dialog } from "./dialog.js";
import { el, fill, h, newId } from "./dom.js";

/** How long to wait for the next letter, and how many sessions are shown. */
const TYPING_MS = 150;
const SESSIONS_MAX = 8;

/** What each key does, where. */
const KEYS = [
  ["Ctrl K", "Find a section, an agent, a session or an action"],
  ["?", "Show these keys"],
  ["/", "Search the sessions"],
  ["Enter", "Send the message; Shift Enter begins a new line"],
  ["Esc", "Stop the reply"],
  ["↑", "In an empty box: edit your last message"],
];

/** @typedef {{ kind: string, text: string, run: () => unknown }} Way something that can be chosen */

/** Whether someone is writing there. @param {EventTarget | null} target */
const isField = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/**
 * Listens for the two keys. `ways` gives what is there at once.
 * @param {() => Way[]} ways
 */
export function listenForKeys(ways) {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      palette(ways());
    } else if (event.key === "?" && !isField(event.target) && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      showKeys();
    }
  });
}

/** Shows the keys. */
export const showKeys = () =>
  dialog("Keys", (close) => [
    h(
      "dl.facts.keys",
      KEYS.map(([key, text]) => h("div", h("dt", h("kbd", key)), h("dd", text))),
    ),
    h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "Close")),
  ]);

/**
 * Opens the box.
 * @param {Way[]} ways
 */
export async function palette(ways) {
  const asked = new AbortController();
  /** @type {Way | undefined} */
  const chosen = await dialog("Go to", (close) => box(ways, close, asked.signal), { high: true });
  asked.abort();
  chosen?.run();
}

/**
 * @param {Way[]} ways
 * @param {(way?: Way) => void} close
 * @param {AbortSignal} signal
 */
function box(ways, close, signal) {
  const id = newId();
  const list = el("ul.ways", { id, role: "listbox", "aria-label": "Results" });
  const said = el("p.away", { role: "status" });
  const input = el("input", {
    type: "text",
    role: "combobox",
    "aria-label": "Find",
    "aria-controls": id,
    "aria-expanded": "true",
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
    autofocus: true,
    placeholder: "Sections, agents, sessions, actions",
  });
  /** @type {Way[]} */
  let shown = [];
  /** @type {Way[]} */
  let agents = [];
  /** @type {Way[]} */
  let sessions = [];
  let at = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  const mark = () => {
    const options = /** @type {HTMLElement[]} */ ([...list.children]);
    options.forEach((option, n) => option.setAttribute("aria-selected", String(n === at)));
    options[at]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[at]?.id ?? "");
  };
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    /** @param {Way} way */
    const fits = ({ kind, text }) => words.every((word) => `${kind} ${text}`.toLowerCase().includes(word));
    shown = [...[...ways, ...agents].filter(fits), ...sessions];
    at = 0;
    fill(
      list,
      shown.map((way) =>
        el(
          "li",
          { id: newId(), role: "option", onclick: () => close(way) },
          h("span", way.text),
          h("span.quiet", way.kind),
        ),
      ),
    );
    fill(said, shown.length === 0 ? "Nothing found" : `${shown.length} found`);
    mark();
  };
  const look = async () => {
    const words = input.value.trim();
    const found = words ? `?q=${encodeURIComponent(words)}&limit=${SESSIONS_MAX}` : `?limit=${SESSIONS_MAX}`;
    const { items } = await call("GET", `/sessions${found}`, undefined, { signal });
    if (words !== input.value.trim()) return;
    sessions = items.map((/** @type {any} */ { id, label }) => ({
      kind: "Session",
      text: label,
      run: () => (location.hash = `#sessions/${id}`),
    }));
    show();
  };
  input.addEventListener("input", () => {
    sessions = [];
    show();
    clearTimeout(typing);
    typing = setTimeout(look, TYPING_MS);
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length > 0) {
      event.preventDefault();
      at = (at + step + shown.length) % shown.length;
      mark();
    } else if (event.key === "Enter" && !event.isComposing && shown[at]) {
      event.preventDefault();
      close(shown[at]);
    }
  });
  show();
  look();
  call("GET", "/agents", undefined, { signal }).then(({ items }) => {
    agents = items.map((/** @type {Api.Agent} */ { id, name }) => ({
      kind: "Chat with",
      text: name,
      run: () => (location.hash = `#sessions/new/${id}`),
    }));
    show();
  });
  return [input, said, list];
}
