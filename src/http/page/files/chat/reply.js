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
  error: "The reply failed.",
  interrupted: "The reply was interrupted.",
};

/**
 * How much there is to see of a message.
 * @param {Arriving} message
 */
const amount = ({ parts }) => parts.reduce((sum, { text }) => sum + 1 + (text?.length ?? 0), 0);

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
    this.fresh = () => Object.assign(emptyMessage(structuredClone(before)), { role: "assistant", isWatched, versions });
    this.message = this.fresh();
    /** How much was seen of it before the line was cut. */
    this.seen = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.painting = undefined;
  }

  /** Whether anything has come. */
  get begun() {
    return this.view !== undefined;
  }

  /** Whether it goes on where it cannot be heard. */
  get isCut() {
    return this.begun && this.message.state === "arriving";
  }

  /**
   * Reads a response to its end, or until it is cut; one without a body has nothing to say. A reply that was cut is read again from
   * its start, and what was seen of it stays until there is more.
   * @param {Response} response
   */
  async read(response) {
    if (response.status === 204) return;
    if (this.begun) {
      this.seen = Math.max(this.seen, amount(this.message));
      this.message = this.fresh();
      this.chat.raw = "";
    }
    try {
      for await (const data of events(response)) this.take(data);
    } finally {
      if (this.begun && !this.isCut) this.end();
    }
  }

  /** @param {string} data */
  take(data) {
    if (!this.begun) this.begin();
    this.chat.raw = `${this.chat.raw}${data}\n`.slice(-RAW_CHARS_MAX);
    if (data !== "[DONE]") fold(this.message, JSON.parse(data));
    const { id } = this.message;
    if (id !== null && id !== this.known) this.takePlace(id);
    this.painting ??= setTimeout(() => this.paint(), PAINT_MS);
  }

  begin() {
    const { chat } = this;
    chat.raw = "";
    chat.begin();
    this.view = chat.add(this.message);
    this.view.element.classList.add("arriving");
    chat.view.spoken.begin();
    chat.changed(chat.session.id);
  }

  /**
   * A reply that is continued shows all that it had before, and one that is asked for again stands for the one before.
   * @param {string} id
   */
  takePlace(id) {
    if (this.seen > 0 && this.known !== null) this.another();
    this.known = id;
    for (const other of this.chat.view.messages.querySelectorAll(`[data-id="${CSS.escape(id)}"]`)) {
      if (other !== this.view.element) other.remove();
    }
    while (this.from && this.from !== this.view.element) {
      const next = this.from.nextElementSibling;
      this.from.remove();
      this.from = next;
    }
  }

  /** While the line was cut another reply began. */
  another() {
    this.view.element.classList.remove("arriving");
    this.seen = 0;
    this.view = this.chat.add(this.message);
    this.view.element.classList.add("arriving");
    this.chat.history.refresh().catch(() => {});
  }

  paint() {
    clearTimeout(this.painting);
    this.painting = undefined;
    const { chat, message } = this;
    if (this.isCut && amount(message) < this.seen) return;
    const { view } = chat;
    view.keepingTheEnd(() => this.view.update(message, chat.who(message)));
    view.showRaw();
    view.spoken.grow(message.parts.map((part) => (part.type === "text" ? part.text : "")).join("\n"));
  }

  end() {
    this.paint();
    this.say(this.message);
  }

  /**
   * It ended while the line was cut: as it is stored, or not at all.
   * @param {Api.Message} [last] the last message of the session
   */
  settle(last) {
    const stored = last?.id === this.known && last;
    if (!stored) this.view.element.remove();
    Object.assign(this.message, { parts: stored ? stored.parts : [], state: stored ? stored.status : "failed" });
    this.say(this.message);
  }

  /** @param {any} error what the server says instead of the reply */
  fail(error) {
    Object.assign(this.message, { state: "failed", error });
    this.end();
  }

  /** @param {Arriving} message */
  say({ parts, state }) {
    this.view.element.classList.remove("arriving");
    const asks = parts.some(({ state }) => state === "approval-requested");
    this.chat.view.spoken.end(asks ? "The agent waits for your answer." : (SPOKEN[state] ?? ""));
  }
}
