// @ts-check

// The calls of a chat that wait: their cards, which follow what is answered here, in the inbox and in other browsers.

import { call } from "../lib/api.js";
import { approvalCard } from "../lib/approval-card.js";
import { h } from "../lib/dom.js";
import { listen } from "../lib/inbox.js";
import { nameOf } from "./tool.js";

/** @typedef {ReturnType<typeof approvalCard>} Card */

/** What was decided of a call while others of its reply wait. */
const DECIDED = { approved: "Allowed", denied: "Denied" };

/** How often, and with which pause, is looked for a reply that is to go on. */
const TRIES = 30;
const TRY_MS = 2_000;

/** The waiting calls of one chat. */
export class Waiting {
  /** @param {import("./chat.js").Chat} chat */
  constructor(chat) {
    this.chat = chat;
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** Why calls were denied: a stream does not say it. @type {Map<string, string>} */
    this.reasons = new Map();
    this.isLooking = false;
    listen((list) => this.compare(list), chat.signal);
  }

  /**
   * The card of a part that waits; the same element each time.
   * @param {any} part
   */
  cardOf(part) {
    const id = part.approval?.id;
    if (typeof id !== "string") return undefined;
    const known = this.cards.get(id);
    if (known) return known.element;
    const name = nameOf(part);
    const card = approvalCard(
      { approvalId: id, toolName: name, input: part.input },
      {
        isOwner: this.chat.isOwner,
        label: name,
        head: h("h4", "Call ", h("code", name), "?"),
        decided: ({ remaining }, _, reason) => {
          if (reason) this.reasons.set(id, reason);
          if (remaining === 0) this.goOn();
        },
      },
    );
    this.cards.set(id, card);
    // After the message is on the page, and once for all of its cards.
    if (!this.isLooking) queueMicrotask(() => this.look());
    this.isLooking = true;
    return card.element;
  }

  /**
   * Why a call was denied, as far as that was heard here.
   * @param {any} part
   */
  reasonOf(part) {
    return part.state === "output-denied" ? this.reasons.get(part.approval?.id) : undefined;
  }

  /** Whether a call on the page waits for an answer. */
  get some() {
    return this.open.length > 0;
  }

  /** Cards that are on the page and have no answer yet. */
  get open() {
    return [...this.cards].filter(([, card]) => card.isOpen && card.element.isConnected);
  }

  /**
   * A card whose call is no longer in the list of all that wait was answered elsewhere.
   * @param {Items<CallToAnswer>} list
   */
  compare({ items, hasMore }) {
    if (this.chat.running || this.open.length === 0) return;
    const ids = new Set(items.map(({ approvalId }) => approvalId));
    if (hasMore || this.open.some(([id]) => !ids.has(id))) this.look();
  }

  /** Asks what is known of this session's calls. */
  async look() {
    this.isLooking = true;
    const session = `sessionId=${encodeURIComponent(this.chat.session.id)}&limit=100`;
    const options = { signal: this.chat.signal, asks: false };
    try {
      const [waiting, all] = await Promise.all([
        call("GET", `/approvals?status=waiting&${session}`, undefined, options),
        call("GET", `/tool-calls?${session}`, undefined, options),
      ]);
      this.take(waiting.items, all.items);
    } catch {
      // The next look of the inbox leads here again.
    }
    this.isLooking = false;
  }

  /**
   * @param {CallToAnswer[]} waiting
   * @param {Api.ToolCall[]} all
   */
  take(waiting, all) {
    const open = this.open;
    for (const [id, card] of open) {
      const one = waiting.find(({ approvalId }) => approvalId === id);
      const past = all.find(({ approvalId }) => approvalId === id);
      if (one) card.update(one);
      else if (past) card.settle(answered(past));
      if (past?.reason) this.reasons.set(id, past.reason);
    }
    if (open.length > 0 && waiting.length === 0 && !this.chat.running) this.goOn();
  }

  /** All is answered: the reply goes on, has done so, or will. */
  async goOn(tries = TRIES) {
    if (this.chat.running || this.chat.signal.aborted) return;
    if (await this.chat.follow(() => {})) return;
    await this.chat.showHistory();
    const isWaiting = [...this.cards.values()].some((card) => card.element.isConnected);
    if (isWaiting && tries > 1) setTimeout(() => this.goOn(tries - 1), TRY_MS);
  }
}

/** @param {Api.ToolCall} call */
function answered({ status, decidedBy }) {
  const word = DECIDED[/** @type {keyof DECIDED} */ (status)];
  if (!word) return "It was not run: the conversation went on.";
  return decidedBy ? `${word} by ${decidedBy.email}.` : `${word}.`;
}
