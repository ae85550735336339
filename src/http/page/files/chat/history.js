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
    /** @type {WeakMap<Element, { element: HTMLElement, update: (message: ShownMessage, who: string) => unknown }>} */
    this.views = new WeakMap();
    const { messages } = chat.view;
    const options = { root: messages, rootMargin: `${AHEAD_PX}px 0px` };
    this.observer = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.earlier(), options);
    chat.signal.addEventListener("abort", () => this.observer.disconnect());
  }

  /**
   * @param {string | null} [cursor]
   * @param {AbortSignal} [signal]
   * @returns {Promise<Items<Api.Message>>}
   */
  load(cursor, signal = this.chat.signal) {
    const query = new URLSearchParams({ order: "desc", pageSize: String(PAGE), ...(cursor && { cursor }) });
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
    const { items, hasMore, nextCursor } = await this.load(null, signal);
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

  // A new look tells at once whether the reader is near already.
  watch() {
    this.observer.unobserve(this.top);
    if (this.cursor) this.observer.observe(this.top);
  }

  /** The page before the first message. */
  async earlier() {
    const { top } = this;
    if (!this.cursor || top.ariaBusy === "true") return;
    top.ariaBusy = "true";
    try {
      const { items, hasMore, nextCursor } = await this.load(this.cursor);
      this.cursor = hasMore ? nextCursor : null;
      this.chat.view.keepingThePlace(() => {
        fill(top);
        top.after(...items.map((message) => this.elementOf(message)).reverse());
      });
      this.watch();
    } catch (error) {
      if (this.chat.signal.aborted) return;
      this.observer.unobserve(top);
      const again = el("button.small", { type: "button" }, "Show earlier messages");
      again.addEventListener("click", () => busy(again, "Loading…", () => this.earlier()));
      fill(top, h("p.bad", error.message), again);
    } finally {
      top.ariaBusy = null;
    }
  }
}
