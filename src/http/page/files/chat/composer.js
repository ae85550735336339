// @ts-check

// The box to ask from: text, the agent of a new session, and the model.

import { el, fill, h } from "../lib/dom.js";
import { select, sentence } from "../lib/form.js";
import { modelPicker } from "../lib/picker.js";

/**
 * The box; `send()` and `stop()` are what its buttons do.
 * @param {{ known: KnownModels, agents: Api.Agent[], agent?: string | null, model?: string, isNew: boolean, draft?: string, typed: (text: string) => unknown, picked: (model: string) => unknown, send: () => unknown, stop: () => unknown }} options
 */
export function composer({ known, agents, agent, model: chosenModel, isNew, draft = "", typed, picked, send, stop }) {
  const text = el("textarea", { rows: "2", placeholder: "Ask something", "aria-label": "Message", value: draft });
  text.addEventListener("input", () => typed(text.value));
  const wrong = el("p.alert", { role: "alert", hidden: true });
  const chosen = agents.find(({ id, slug }) => id === agent || slug === agent);
  const who = select(
    "agentId",
    agents.filter(({ isActive }) => isActive).map(({ id, name }) => [id, name]),
    chosen?.id,
    { "aria-label": "Agent" },
  );
  who.hidden = !isNew;
  /** @param {Api.Agent | undefined} agent */
  const none = (agent) => (agent ? `Agent's model (${agent.model ?? known.usual})` : "The agent's model");
  const first = chosen ?? (isNew ? agents[0] : undefined);
  // Metadata is a program's to write as well: there, a model may be anything.
  const remembered = typeof chosenModel === "string" ? chosenModel : "";
  const choice = { none: none(first), chosen: remembered, changed: picked };
  const model = modelPicker("model", known, choice, { "aria-label": "Model" });
  who.addEventListener("change", () => model.none(none(agents.find(({ id }) => id === who.value))));
  const go = el("button.primary", { type: "submit" }, "Send");
  const halt = el("button", { type: "button", hidden: true, onclick: stop }, "Stop");
  const form = el(
    "form.composer",
    { "aria-label": "Ask" },
    wrong,
    text,
    h("div.composer-row", who, model.control, h("span.grow"), halt, go),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  text.addEventListener("keydown", (event) => {
    // While an input method composes, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  return {
    element: form,
    text: () => text.value,
    /** @param {string} value */
    set(value) {
      text.value = value;
      typed(value);
      wrong.hidden = true;
      return true;
    },
    /** The agent and the model that were chosen, where they were. */
    choice: () => ({ ...(!who.hidden && { agentId: who.value }), ...(model.value() && { model: model.value() }) }),
    /**
     * What could not be asked, and why. What was typed meanwhile stays.
     * @param {string} asked
     * @param {any} error
     */
    giveBack(asked, error) {
      text.value = [asked, text.value].filter(Boolean).join("\n");
      typed(text.value);
      fill(
        wrong,
        sentence(error.message),
        error.status === 402 && [" ", el("a", { href: "#usage" }, "Add to balance")],
      );
      wrong.hidden = false;
      text.focus();
    },
    /**
     * A reply is being written, or no longer.
     * @param {boolean} isRunning
     */
    run(isRunning) {
      const hadFocus = document.activeElement === go || document.activeElement === halt;
      go.hidden = isRunning;
      halt.hidden = !isRunning;
      if (hadFocus) (isRunning ? halt : text).focus();
    },
    /** The session is made, and its agent with it. */
    made() {
      who.hidden = true;
    },
    focus: () => matchMedia("(pointer: fine)").matches && text.focus(),
  };
}
