// @ts-check

// One session: its history, the reply that is being written, and the box to ask from.
//
// Rule: a reply belongs to the server. A page that reloads, loses the network or comes later follows it from its start.

import { call, request } from "../lib/api.js";
import { chatCurl } from "../lib/curl.js";
import { busy, el, fill, h } from "../lib/dom.js";
import { look } from "../lib/inbox.js";
import { knownModels } from "../lib/picker.js";
import { nothing } from "../lib/states.js";
import { chatView } from "./chat-view.js";
import { composer } from "./composer.js";
import { messageView } from "./message.js";
import { Reply } from "./reply.js";
import { Waiting } from "./waiting.js";

/** Messages shown at once; earlier ones on request. */
const PAGE = 50;
/** The pauses before each try to find a reply again whose connection was lost. */
const FOLLOW_PAUSES_MS = [500, 2_000, 5_000];
/** Longest label made of a question. */
const LABEL_CHARS_MAX = 60;

const SUGGESTIONS = [
  "Summarise the periodic table in 3 sentences.",
  "Think: is 221 prime?",
  "What time is it?",
  "Show me Markdown",
];

/** An id for a message that is asked here. A page over plain HTTP has no `randomUUID`. */
const freshId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

/** @param {string} id */
const part = (id) => encodeURIComponent(id);

/**
 * Shows a session in `element`, or with `id: null` one that is yet to be created. `changed(id)` is called when lists of
 * sessions may have changed, with the id of one that was just created; `rename` and `remove` ask the person and return the result.
 * @param {HTMLElement} element
 * @param {{ id: string | null, agent?: string, isOwner: boolean, signal: AbortSignal } & SessionActions} options
 */
export async function showChat(element, { id, agent, isOwner, signal, rename, remove, changed }) {
  const [known, agents, session] = await Promise.all([
    knownModels({ signal }),
    call("GET", "/agents?limit=100", undefined, { signal }),
    id && call("GET", `/sessions/${part(id)}`, undefined, { signal }),
  ]);
  const chat = new Chat({
    known,
    agents: agents.items,
    session,
    agent,
    isOwner,
    signal,
    rename,
    remove,
    changed,
  });
  if (session) await chat.showHistory();
  else fill(chat.view.messages, chat.suggestions());
  fill(element, chat.view.element);
  if (chat.waiting.some) chat.tellWaiting();
  chat.box.focus();
  if (!session) return;
  chat.view.toEnd();
  // Not awaited: it lasts as long as a reply does.
  chat.follow();
}

/** An open session. Calls take it as their options, for its `signal`. */
export class Chat {
  /** @param {{ known: KnownModels, agents: Api.Agent[], session?: Api.Session, agent?: string, isOwner: boolean, signal: AbortSignal } & SessionActions} options */
  constructor({ known, agents, session, agent, isOwner, signal, rename, remove, changed }) {
    this.agents = agents;
    this.known = known;
    this.isOwner = isOwner;
    /** @type {any} undefined until the session is created */
    this.session = session;
    this.signal = signal;
    this.changed = changed;
    this.running = false;
    this.raw = "";
    this.waiting = new Waiting(this);
    this.box = composer({
      known,
      agents,
      agent: session ? session.agentId : agent,
      model: session?.metadata?.model,
      isNew: !session,
      picked: (model) => this.remember(model),
      send: () => this.send(),
      stop: () => this.stop(),
    });
    this.view = chatView({
      session,
      box: this.box.element,
      curl: () => chatCurl({ body: this.body(this.box.text() || SUGGESTIONS[0]) }),
      raw: () => this.raw,
      rename: () => rename(this.session).then((session) => session && this.renamed(session)),
      remove: () => remove(this.session).then((gone) => gone && this.gone()),
    });
  }

  get path() {
    return `/chat/${part(this.session.id)}`;
  }

  /**
   * What is posted to ask this.
   * @param {string} text
   */
  body(text) {
    const sessionId = this.session?.id;
    return { ...(sessionId && { sessionId }), ...this.box.choice(), messages: [{ role: "user", content: text }] };
  }

