// @ts-check

// Markdown as elements. `marked` finds the structure; what is made of it is decided here, token by token.
//
// Rule: HTML in the text stays text, a link goes to the web or to mail or nowhere, and nothing is fetched: a picture
// becomes a link to it.

import { el, h } from "../lib/dom.js";
import { code, grow } from "./code.js";
import { Marked } from "./marked/marked.esm.js";
import { extensions, formula } from "./maths.js";

const marked = new Marked({ extensions });

/** Longer text is shown as it is. */
const CHARS_MAX = 200_000;
/** Deeper nesting is shown as it is. */
const DEPTH_MAX = 24;

/** @type {WeakMap<Element, { raw: string, lang?: string, node: any }[]>} */
const rendered = new WeakMap();

/**
 * Makes `element` show `text`; blocks at the beginning that have not changed stay as they are, selection and all.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showMarkdown(element, text) {
  const before = rendered.get(element) ?? [];
  const tokens = blocksOf(text);
  let same = 0;
  while (same < before.length && same < tokens.length && before[same].raw === tokens[same].raw) same++;
  // A block of code that grows keeps what of it is right.
  const growing = before[same]?.node;
  if (tokens[same]?.type === "code" && before[same]?.lang === tokens[same].lang && grow(growing, tokens[same].text))
    before[same++].raw = tokens[same - 1].raw;
  for (const { node } of before.slice(same)) node?.remove();
  const added = tokens.slice(same).map((token) => ({ raw: token.raw, lang: token.lang, node: block(token, 0) }));
  element.append(...added.map(({ node }) => node).filter(Boolean));
  rendered.set(element, [...before.slice(0, same), ...added]);
}

/**
 * @param {string} text
 * @returns {any[]}
 */
function blocksOf(text) {
  const plain = [{ type: "plain", raw: text }];
  if (text.length > CHARS_MAX) return plain;
  try {
    return marked.lexer(text);
  } catch {
    return plain; // nested too deep for it
  }
}

/** @type {Record<string, (token: any, depth: number) => Child>} */
const blocks = {
  space: () => null,
  def: () => null,
  plain: (t) => h("p.plain", t.raw),
  hr: () => h("hr"),
  // Below the page's own headings.
  heading: (t, depth) => h(`h${Math.min(t.depth + 3, 6)}`, inlines(t.tokens, depth)),
  paragraph: (t, depth) => h("p", inlines(t.tokens, depth)),
  text: (t, depth) => (t.tokens ? inlines(t.tokens, depth) : decoded(t.text)),
  html: (t) => h("p.plain", t.raw),
  blockquote: (t, depth) => h("blockquote", children(t.tokens, depth)),
  list: (t, depth) =>
    el(t.ordered ? "ol" : "ul", { start: t.ordered && t.start !== 1 ? t.start : null }, items(t, depth)),
  code: (t) => code(t.text, t.lang),
  formulas: (t) => h("p", formula(t)),
  table: (t, depth) => table(t, depth),
};

/** @type {Record<string, (token: any, depth: number) => Child>} */
const spans = {
  text: (t, depth) => (t.tokens ? inlines(t.tokens, depth) : decoded(t.text)),
  escape: (t) => t.text,
  html: (t) => t.raw,
  br: () => h("br"),
  formula: (t) => formula(t),
  codespan: (t) => h("code", t.text),
  strong: (t, depth) => h("strong", inlines(t.tokens, depth)),
  em: (t, depth) => h("em", inlines(t.tokens, depth)),
  del: (t, depth) => h("del", inlines(t.tokens, depth)),
  checkbox: (t) => (t.checked ? "☑ " : "☐ "),
  link: (t, depth) => link(t.href, inlines(t.tokens, depth)),
  image: (t) => link(t.href, [`Image: ${t.text || t.href}`]),
};

/**
 * @param {any} token
 * @param {number} depth
 */
const block = (token, depth) => made(blocks, token, depth);
/**
 * @param {any} token
 * @param {number} depth
 */
const inline = (token, depth) => made(spans, token, depth);
/**
 * @param {any[] | undefined} tokens
 * @param {number} depth
 * @returns {Child[]}
 */
const children = (tokens, depth) =>
  (tokens ?? []).map((token) => (blocks[token.type] ? block(token, depth) : inline(token, depth)));
/**
 * @param {any[] | undefined} tokens
 * @param {number} depth
 * @returns {Child[]}
 */
const inlines = (tokens, depth) => (tokens ?? []).map((token) => inline(token, depth));
/**
 * @param {any} list
 * @param {number} depth
 */
const items = (list, depth) => list.items.map((/** @type {any} */ item) => h("li", children(item.tokens, depth)));

/**
 * @param {Record<string, (token: any, depth: number) => Child>} kinds
 * @param {any} token
 * @param {number} depth
 */
function made(kinds, token, depth) {
  const make = Object.hasOwn(kinds, token.type) && depth < DEPTH_MAX ? kinds[token.type] : () => token.raw;
  const node = make(token, depth + 1);
  return Array.isArray(node) ? h("span", node) : node;
}

/**
 * @param {any} token
 * @param {number} depth
 */
function table({ header, rows, align }, depth) {
  /**
   * @param {string} tag
   * @returns {(cell: any, at: number) => HTMLElement}
   */
  const cell = (tag) => (cell, at) =>
    el(tag, { class: align[at] && `align-${align[at]}` }, inlines(cell.tokens, depth));
  return el(
    "div.scrolls",
    { tabindex: "0", role: "region", "aria-label": "Table" },
    h(
      "table",
      h("thead", h("tr", header.map(cell("th")))),
      h(
        "tbody",
        rows.map((/** @type {any[]} */ row) => h("tr", row.map(cell("td")))),
      ),
    ),
  );
}

/**
 * A link to somewhere else, or only its text where it would not go to the web or to mail.
 * @param {string} address
 * @param {Child} content
 */
export function link(address, content) {
  if (!/^(https?:\/\/|mailto:)/i.test(address ?? "") || !URL.canParse(address)) return h("span", content);
  return el("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, content);
}

/** @type {Record<string, string>} */
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", mdash: "—", ndash: "–" };

/** @param {string} text */
function decoded(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/gi, (whole, decimal, hex, name) => {
    if (name) return NAMED[name.toLowerCase()] ?? whole;
    const point = decimal ? Number(decimal) : parseInt(hex, 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
