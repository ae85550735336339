// @ts-check

// One session: its history, the reply that is being written, and the box to ask from.
//
// Rule: a reply belongs to the server. A page that reloads, loses the network or comes later follows it from its start.

import { call, caller, request } from "../lib/api.js";
import { chatCurl } from "../lib/curl.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { look } from "../lib/inbox.js";
import { chatView } from "./chat-view.js";
import { composer } from "./composer.js";
import { exportChat, printChat } from "./export.js";
import { hits } from "./hits.js";
import { History } from "./history.js";
import { isCut, line } from "./line.js";
import { messageView } from "./message.js";
import { Reply } from "./reply.js";
import { SUGGESTIONS, suggestions } from "./suggestions.js";
import { Waiting } from "./waiting.js";

/** What is said while the server cannot be reached. */
const LOST = "Connection lost. The reply goes on at the server. Reconnecting…";
const UNSENT = "Cannot reach the server. Your message is sent as soon as it is back. Reconnecting…";

/** What was typed and not sent, by session, for as long as the page is open. @type {Map<string, string>} */
const drafts = new Map();

/** An id for a message that is asked here. A page over plain HTTP has no `randomUUID`. */
const freshId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

/** @param {string} id */
const part = (id) => encodeURIComponent(id);

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
    this.wantsStop = false;
    /** Ends what the server has not answered yet. @type {AbortController | undefined} */
    this.sending = undefined;
    this.raw = "";
    this.line = line(signal);
    this.waiting = new Waiting(this);
    this.box = composer({
      known,
      agents,
      agent: session ? session.agentId : agent,
      model: session?.metadata?.model,
      isNew: !session,
      draft: drafts.get(session?.id ?? ""),
      typed: (text) => drafts.set(this.session?.id ?? "", text),
      signal,
      picked: (model) => this.remember({ model: model || undefined }),
      send: () => this.send(),
      stop: () => this.stop(),
    });
    this.view = chatView({
      session,
      box: this.box.element,
      lost: this.line.element,
      newest: () => this.history.toNewest(),
      curl: () => chatCurl({ body: this.body(this.box.text() || SUGGESTIONS[0]) }),
      raw: () => this.raw,
      save: (kind) => exportChat(this, kind),
      print: () => printChat(this),
      pin: () => this.pin(),
      rename: () => rename(this.session).then((session) => session && this.renamed(session)),
      remove: () => remove(this.session).then((gone) => gone && this.gone()),
    });
    this.history = new History(this);
    this.entitle();
  }

  get path() {
    return `/chat/${part(this.session.id)}`;
  }

  get sessionPath() {
    return `/sessions/${part(this.session.id)}`;
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
    return suggestions((text) => this.box.set(text) && this.send());
  }

  /**
   * Notes something of the session for all who see it; what else stands in its metadata stays.
   * @param {{ model?: string, pinned?: boolean }} change
   */
  async remember(change) {
    if (!this.session) return;
    const path = this.sessionPath;
    const { metadata } = await call("GET", path, undefined, this);
    this.entitle(await call("PATCH", path, { metadata: { ...metadata, ...change } }, this));
  }

  get isPinned() {
    return this.session?.metadata?.pinned === true;
  }

  async pin() {
    await this.remember({ pinned: !this.isPinned || undefined });
    this.changed(this.session.id);
  }

  /** @param {Api.Session} session */
  renamed(session) {
    this.entitle(session);
    this.changed(session.id);
  }

  /**
   * The tab says which session it holds, and whether a reply is being written.
   * @param {Api.Session} [session] as it is now
   */
  entitle(session) {
    if (session) this.session = session;
    const label = this.session?.label ?? "New chat";
    this.view.title.textContent = label;
    this.view.pinning.textContent = this.isPinned ? "Unpin" : "Pin";
    document.title = `${this.running ? "● " : ""}${label} · ${caller.org} · alm`;
  }

  gone() {
    this.changed(this.session.id);
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
    const view = this.history.add(message);
    this.view.messages.append(view.element);
    this.view.toEnd();
    return view;
  }

  /** @param {{ at: string, words: string }} hit */
  showHits(hit) {
    this.hits = hits(this, hit);
    this.view.element.firstElementChild?.after(this.hits.element);
    this.hits.begin();
    this.history.watch();
  }

  /** Shows what is stored, and what can be done at its end. */
  async showHistory() {
    this.offerMore(await this.history.refresh());
  }

  /** @param {Api.Message} [last] */
  offerMore(last) {
    if (this.waiting.some) this.tellWaiting();
    // A reply that failed before its first word is no message.
    if (last && (last.role === "user" || last.status === "error")) return this.offerAgain();
    if (last?.status !== "interrupted" || last.role !== "assistant") return;
    const resume = () => request("POST", `${this.path}/resume`, {}, this);
    this.offer("Continue the interrupted reply", resume, { before: last.parts });
  }

  /** Asks what is in the box; what cannot be asked comes back into it. */
  async send() {
    const files = await this.box.files.all();
    const text = this.box.text();
    if ((!text.trim() && files.length === 0) || this.running) return;
    const unseen = this.box.unseen(files);
    if (unseen) return void this.box.giveBack("", { message: unseen });
    this.box.set("");
    this.box.files.clear();
    await this.history.toNewest();
    if (!this.session) fill(this.view.messages);
    const question = {
      id: freshId(),
      role: "user",
      parts: [...files, ...(text.trim() ? [{ type: "text", text }] : [])],
    };
    const mine = this.add({ ...question, createdAt: new Date().toISOString() });
    /** @param {any} error */
    const refuse = (error) => {
      mine.element.remove();
      if (!this.session) fill(this.view.messages, this.suggestions());
      this.box.giveBack(text, error, files);
    };
    const asks = this.post({ ...this.body(text), messages: [question] });
    await this.run(async (signal) => {
      const response = await asks(signal);
      if (!this.session) this.made(response.headers.get("x-alm-session-id") ?? "", text.trim() || files[0].filename);
      return response;
    }, refuse);
  }

  /**
   * How this is posted: as often as it takes, and the server answers once.
   * @param {object} body
   */
  post(body) {
    const headers = { "Idempotency-Key": freshId() };
    return (/** @type {AbortSignal} */ signal) => request("POST", "/chat", body, { signal, headers });
  }

  /**
   * The question made its session.
   * @param {string} id
   * @param {string} label until the session itself is known
   */
  made(id, label) {
    const { agentId, model } = this.box.choice();
    this.session = { id, label, agentId };
    // From here on a reload finds it.
    history.replaceState(null, "", `#sessions/${part(id)}`);
    this.view.made(this.session);
    this.box.made();
    this.entitle();
    const [method, body] = model ? ["PATCH", { metadata: { model } }] : ["GET"];
    call(method, this.sessionPath, body, this).then(
      (session) => this.renamed(session),
      () => {},
    );
  }

  /**
   * Follows the reply that is being written, if there is one.
   * @param {(error: any) => void} refuse
   */
  follow(refuse = (error) => this.box.giveBack("", error)) {
    return this.run((signal) => request("GET", `${this.path}/stream`, undefined, { signal }), refuse, { quiet: true });
  }

  /** Stops the reply; one that cannot be reached is stopped as soon as it can. */
  async stop() {
    this.wantsStop = true;
    this.sending?.abort();
    if (!this.session) return;
    try {
      await call("POST", `${this.path}/stop`, {}, this);
    } catch (error) {
      if (!isCut(error)) throw error;
      notify("The reply will be stopped as soon as the server is reached.");
    }
  }

  /**
   * Shows a button below the messages that begins another reply, in the `place` of one that was.
   * @param {string} text
   * @param {(signal: AbortSignal) => Promise<Response>} open
   * @param {ReplyPlace} place
   */
  offer(text, open, place) {
    const begin = () => this.run(open, (error) => this.box.giveBack("", error), { place });
    fill(this.view.offer, el("button", { type: "button", onclick: begin }, text));
  }

  /**
   * Reads a reply to its end, wherever `open` finds it; `refuse` gets the error if it did not begin. Whether it did.
   * @param {(signal: AbortSignal) => Promise<Response>} open
   * @param {(error: any) => void} refuse
   * @param {{ quiet?: boolean, place?: ReplyPlace }} [options]
   */
  async run(open, refuse, { quiet = false, place } = {}) {
    if (this.running) return true;
    this.running = true;
    this.wantsStop = false;
    // To look for a reply changes nothing until there is one.
    if (!quiet) {
      this.history.leave();
      this.begin();
    }
    const reply = new Reply(this, { ...place, isWatched: !quiet });
    this.sending = new AbortController();
    const end = AbortSignal.any([this.signal, this.sending.signal]);
    try {
      const response = await this.line.until(open, { said: quiet ? LOST : UNSENT, end, isPatient: !quiet });
      this.sending = undefined;
      await reply.read(response);
    } catch (error) {
      if (!reply.begun && !this.signal.aborted)
        refuse(end.aborted ? { message: "Stopped before it was sent." } : error);
    }
    this.sending = undefined;
    for (let tries = 0; reply.isCut && !this.signal.aborted; tries++) await this.findAgain(reply, tries);
    this.running = false;
    if (!this.signal.aborted) this.ended(reply);
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
    this.entitle();
  }

  /** @param {Reply} reply */
  ended({ begun, message }) {
    this.box.run(false);
    this.entitle();
    if (!begun) return;
    this.changed(this.session.id);
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
    return this.run(this.post(asked), refuse, { place: { from, versions } });
  }

  /**
   * The connection was lost in mid-reply, which goes on at the server: it is read again, or as it was stored.
   * @param {Reply} reply
   * @param {number} tries in vain so far
   */
  async findAgain(reply, tries) {
    /** @type {Api.Message | undefined} */
    let last;
    /** @param {AbortSignal} signal */
    const attempt = async (signal) => {
      if (this.wantsStop) await call("POST", `${this.path}/stop`, {}, { signal });
      const response = await request("GET", `${this.path}/stream`, undefined, { signal });
      if (response.status === 204) last = await this.history.refresh(signal);
      return response;
    };
    /** @type {Response} */
    let response;
    try {
      response = await this.line.until(attempt, { said: LOST, end: this.signal, tries });
    } catch (error) {
      if (!this.signal.aborted) reply.fail(error);
      return undefined;
    }
    // Cut again, it is found again.
    if (response.status !== 204) return reply.read(response).catch(() => {});
    reply.settle(last);
    return this.offerMore(last);
  }
}