  suggestions() {
    /** @param {string} text */
    const suggestion = (text) =>
      el("button", { type: "button", onclick: () => this.box.set(text) && this.send() }, text);
    return nothing(
      "What would you like to ask?",
      "The reply is streamed and stored by the same API that your programs use.",
      h("div.suggestions", SUGGESTIONS.map(suggestion)),
    );
  }

  /**
   * The session asks this model from now on; what else stands in its metadata stays.
   * @param {string} model
   */
  async remember(model) {
    if (!this.session) return;
    const path = `/sessions/${part(this.session.id)}`;
    const { metadata } = await call("GET", path, undefined, this);
    this.session = await call("PATCH", path, { metadata: { ...metadata, model: model || undefined } }, this);
  }

  /** @param {Api.Session} session */
  renamed(session) {
    this.session = session;
    this.view.title.textContent = session.label;
    this.changed();
  }

  gone() {
    this.changed();
    location.hash = "#sessions";
  }

  /** @param {ShownMessage} message */
  who({ role, metadata }) {
    if (role === "user") return "You";
    const id = metadata?.agentId ?? this.session?.agentId;
    return this.agents.find((agent) => agent.id === id)?.name ?? this.session?.agentName ?? "Ala";
  }

  /** @param {ShownMessage} message */
  viewOf(message) {
    return messageView(this, message);
  }

  /** @param {ShownMessage} message */
  add(message) {
    const view = this.viewOf(message);
    this.view.messages.append(view.element);
    this.view.toEnd();
    return view;
  }

  async showHistory() {
    const { messages } = this.view;
    const list = `/sessions/${part(this.session.id)}/messages?order=desc&pageSize=${PAGE}`;
    /**
     * @param {string | null} [cursor]
     * @returns {Promise<Items<Api.Message>>}
     */
    const load = (cursor) => call("GET", cursor ? `${list}&cursor=${part(cursor)}` : list, undefined, this);
    /** @param {Items<Api.Message>} page */
    const put = ({ items, hasMore, nextCursor }) => {
      const shown = items.map((message) => this.viewOf(message).element).reverse();
      /** @returns {Promise<unknown>} */
      const more = () =>
        busy(earlier, "Loading…", async () => {
          const page = await load(nextCursor);
          earlier.remove();
          put(page);
        });
      const earlier = el("button.small.earlier", { type: "button", onclick: more }, "Show earlier messages");
      messages.prepend(...(hasMore ? [earlier] : []), ...shown);
    };
    const newest = await load();
    fill(messages);
    put(newest);
    const [last] = newest.items;
    if (this.waiting.some) this.tellWaiting();
    // A reply that failed before its first word is no message.
    if (last && (last.role === "user" || last.status === "error")) return this.offerAgain();
    if (last?.status !== "interrupted" || last.role !== "assistant") return;
    this.offer("Continue the interrupted reply", () => request("POST", `${this.path}/resume`, {}, this), {
      before: last.parts,
    });
  }

  /** Asks what is in the box; what cannot be asked comes back into it. */
  async send() {
    const text = this.box.text();
    if (!text.trim() || this.running) return;
    this.box.set("");
    if (!this.session) fill(this.view.messages);
    const question = { id: freshId(), role: "user", parts: [{ type: "text", text }] };
    const mine = this.add({ ...question, createdAt: new Date().toISOString() });
    /** @param {any} error */
    const refuse = (error) => {
      mine.element.remove();
      if (!this.session) fill(this.view.messages, this.suggestions());
      this.box.giveBack(text, error);
    };
    const open = async () => {
      if (!this.session) await this.make(text);
      return request("POST", "/chat", { ...this.body(text), messages: [question] }, this);
    };
    await this.run(open, refuse);
  }

