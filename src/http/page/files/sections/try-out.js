// @ts-check

// A conversation with an agent as its form has it now. The page alone holds it; the server keeps the bill.

import { emptyMessage, fold } from "../chat/fold.js";
import { partsView } from "../chat/message.js";
import { events } from "../chat/sse.js";
import { request } from "../lib/api.js";
import { el, fill, h } from "../lib/dom.js";
import { sentence } from "../lib/form.js";

/**
 * The conversation; `draft()` is the agent, and throws where the form is wrong.
 * @param {() => object} draft
 * @param {AbortSignal} signal
 */
export function tryOut(draft, signal) {
  /** @type {{ role: string, parts: any[] }[]} */
  let messages = [];
  /** @type {AbortController | undefined} */
  let running;
  const log = el("div.log", { tabindex: "0", role: "region", "aria-label": "Trial conversation" });
  const alert = el("p.alert", { role: "alert", hidden: true });
  const said = el("p.away", { role: "status" });
  const box = el("textarea", { rows: 2, "aria-label": "Try it out", placeholder: "Ask it something" });
  const send = el("button.primary", { type: "submit" }, "Send");
  const reset = el("button", { type: "button", hidden: true, onclick: () => clear() }, "Start over");
  const element = h(
    "section.try-out",
    h("h2", "Try it out"),
    h("p.hint", "It answers as the form stands, saved or not. Nothing is kept here; replies are charged as always."),
    log,
    alert,
    said,
    el(
      "form",
      { onsubmit: /** @param {Event} event */ (event) => (event.preventDefault(), press()) },
      box,
      h("div.actions", reset, send),
    ),
  );
  const clear = () => {
    running?.abort();
    messages = [];
    fill(log);
    reset.hidden = true;
    box.focus();
  };
  const press = () => (running ? running.abort() : ask(box.value.trim()));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!running) press();
  });
  signal.addEventListener("abort", () => running?.abort());

  /** @param {string} text */
  async function ask(text) {
    if (!text) return;
    const question = { role: "user", parts: [{ type: "text", text }] };
    const asked = [...messages, question];
    const own = new AbortController();
    /** @type {HTMLElement[]} */
    const shown = [];
    try {
      alert.hidden = true;
      fill(said);
      const agentDraft = draft();
      running = own;
      send.textContent = "Stop";
      box.value = "";
      shown.push(show(question, "You").element);
      const response = await request("POST", "/chat", { messages: asked, agentDraft }, { signal: own.signal });
      const reply = Object.assign(emptyMessage(), { role: "assistant" });
      const view = show(reply, "Draft");
      shown.push(view.element);
      await read(response, reply, view.update);
      reset.hidden = false;
      if (reply.error) throw reply.error;
      messages = [...asked, { role: "assistant", parts: reply.parts }];
      fill(said, "The reply is complete.");
    } catch (error) {
      if (own.signal.aborted && messages.length === 0 && !signal.aborted) reset.hidden = log.childElementCount === 0;
      if (own.signal.aborted) return void fill(said, "The reply was stopped.");
      for (const one of shown) one.remove();
      box.value ||= text;
      alert.textContent = sentence(error.details?.fields?.[0]?.message ?? error.message);
      alert.hidden = false;
    } finally {
      running = undefined;
      send.textContent = "Send";
    }
  }

  /**
   * @param {{ role?: string, parts: any[] }} message
   * @param {string} who
   */
  function show(message, who) {
    const view = partsView();
    const element = h("article.message", h("h3.who", who), view.element);
    element.classList.add(message.role === "user" ? "mine" : "theirs");
    log.append(element);
    const update = () => {
      const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
      view.update(/** @type {any} */ (message));
      if (isAtEnd) log.scrollTop = log.scrollHeight;
    };
    update();
    return { element, update };
  }
  return element;
}

/**
 * @param {Response} response
 * @param {Arriving} reply
 * @param {() => void} update
 */
async function read(response, reply, update) {
  let due = 0;
  for await (const data of events(response)) {
    if (data !== "[DONE]") fold(reply, JSON.parse(data));
    due ||= requestAnimationFrame(() => {
      due = 0;
      update();
    });
  }
  cancelAnimationFrame(due);
  update();
}
