// @ts-check

// The stored messages of a session on the page: the newest first, earlier ones when the reader comes near them.
//
// Rule: what is shown already is kept and brought up to date; not a line moves under the reader.

import { call } from "../lib/api.js";
import { arrange, busy, el, fill, h } from "../lib/dom.js";

/** Messages in a page. */
const PAGE = 50;
/** How far above the first line earlier messages begin to load. */
const AHEAD_PX = 800;

/** The history in one chat. */
export class History {
  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat;
    /** Where earlier ones come in. */
    this.top = h("div.earlier");
    /** @type {string | null} */
    this.cursor = null;
    /** Where later ones come in, while the end is not on the page. */
    this.bottom = h("div.earlier");
    /** @type {string | null} */
    this.later = null;
    /** @type {WeakMap<Element, { element: HTMLElement, update: (message: ShownMessage, who: string) => unknown }>} */
    this.views = new WeakMap();
    const { messages } = chat.view;
    const options = { root: messages, rootMargin: `${AHEAD_PX}px 0px` };
    this.observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries)
        if (isIntersecting) target === this.top ? this.earlier() : this.more();
    }, options);
    chat.signal.addEventListener("abort", () => this.observer.disconnect());
  }

  /**
   * @param {{ order?: string, cursor?: string, around?: string }} [where] the newest first, if nothing else is said
   * @param {AbortSignal} [signal]
   * @returns {Promise<Items<Api.Message> & { previousCursor?: string | null }>}
   */
  load(where = { order: "desc" }, signal = this.chat.signal) {
    const query = new URLSearchParams({ ...where, pageSize: String(PAGE) });
    return call("GET", `/sessions/${encodeURIComponent(this.chat.session.id)}/messages?${query}`, undefined, {
      signal,
    });
  }

  /**
   * The element of a message; the one that shows it already, if there is one.
   * @param {ShownMessage} message
   */
  elementOf(message) {
    const { chat } = this;
    const known = message.id && chat.view.messages.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
    const view = known && this.views.get(known);
    if (!view) return this.add(message).element;
    view.update(message, chat.who(message));
    return view.element;
  }

  /** @param {ShownMessage} message */
  add(message) {
    const view = this.chat.viewOf(message);
    this.views.set(view.element, view);
    return view;
  }

  /**
   * Shows the newest messages as they are stored; those before them stay. Gives the last.
   * @param {AbortSignal} [signal]
   */
  async refresh(signal) {
    const { items, hasMore, nextCursor } = await this.load(undefined, signal);
    // Who reads far from the end is not taken there.
    if (this.later) return undefined;
    const { view } = this.chat;
    const shown = [...view.messages.children];
    view.keepingTheEnd(() => {
      const newest = items.map((message) => this.elementOf(message)).reverse();
      // A reply that failed before its first word is not stored; its reason stays.
      const last = shown.at(-1);
      if (last?.matches(".theirs") && items[0]?.role === "user" && last.previousElementSibling === newest.at(-1))
        newest.push(/** @type {HTMLElement} */ (last));
      const first = shown.findIndex((element) => newest.includes(/** @type {HTMLElement} */ (element)));
      if (first < 0) {
        this.cursor = hasMore ? nextCursor : null;
        fill(this.top);
      }
      arrange(view.messages, [...(first < 0 ? [this.top] : shown.slice(0, first)), ...newest]);
    });
    this.watch();
    return items[0];
  }

  /**
   * Shows the messages around this one.
   * @param {string} id
   */
  async open(id) {
    const { items, hasMore, nextCursor, previousCursor } = await this.load({ around: id });
    this.cursor = previousCursor ?? null;
    this.later = hasMore ? nextCursor : null;
    const shown = items.map((message) => this.elementOf(message));
    arrange(this.chat.view.messages, [this.top, ...shown, ...(this.later ? [this.bottom] : [])]);
  }

  /** The end, wherever the page is. */
  async toNewest() {
    if (!this.later) return;
    this.leave();
    fill(this.chat.view.messages);
    await this.chat.showHistory();
  }

  /** What follows is not on the page and will not be: a reply takes its place. */
  leave() {
    this.later = null;
    this.bottom.remove();
  }

  // A new look tells at once whether the reader is near already.
  watch() {
    for (const [edge, cursor] of /** @type {const} */ ([
      [this.top, this.cursor],
      [this.bottom, this.later],
    ])) {
      this.observer.unobserve(edge);
      if (cursor) this.observer.observe(edge);
    }
  }

  /** The page before the first message. Whether there was one. */
  earlier() {
    return this.page(this.top, "desc", this.cursor, ({ items, hasMore, nextCursor }) => {
      this.cursor = hasMore ? nextCursor : null;
      const shown = items.map((message) => this.elementOf(message)).reverse();
      this.chat.view.keepingThePlace(() => this.top.after(...shown));
    });
  }

  /** The page after the last message, where that is not the end. Whether there was one. */
  async more() {
    const came = await this.page(this.bottom, "asc", this.later, ({ items, hasMore, nextCursor }) => {
      this.later = hasMore ? nextCursor : null;
      this.bottom.before(...items.map((message) => this.elementOf(message)));
      if (!this.later) this.leave();
    });
    if (came && !this.later) this.chat.follow(() => {});
    return came;
  }

  /**
   * @param {HTMLElement} edge
   * @param {"asc" | "desc"} order
   * @param {string | null} cursor
   * @param {(page: Awaited<ReturnType<History["load"]>>) => void} put
   */
  async page(edge, order, cursor, put) {
    if (!cursor || edge.ariaBusy === "true") return false;
    edge.ariaBusy = "true";
    try {
      const page = await this.load({ order, cursor });
      fill(edge);
      put(page);
      this.watch();
      return true;
    } catch (error) {
      if (this.chat.signal.aborted) return false;
      this.observer.unobserve(edge);
      const label = edge === this.top ? "Show earlier messages" : "Show later messages";
      const again = el("button.small", { type: "button" }, label);
      again.addEventListener("click", () => busy(again, "Loading…", () => this.page(edge, order, cursor, put)));
      fill(edge, h("p.bad", error.message), again);
      return false;
    } finally {
      edge.ariaBusy = null;
    }
  }
}