  /** @param {string} text */
  async make(text) {
    const label = text.trim().slice(0, LABEL_CHARS_MAX);
    const { agentId, model } = this.box.choice();
    this.session = await call("POST", "/sessions", { label, agentId, ...(model && { metadata: { model } }) });
    // From here on a reload finds it.
    history.replaceState(null, "", `#sessions/${part(this.session.id)}`);
    this.view.made(this.session);
    this.box.made();
    this.changed(this.session.id);
  }

  /**
   * Follows the reply that is being written, if there is one.
   * @param {(error: any) => void} refuse
   */
  follow(refuse = (error) => this.box.giveBack("", error)) {
    return this.run(() => request("GET", `${this.path}/stream`, undefined, this), refuse, { quiet: true });
  }

  stop() {
    return call("POST", `${this.path}/stop`, {});
  }

  /**
   * Shows a button below the messages that begins another reply, in the `place` of one that was.
   * @param {string} text
   * @param {() => Promise<Response>} open
   * @param {ReplyPlace} place
   */
  offer(text, open, place) {
    const begin = () => this.run(open, (error) => this.box.giveBack("", error), { place });
    fill(this.view.offer, el("button", { type: "button", onclick: begin }, text));
  }

  /**
   * Reads a reply to its end, wherever `open` finds it; `refuse` gets the error if it did not begin. Whether it did.
   * @param {() => Promise<Response>} open
   * @param {(error: any) => void} refuse
   * @param {{ quiet?: boolean, place?: ReplyPlace }} [options]
   */
  async run(open, refuse, { quiet = false, place } = {}) {
    if (this.running) return true;
    this.running = true;
    // To look for a reply changes nothing until there is one.
    if (!quiet) this.begin();
    const reply = new Reply(this, { ...place, isWatched: !quiet });
    try {
      await reply.read(await open());
    } catch (error) {
      if (!reply.begun && !this.signal.aborted) refuse(error);
    }
    this.running = false;
    if (this.signal.aborted) return reply.begun;
    if (reply.begun && reply.message.state === "arriving") await this.findAgain(reply);
    else this.ended(reply);
    return reply.begun;
  }

  /** The agent waits; to write something instead is an answer too. */
  tellWaiting() {
    fill(
      this.view.offer,
      h("p.quiet", "The agent waits for your answer. If you send a message instead, what waits is not run."),
    );
  }

  /** A reply is asked for, or found. */
  begin() {
    fill(this.view.offer);
    this.box.run(true);
  }

  /** @param {Reply} reply */
  ended({ begun, message }) {
    this.box.run(false);
    if (!begun) return;
    this.changed();
    if (this.waiting.some) {
      this.tellWaiting();
      look();
    }
    if (message.state === "failed") this.offerAgain();
  }

  /** The last reply failed. */
  offerAgain() {
    const begin = () => {
      const last = this.view.messages.lastElementChild;
      const failed = last?.classList.contains("theirs") ? last : null;
      this.replace(failed, { trigger: "regenerate-message" }, (error) => this.box.giveBack("", error));
    };
    const again = el("button", { type: "button", onclick: begin }, "Try again");
    this.view.keepingTheEnd(() => fill(this.view.offer, again));
  }

  /**
   * Asks for another reply, which takes the place of `from` and of all that follows it; the server keeps what stood there.
   * @param {Element | null} from
   * @param {object} body
   * @param {(error: any) => void} refuse
   * @param {number} [versions] how many stand there then
   */
  replace(from, body, refuse, versions) {
    const asked = { sessionId: this.session.id, ...this.box.choice(), ...body };
    return this.run(() => request("POST", "/chat", asked, this), refuse, { place: { from, versions } });
  }

  /**
   * The connection was lost in mid-reply, which continues on the server.
   * @param {Reply} reply
   */
  async findAgain(reply) {
    for (const pause of FOLLOW_PAUSES_MS) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (this.signal.aborted) return;
      try {
        await this.showHistory();
        this.box.run(false);
        await this.follow();
        return;
      } catch {
        // It is tried again, and then given up, in words.
      }
    }
    reply.message.error = { message: "The connection was lost. Reload the page to see the rest." };
    reply.paint();
    this.box.run(false);
  }
}
