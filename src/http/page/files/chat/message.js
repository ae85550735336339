// @ts-check

// A message on the page: each of its parts with a view that keeps up while the part grows.

import { el, fill, h } from "../lib/dom.js";
import { duration } from "../lib/format.js";
import { messageActions } from "./actions.js";
import { footOf } from "./foot.js";
import { code } from "./code.js";
import { link, showMarkdown } from "./markdown.js";
import { json, toolView } from "./tool.js";

/**
 * The element of a message in this chat, and `update(message, who)`, which shows what has come since.
 * @param {import("./chat.js").Chat} chat
 * @param {ShownMessage} message
 */
export function messageView(chat, message) {
  const parts = partsView(chat.waiting);
  const body = parts.element;
  const sources = el("ul.sources", { "aria-label": "Sources", hidden: true });
  const foot = h("p.foot");
  const name = h("h3.who", chat.who(message));
  const element = h("article.message", name, body, sources, foot);
  element.classList.add(message.role === "user" ? "mine" : "theirs");
  /**
   * @param {ShownMessage} message
   * @param {string} [who]
   */
  const update = (message, who) => {
    if (who) name.textContent = who;
    element.dataset.id = message.id ?? "";
    parts.update(message);
    showSources(sources, message.parts);
    fill(foot, footOf(message));
    actions.update(message);
  };
  const actions = messageActions(chat, { element, body, show: update });
  element.append(actions.element);
  update(message);
  return {
    element,
    /**
     * @param {ShownMessage} message
     * @param {string} [who]
     */
    update: (message, who) => actions.isLookingBack(message) || update(message, who),
  };
}

/**
 * What a message says, part by part; `answers` knows its calls that wait.
 * @param {Answers} [answers]
 */
export function partsView(answers) {
  const element = h("div.parts");
  /** @type {any[]} */
  let views = [];
  /** @param {ShownMessage} message */
  const update = (message) => {
    const shown = message.parts.filter((part) => kindOf(part));
    views = shown.map((part, at) => {
      const kind = kindOf(part);
      const known = views[at]?.kind === kind ? views[at] : undefined;
      const view = known ?? { kind, ...kinds[/** @type {string} */ (kind)](message, answers) };
      if (!known) element.insertBefore(view.element, views[at]?.element ?? null);
      if (!known && views[at]) views[at].element.remove();
      view.update(part);
      return view;
    });
  };
  return { element, update };
}

/** @param {any} part */
function kindOf({ type }) {
  if (type === "text" || type === "reasoning" || type === "file") return type;
  if (type.startsWith("tool-") || type === "dynamic-tool") return "tool";
  return type.startsWith("data-") ? "data" : undefined;
}

/** @type {Record<string, (message: ShownMessage, answers?: Answers) => { element: HTMLElement, update: (part: any) => unknown }>} */
const kinds = {
  text: (message) => {
    const element = h(message.role === "user" ? "div.plain" : "div.prose");
    /** @param {any} part */
    const asIs = (part) => element.textContent !== part.text && (element.textContent = part.text);
    return { element, update: message.role === "user" ? asIs : (part) => showMarkdown(element, part.text) };
  },
  reasoning: ({ isWatched }) => {
    const title = h("span");
    const text = h("div.prose");
    const began = performance.now();
    let lasted = "";
    /** @param {any} part */
    const update = (part) => {
      // Only whoever saw it begin knows how long it took.
      if (part.state === "streaming") lasted = isWatched ? ` for ${duration(performance.now() - began)}` : "";
      title.textContent = part.state === "streaming" ? "Thinking…" : `Thought${lasted}`;
      showMarkdown(text, part.text);
    };
    return { element: h("details.aside", h("summary", title), text), update };
  },
  tool: toolView,
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
