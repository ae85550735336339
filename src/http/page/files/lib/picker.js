// @ts-check

// The choice of a model: a combobox that filters while one types, with the models in groups by their provider.
//
// Rule: the box shows what is chosen, or while the list is open what is looked for. Whoever leaves it chooses nothing.

import { call } from "./api.js";
import { el, h, newId } from "./dom.js";
import { count, priceOf, short } from "./format.js";

/** How many of the last used stand on top. */
const RECENT_MAX = 5;
/** How many sessions are looked through for them. */
const SESSIONS_MAX = 50;
/** How far a page key goes, in models. */
const PAGE_MODELS = 10;
/** The list's greatest height, its distance from the box, and from the window's edge. */
const HEIGHT_PX = 400;
const GAP_PX = 4;
const EDGE_PX = 8;

/** @type {Record<string, number>} where a key goes */
const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_MODELS, PageUp: -PAGE_MODELS };

/**
 * @typedef {{ none?: string, chosen?: string | null, changed?: (id: string) => unknown }} PickerChoice what an empty choice
 *   means, what is chosen, and what is called when a person chose another
 */

/**
 * The choice itself: `control` is the input, `value()` the model's id.
 * @param {string} name
 * @param {KnownModels} known
 * @param {PickerChoice} choice
 * @param {Attributes} [attributes]
 */
export const modelPicker = (name, known, choice, attributes = {}) => new Picker(name, known, choice, attributes);

/**
 * The models, the one that replies where neither chat nor agent names one, and those that were last chosen.
 * @param {CallOptions} options
 * @returns {Promise<KnownModels>}
 */
export async function knownModels(options) {
  const [{ items }, org, sessions] = await Promise.all([
    call("GET", "/models", undefined, options),
    call("GET", "/org", undefined, options),
    call("GET", `/sessions?limit=${SESSIONS_MAX}`, undefined, options),
  ]);
  const used = new Set(sessions.items.map((/** @type {any} */ { metadata }) => metadata.model));
  const recent = items.filter((/** @type {Api.Model} */ { id }) => used.has(id));
  const order = [...used];
  recent.sort((/** @type {Api.Model} */ a, /** @type {Api.Model} */ b) => order.indexOf(a.id) - order.indexOf(b.id));
  return { models: items, usual: org.defaultModel ?? org.builtInModel, recent: recent.slice(0, RECENT_MAX) };
}

/** A control of a form: an input whose value is the model's id, or empty for `none`, which says what that means. */
class Picker {
  /** @type {List | undefined} while it is open */
  list;
  shown = new AbortController();

  /**
   * @param {string} name
   * @param {KnownModels} known
   * @param {PickerChoice} choice
   * @param {Attributes} attributes
   */
  constructor(name, known, { none = "", chosen, changed }, attributes) {
    this.known = known;
    this.noneText = none;
    this.changed = changed;
    /** @type {HTMLInputElement} */
    this.control = el("input.picker", {
      name,
      type: "text",
      role: "combobox",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      onfocus: () => this.control.select(),
      onclick: () => this.clicked(),
      onblur: () => this.close(),
      oninput: () => this.typed(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.pressed(event),
      ...attributes,
    });
    this.choose(chosen ?? "");
  }

  /** The chosen model's id. */
  value() {
    return this.control.dataset.value ?? "";
  }

  /** @param {string} id */
  choose(id) {
    this.control.dataset.value = id;
    this.tell();
  }

  /**
   * What an empty choice means from now on.
   * @param {string} text
   */
  none(text) {
    this.noneText = text;
    this.tell();
  }

  get isKnown() {
    return this.known.models.some(({ id }) => id === this.value());
  }

  tell() {
    const value = this.value();
    this.control.value = !value ? this.noneText : this.isKnown ? value : `${value} (not available)`;
    this.control.title = this.control.value;
  }

  open() {
    const { control, known } = this;
    if (this.list || control.disabled) return;
    const value = this.value();
    const gone = value && !this.isKnown ? [{ id: value, text: control.value }] : [];
    const list = new List(
      known,
      [...(this.noneText ? [{ id: "", text: this.noneText }] : []), ...gone],
      value,
      control,
    );
    this.list = list;
    this.shown = new AbortController();
    control.after(list.element);
    list.element.showPopover();
    control.setAttribute("aria-expanded", "true");
    control.setAttribute("aria-controls", list.id);
    // What is pressed in the list does not take the focus from the box.
    list.element.addEventListener("mousedown", (event) => event.preventDefault());
    list.element.addEventListener("click", ({ target }) => this.take(list.idOf(target)));
    const follow = () => (control.isConnected ? place(list.element, control) : this.close());
    const { signal } = this.shown;
    for (const target of [window, visualViewport]) target?.addEventListener("resize", follow, { signal });
    document.addEventListener("scroll", follow, { capture: true, signal });
    follow();
    list.start();
  }

  close() {
    if (!this.list) return;
    this.shown.abort();
    this.list.element.remove();
    this.list = undefined;
    this.control.setAttribute("aria-expanded", "false");
    this.control.removeAttribute("aria-controls");
    this.control.removeAttribute("aria-activedescendant");
    this.tell();
  }

  /** @param {string | undefined} id */
  take(id) {
    if (id === undefined) return;
    const isNew = id !== this.value();
    this.choose(id);
    this.close();
    this.control.select();
    if (isNew) this.changed?.(id);
  }

  clicked() {
    if (!this.list) this.control.select();
    this.open();
  }

  typed() {
    const text = this.control.value;
    this.open();
    this.list?.filter(text);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.isComposing) return;
    const step = STEPS[event.key];
    if (event.key === "Escape" && this.list) {
      // It ends the search, and nothing around it.
      event.stopPropagation();
      this.close();
      this.control.select();
    } else if (event.key === "Enter" || step) {
      if (!this.list) this.open();
      else if (step) this.list.move(step);
      else this.take(this.list.idOf(this.list.active));
    } else return;
    event.preventDefault();
  }
}

