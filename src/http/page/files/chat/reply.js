// @ts-check

// A reply while it arrives: events in, a growing message on the page, at a pace that a page and a listener can bear.

import { fold, emptyMessage } from "./fold.js";
import { events } from "./sse.js";

/** How often the page catches up with what has arrived. */
const PAINT_MS = 60;
/** What is kept of the raw events. */
const RAW_CHARS_MAX = 200_000;

/** @type {Record<string, string>} */
const SPOKEN = {
  complete: "The reply is complete.",
  stopped: "The reply was stopped.",
  failed: "The reply failed.",
};

/** One reply in a chat; it takes the place of `from` and what follows it, `before` are the parts that it continues. */
export class Reply {
  /**
   * @param {import("./chat.js").Chat} chat
   * @param {ReplyPlace} [place]
   */
  constructor(chat, { from = null, before = [], versions, isWatched } = {}) {
    this.chat = chat;
    this.from = from;
    /** @type {string | null} */
    this.known = null;
    /** @type {any} the view of the message, once anything has come */
    this.view = undefined;
    this.message = Object.assign(emptyMessage(structuredClone(before)), { role: "assistant", isWatched, versions });
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.painting = undefined;
  }

  /** Whether anything has come. */
  get begun() {
    return this.view !== undefined;
  }

  /**
   * Reads a response to its end; one without a body has nothing to say.
   * @param {Response} response
   */
  async read(response) {
    if (response.status === 204) return;
    try {
      for await (const data of events(response)) this.take(data);
    } finally {
      if (this.begun) this.end();
    }
  }

  /** @param {string} data */
  take(data) {
    if (!this.begun) this.begin();
    this.chat.raw = `${this.chat.raw}${data}\n`.slice(-RAW_CHARS_MAX);
    if (data !== "[DONE]") fold(this.message, JSON.parse(data));
    if (this.message.id !== this.known) this.takePlace();
    this.painting ??= setTimeout(() => this.paint(), PAINT_MS);
  }

  begin() {
    const { chat } = this;
    chat.raw = "";
    chat.begin();
    this.view = chat.add(this.message);
    this.view.element.classList.add("arriving");
    chat.view.spoken.begin();
    chat.changed();
  }

  /** A reply that is continued shows all that it had before, and one that is asked for again stands for the one before. */
  takePlace() {
    const { id } = this.message;
    this.known = id;
    if (id === null) return;
    for (const other of this.chat.view.messages.querySelectorAll(`[data-id="${CSS.escape(id)}"]`)) {
      if (other !== this.view.element) other.remove();
    }
    while (this.from && this.from !== this.view.element) {
      const next = this.from.nextElementSibling;
      this.from.remove();
      this.from = next;
    }
  }

  paint() {
    clearTimeout(this.painting);
    this.painting = undefined;
    const { chat, message } = this;
    const { view } = chat;
    view.keepingTheEnd(() => this.view.update(message, chat.who(message)));
    view.showRaw();
    view.spoken.grow(message.parts.map((part) => (part.type === "text" ? part.text : "")).join("\n"));
  }

  end() {
    this.view.element.classList.remove("arriving");
    this.paint();
    const asks = this.message.parts.some(({ state }) => state === "approval-requested");
    this.chat.view.spoken.end(asks ? "The agent waits for your answer." : (SPOKEN[this.message.state] ?? ""));
  }
}
