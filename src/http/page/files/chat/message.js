// @ts-check

// A message on the page: each of its parts with a view that keeps up while the part grows.

import { el, fill, h } from "../lib/dom.js";
import { footOf } from "./foot.js";
import { code, link, showMarkdown } from "./markdown.js";

/** Longest piece of a tool's JSON that is shown. */
const JSON_CHARS_MAX = 50_000;

/**
 * The element of a message, and `update(message, who)`, which shows what has come since.
 * @param {ShownMessage} message
 * @param {string} who
 */
export function messageView(message, who) {
  const body = h("div.parts");
  const sources = el("ul.sources", { "aria-label": "Sources", hidden: true });
  const foot = h("p.foot");
  const name = h("h3.who", who);
  const element = h("article.message", name, body, sources, foot);
  element.classList.add(message.role === "user" ? "mine" : "theirs");
  /** @type {any[]} */
  let views = [];
  /**
   * @param {ShownMessage} message
   * @param {string} [who]
   */
  const update = (message, who) => {
    if (who) name.textContent = who;
    element.dataset.id = message.id ?? "";
    const shown = message.parts.filter((part) => kindOf(part));
    views = shown.map((part, at) => {
      const kind = kindOf(part);
      const known = views[at]?.kind === kind ? views[at] : undefined;
      const view = known ?? { kind, ...kinds[kind](message) };
      if (!known) body.insertBefore(view.element, views[at]?.element ?? null);
      if (!known && views[at]) views[at].element.remove();
      view.update(part);
      return view;
    });
    showSources(sources, message.parts);
    fill(foot, footOf(message));
  };
  update(message);
  return { element, update };
}

/** @param {any} part */
function kindOf({ type }) {
  if (type === "text" || type === "reasoning" || type === "file") return type;
  if (type.startsWith("tool-") || type === "dynamic-tool") return "tool";
  return type.startsWith("data-") ? "data" : undefined;
}

/** @type {Record<string, (message: ShownMessage) => { element: HTMLElement, update: (part: any) => unknown }>} */
const kinds = {
  text: (message) => {
    const element = h(message.role === "user" ? "div.plain" : "div.prose");
    /** @param {any} part */
    const asIs = (part) => element.textContent !== part.text && (element.textContent = part.text);
    return { element, update: message.role === "user" ? asIs : (part) => showMarkdown(element, part.text) };
  },
  reasoning: () => {
    const title = h("span");
    const text = h("div.prose");
    /** @param {any} part */
    const update = (part) => {
      title.textContent = part.state === "streaming" ? "Thinking…" : "Thought";
      showMarkdown(text, part.text);
    };
    return { element: h("details.aside", h("summary", title), text), update };
  },
  tool: () => {
    const title = h("summary");
    const content = h("div");
    return {
      element: h("details.aside", title, content),
      update: (part) => {
        fill(title, "Tool ", h("code", part.toolName ?? part.type.slice("tool-".length)), ` · ${toolState(part)}`);
        fill(content, toolContent(part));
      },
    };
  },
  file: () => {
    const element = h("div.file");
    return { element, update: (part) => element.childNodes.length === 0 && fill(element, file(part)) };
  },
  data: () => {
    const element = h("details.aside");
    return {
      element,
      update: (part) => fill(element, h("summary", `Data: ${part.type.slice(5)}`), code(json(part.data), "json")),
    };
  },
};

/** @type {Record<string, string>} */
const TOOL_STATES = {
  "input-streaming": "calling…",
  "input-available": "running…",
  "approval-requested": "waiting for approval",
  "approval-responded": "answered",
  "output-available": "done",
  "output-error": "failed",
  "output-denied": "denied",
};

/** @param {any} part */
const toolState = (part) => TOOL_STATES[part.state] ?? part.state;

/** @param {any} part */
function toolContent(part) {
  const sections = [
    ["Arguments", part.input ?? part.rawInput],
    ["Result", part.output],
    ["Error", part.errorText],
  ];
  return sections
    .filter(([, value]) => value !== undefined)
    .map(([title, value]) => [h("h4", title), code(json(value), "json")]);
}

/** @param {unknown} value */
function json(value) {
  const text = typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "");
  return text.length > JSON_CHARS_MAX ? `${text.slice(0, JSON_CHARS_MAX)}…` : text;
}

// Only what the message itself carries is shown; an address elsewhere is a link, which the reader may follow.
/** @param {any} part */
function file({ url, mediaType, filename }) {
  const name = filename ?? mediaType;
  if (/^data:image\/(png|jpeg|gif|webp);base64,/.test(url)) return el("img", { src: url, alt: name });
  return link(url, [`File: ${name}`]);
}

/**
 * @param {HTMLElement} list
 * @param {any[]} parts
 */
function showSources(list, parts) {
  const sources = parts.filter(({ type }) => type.startsWith("source-"));
  if (list.childElementCount === sources.length) return;
  list.hidden = sources.length === 0;
  fill(
    list,
    sources.map((part) => h("li", link(part.url, part.title ?? part.url ?? part.filename))),
  );
}
