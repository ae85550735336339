// @ts-check

// The box to ask from: text, the agent of a new session, and the model.

import { el, fill, h } from "../lib/dom.js";
import { select, sentence } from "../lib/form.js";
import { modelPicker } from "../lib/picker.js";
import { attachments, isImage } from "./attach.js";

/**
 * The box; `send()` and `stop()` are what its buttons do.
 * @param {{ known: KnownModels, agents: Api.Agent[], agent?: string | null, model?: string, isNew: boolean, signal: AbortSignal, draft?: string, typed: (text: string) => unknown, picked: (model: string) => unknown, send: () => unknown, stop: () => unknown }} options
 */
export function composer({
  known,
  agents,
  agent,
  model: chosenModel,
  isNew,
  signal,
  draft = "",
  typed,
  picked,
  send,
  stop,
}) {
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
  /** @param {Child} words */
  const refuse = (words) => {
    fill(wrong, words);
    wrong.hidden = false;
  };
  const files = attachments({ refuse, signal });
  text.addEventListener("paste", files.paste);
  const go = el("button.primary", { type: "submit" }, "Send");
  const halt = el("button", { type: "button", hidden: true, onclick: stop }, "Stop");
  const form = el(
    "form.composer",
    { "aria-label": "Ask" },
    wrong,
    files.list,
    text,
    h("div.composer-row", files.controls, who, model.control, h("span.grow"), halt, go),
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
    files,
    /**
     * Why the model that would be asked cannot be given these files, if it cannot.
     * @param {{ mediaType: string }[]} files
     */
    unseen(files) {
      const id = model.value() || (agents.find(({ id }) => id === (isNew ? who.value : agent))?.model ?? known.usual);
      const sees = known.models.find((model) => model.id === id)?.capabilities.includes("images") ?? true;
      if (sees || !files.some(isImage)) return undefined;
      return `The model ${id} cannot see images. Choose another model, or remove the image.`;
    },
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
     * @param {import("./attach.js").FilePart[]} [attached]
     */
    giveBack(asked, error, attached = []) {
      files.add(attached);
      text.value = [asked, text.value].filter(Boolean).join("\n");
      typed(text.value);
      refuse([sentence(error.message), error.status === 402 && [" ", el("a", { href: "#usage" }, "Add to balance")]]);
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
