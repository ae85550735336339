// @ts-check

// Formulas in LaTeX as MathML. What makes it is fetched when there is a first one; until then, and where it cannot be
// read, the source stands there.

import { el, h } from "../lib/dom.js";

const MAKER = "./temml/temml.js";
/** Longer formulas stay source. */
const CHARS_MAX = 2_000;
/** How many are kept made, for text that is shown anew while it grows. */
const KEPT_MAX = 300;

/** @type {any} */
let temml;
/** @type {Promise<void> | undefined} */
let fetching;
/** @type {Map<string, Element | null>} */
const kept = new Map();

/** What begins a formula, to its end. Of a sum of money it is not one: `$5 and $10`. */
const FORMULA =
  /^(?:\$\$([^]+?)\$\$|\\\[([^]+?)\\\]|\\\(([^]+?)\\\)|\$(?![\s$])((?:[^$`\\\n]|\\[^])*?[^\s\\$`]|[^\s\\$`])\$(?![\d$]))/;

/** @param {string} src */
function tokenOf(src) {
  const found = FORMULA.exec(src.slice(0, CHARS_MAX));
  if (!found || /\n\s*\n/.test(found[0])) return undefined;
  const [raw, dollars, brackets, parens, inline] = found;
  const text = dollars ?? brackets ?? parens ?? inline;
  return { raw, text: text.trim(), isBlock: parens === undefined && inline === undefined };
}

/** What Markdown is told of formulas, before it takes their signs for its own. */
export const extensions = [
  {
    name: "formula",
    level: /** @type {const} */ ("inline"),
    /** @param {string} src */
    start: (src) => /\$|\\[[(]/.exec(src)?.index,
    /** @param {string} src */
    tokenizer: (src) => typed("formula", tokenOf(src)),
  },
  {
    name: "formulas",
    level: /** @type {const} */ ("block"),
    /** @param {string} src */
    start: (src) => /\n(?:\$\$|\\\[)/.exec(src)?.index,
    /** @param {string} src */
    tokenizer: (src) => {
      const token = /^(?:\$\$|\\\[)/.test(src) ? tokenOf(src) : undefined;
      const rest = token && /^[ \t]*(?:\n|$)/.exec(src.slice(token.raw.length));
      return rest ? typed("formulas", { ...token, raw: token.raw + rest[0] }) : undefined;
    },
  },
];

/**
 * @param {string} type
 * @param {any} token
 */
const typed = (type, token) => token && { type, ...token };

/**
 * A formula.
 * @param {{ raw: string, text: string, isBlock: boolean }} token
 */
export function formula({ raw, text, isBlock }) {
  const element = isBlock ? el("span.formula.block", { tabindex: "0" }, raw.trim()) : h("span.formula", raw);
  if (temml) show(element, text, isBlock);
  else {
    fetching ??= import(MAKER).then((module) => void (temml = module.default));
    fetching.then(
      () => show(element, text, isBlock),
      () => (fetching = undefined),
    );
  }
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 * @param {boolean} isBlock
 */
function show(element, text, isBlock) {
  const key = `${isBlock}${text}`;
  if (!kept.has(key)) {
    if (kept.size >= KEPT_MAX) kept.clear();
    kept.set(key, made(text, isBlock));
  }
  const node = kept.get(key);
  if (node) element.replaceChildren(node.cloneNode(true));
}

/**
 * @param {string} text
 * @param {boolean} isBlock
 * @returns {Element | null}
 */
function made(text, isBlock) {
  const into = h("span");
  try {
    temml.render(text, into, { displayMode: isBlock, throwOnError: true, maxSize: [20, 20], maxExpand: 200 });
    return into.firstElementChild;
  } catch {
    return null;
  }
}
