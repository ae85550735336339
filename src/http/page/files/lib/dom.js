// @ts-check

// Elements, made without HTML: what a server, a person or a model said can only ever become text.
//
// Rule: a child is never an attribute, whatever it is. Attributes are what the page's own source writes as such.
// Rule: nothing in this folder sets innerHTML or its kin; the content security policy (Trusted Types) holds it to that.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element: `h("p.quiet", "text", node)`. Classes follow the name after dots; what is null or false is left out.
 * @template {string} Name
 * @param {Name} name
 * @param {...Child} children
 * @returns {ElementOf<Name>}
 */
export function h(name, ...children) {
  return el(name, {}, ...children);
}

/**
 * An element with attributes: `el("p.quiet", { hidden: true }, "text", node)`. `on…` are listeners.
 * @template {string} Name
 * @param {Name} name
 * @param {Attributes} attributes
 * @param {...Child} children
 * @returns {ElementOf<Name>}
 */
export function el(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  return /** @type {any} */ (filled(document.createElement(tag), classes, attributes, children));
}

/**
 * The same for SVG.
 * @param {string} name
 * @param {Attributes} attributes
 * @param {...Child} children
 */
export function svg(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  return filled(document.createElementNS(SVG, tag), classes, attributes, children);
}

/**
 * @template {HTMLElement | SVGElement} T
 * @param {T} element
 * @param {string[]} classes
 * @param {Attributes} attributes
 * @param {Child[]} children
 */
function filled(element, classes, attributes, children) {
  if (classes.length > 0) element.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) set(element, key, value);
  append(element, children);
  return element;
}

/**
 * @param {any} element
 * @param {string} key
 * @param {any} value
 */
function set(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "value") element.value = value;
  else if (key === "class") element.classList.add(...value.split(" "));
  else element.setAttribute(key, value === true ? "" : value);
}

/**
 * @param {Element} element
 * @param {Child[]} children
 */
function append(element, children) {
  for (const child of /** @type {any[]} */ (children).flat(Infinity)) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(textOf(child));
  }
}

/**
 * What is no text after all, where a server or a person could say what they like.
 * @param {unknown} child
 */
const textOf = (child) => (typeof child === "object" ? JSON.stringify(child) : String(child));

/**
 * Puts these in the place of all that is in `element`. The focus is not lost with what had it.
 * @param {HTMLElement} element
 * @param {...Child} children
 */
export function fill(element, ...children) {
  const focused =
    element.contains(document.activeElement) && element !== document.activeElement ? document.activeElement : null;
  element.replaceChildren();
  append(element, children);
  if (focused) focusLike(focused, element);
  return element;
}

/**
 * Makes these the children of `parent`, in this order. Only what is not in its place is moved, and the focus stays where it is.
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

/**
 * @param {Element} gone
 * @param {Element} element
 */
function focusLike(gone, element) {
  const label = gone.getAttribute("aria-label");
  const same = label && element.querySelector(`[aria-label="${CSS.escape(label)}"]`);
  const next = /** @type {HTMLElement | null} */ (same || element.closest("main, dialog"));
  next?.focus({ preventScroll: true });
}

/**
 * The element of this id, which the page's HTML has.
 * @param {string} id
 */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

let ids = 0;

/** An id that no other element has. */
export const newId = () => `e${++ids}`;

/**
 * Shows that `button` works until `work` has ended; a second press meanwhile does nothing.
 * @template T
 * @param {HTMLElement} button
 * @param {string} label
 * @param {() => Promise<T>} work
 */
export async function busy(button, label, work) {
  if (button.getAttribute("aria-busy") === "true") return undefined;
  const before = button.textContent;
  button.style.minWidth = `${button.offsetWidth}px`;
  button.setAttribute("aria-busy", "true");
  button.textContent = label;
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-busy");
    button.textContent = before;
    button.style.minWidth = "";
  }
}

/**
 * Says a short thing at the edge of the page, and to screen readers.
 * @param {string} text
 */
export function notify(text) {
  const note = h("p", text);
  byId("notes").append(note);
  setTimeout(() => note.remove(), NOTE_MS);
}

/** How long a note stays. */
const NOTE_MS = 5_000;

/**
 * A button that copies what `text()` returns.
 * @param {() => string} text
 * @param {string} [label]
 * @param {string} [name] what it is called where several stand
 */
export function copyButton(text, label = "Copy", name) {
  const button = el("button.small", { type: "button", "aria-label": name }, label);
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.textContent = done ? "Copied" : "Select and copy";
    notify(
      done ? "Copied to the clipboard." : "This browser does not allow copying here. Select the text and copy it.",
    );
    setTimeout(() => (button.textContent = label), NOTE_MS / 2);
  });
  return button;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// Over plain HTTP from another machine there is no clipboard, only this.
/** @param {string} text */
function copyBySelection(text) {
  const area = el("textarea.away", { value: text, readonly: true, "aria-hidden": "true" });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