/** The open list, of which one option is active. */
class List {
  id = newId();
  /** @type {Map<Element, { id: string, text: string }>} what each option chooses, and what it is found by */
  options = new Map();
  /** @type {Element | undefined} */
  active;

  /**
   * @param {KnownModels} known
   * @param {{ id: string, text: string }[]} others
   * @param {string} chosen
   * @param {HTMLInputElement} box
   */
  constructor({ models, recent }, others, chosen, box) {
    this.chosen = chosen;
    this.box = box;
    const providers = Map.groupBy(models, ({ provider }) => provider);
    /** @type {[string, Element[]][]} */
    const top = [
      ["", others.map(({ id, text }) => this.option(id, text))],
      ["Last used", recent.map((model) => this.entry(model, model.id))],
    ];
    this.top = top.filter(([, items]) => items.length > 0).map(group);
    const groups = [...providers].map(([slug, its]) =>
      group([slug, its.map((model) => this.entry(model, model.name))]),
    );
    this.groups = [...this.top, ...groups];
    this.empty = el("p.option", { role: "option", "aria-disabled": "true", "aria-selected": "false", hidden: true });
    this.said = el("p.away", { role: "status" });
    this.element = el(
      "div.picker-list",
      { popover: "manual" },
      el("div.options", { id: this.id, role: "listbox", "aria-label": "Models" }, this.groups, this.empty),
      models.some(({ pricing }) => pricing) && h("p.hint", "Prices are per million tokens."),
      this.said,
    );
  }

  /**
   * @param {string} id
   * @param {string} text
   * @param {Child} [facts]
   */
  option(id, text, facts) {
    const isChosen = String(id === this.chosen);
    const element = el(
      "li.option",
      { role: "option", id: newId(), "aria-selected": isChosen },
      h("span", text),
      " ",
      facts,
    );
    this.options.set(element, { id, text: `${id} ${text}`.toLowerCase() });
    return element;
  }

  /**
   * @param {Api.Model} model
   * @param {string} text
   */
  entry(model, text) {
    const window = model.contextWindow && ` · ${short(model.contextWindow)} tokens`;
    return this.option(model.id, text, h("span.quiet", priceOf(model), window));
  }

  get visible() {
    return [...this.options.keys()].filter((option) => !option.closest("[hidden]"));
  }

  start() {
    this.activate(this.visible.find((option) => this.options.get(option)?.id === this.chosen));
  }

  /** @param {any} target */
  idOf(target) {
    return this.options.get(target?.closest("[role=option]"))?.id;
  }

  /** @param {Element | undefined} option */
  activate(option) {
    this.active?.classList.remove("active");
    this.active = option;
    option?.classList.add("active");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.box.setAttribute("aria-activedescendant", option.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  /**
   * A single step goes round; a page ends at the end.
   * @param {number} step
   */
  move(step) {
    const { visible } = this;
    const last = visible.length - 1;
    const to = (this.active ? visible.indexOf(this.active) : -1) + step;
    const isRound = Math.abs(step) === 1 && (to < 0 || to > last);
    this.activate(visible.at(isRound ? (to < 0 ? -1 : 0) : Math.max(0, Math.min(to, last))));
  }

  /** @param {string} text */
  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [element, { text }] of this.options)
      /** @type {HTMLElement} */ (element).hidden = !words.every((word) => text.includes(word));
    // What is looked for is found once, in its provider's group.
    for (const group of this.groups)
      group.hidden = (words.length > 0 && this.top.includes(group)) || !group.querySelector(".option:not([hidden])");
    const { visible } = this;
    this.empty.hidden = visible.length > 0;
    this.empty.textContent = `No model matches “${text.trim()}”.`;
    this.said.textContent = count(visible.length, "model");
    this.activate(visible[0]);
  }
}

/**
 * @param {[string, Element[]]} titled
 * @returns {HTMLElement}
 */
const group = ([title, items]) =>
  el(
    "ul",
    { role: "group", "aria-label": title || "Without a choice" },
    title && el("li.quiet", { "aria-hidden": "true" }, title),
    items,
  );

/**
 * Puts the list where there is more room: below its box, or above.
 * @param {HTMLElement} list
 * @param {HTMLElement} box
 */
function place({ style, offsetWidth }, box) {
  const { left, top, bottom } = box.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const seen = visualViewport?.height ?? clientHeight;
  const below = seen - bottom;
  const isBelow = below >= Math.min(top, HEIGHT_PX);
  style.maxHeight = `${Math.min(HEIGHT_PX, (isBelow ? below : top) - GAP_PX - EDGE_PX)}px`;
  style.left = `${Math.max(EDGE_PX, Math.min(left, clientWidth - offsetWidth - EDGE_PX))}px`;
  style.top = isBelow ? `${bottom + GAP_PX}px` : "auto";
  style.bottom = isBelow ? "auto" : `${clientHeight - top + GAP_PX}px`;
}
