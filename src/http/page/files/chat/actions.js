// @ts-check

// What can be done with a message: copy it, ask again, edit it, and look at what stood in its place before.

import { call } from "../lib/api.js";
import { dialog } from "../lib/dialog.js";
import { copyButton, el, h, notify } from "../lib/dom.js";
import { field, form, sentence } from "../lib/form.js";
import { modelPicker } from "../lib/picker.js";

/** @param {ShownMessage} message */
const textOf = ({ parts }) =>
  parts
    .filter(({ type }) => type === "text")
    .map(({ text }) => text)
    .join("\n\n");

/**
 * The row of buttons below a message; `show(message)` shows another in its place, `body` holds its parts.
 * @param {import("./chat.js").Chat} chat
 * @param {{ element: HTMLElement, body: HTMLElement, show: (message: ShownMessage) => void }} view
 * @returns {{ element: HTMLElement, isLookingBack: (message: ShownMessage) => boolean, update: (message: ShownMessage) => void }}
 */
export function messageActions(chat, { element: article, body, show }) {
  /** @type {ShownMessage} */
  let shown;
  /** The message as it stands, whatever version is looked at. @type {ShownMessage} */
  let current;
  /** What stood here, oldest first, once it was asked for. @type {ShownMessage[] | undefined} */
  let versions;

  /**
   * @param {string} text
   * @param {() => unknown} onclick
   * @param {string} [label]
   */
  const button = (text, onclick, label) =>
    el("button.small", { type: "button", onclick, "aria-label": label, title: label }, text);
  /** @param {() => unknown} act */
  const whenIdle = (act) => () => (chat.running ? notify("A reply is being written. Stop it first.") : act());

  /** @param {string} [model] */
  const again = (model) =>
    chat.replace(
      article,
      { trigger: "regenerate-message", ...(current.id && { messageId: current.id }), ...(model && { model }) },
      (error) => chat.box.giveBack("", error),
      (current.versions ?? 1) + 1,
    );
  const withAnother = async () => {
    const model = await dialog("Again with another model", (close) =>
      form({
        content: field("Model", modelPicker("model", chat.known, { chosen: current.metadata?.model }).control),
        submit: "Ask again",
        cancel: close,
        send: async ({ model }) => close(model),
      }),
    );
    if (model) await again(model);
  };

  /**
   * Opens the text in place.
   * @param {string} text
   * @param {any} [error]
   */
  const edit = (text, error) => {
    const box = el("textarea", { rows: 3, "aria-label": "Edit message", value: text });
    const close = () => {
      editor.remove();
      body.hidden = element.hidden = false;
    };
    const editor = el(
      "form.editor",
      { "aria-label": "Edit" },
      box,
      error && el("p.alert", { role: "alert" }, sentence(error.message)),
      h("p.hint", "What follows is kept as another version."),
      h(
        "div.actions",
        button("Cancel", () => cancel()),
        el("button.small.primary", { type: "submit" }, "Send"),
      ),
    );
    const cancel = () => {
      close();
      change.focus();
    };
    const send = () => {
      if (!box.value.trim()) return;
      if (chat.running) return void whenIdle(() => {})();
      close();
      const before = current;
      const parts = [...current.parts.filter(({ type }) => type !== "text"), { type: "text", text: box.value }];
      show({ ...current, parts, versions: (current.versions ?? 1) + 1 });
      const { id } = current;
      chat.replace(
        article.nextElementSibling,
        { messageId: id, messages: [{ id, role: "user", parts }] },
        (/** @type {any} */ error) => {
          show(before);
          edit(box.value, error);
        },
      );
    };
    editor.addEventListener("submit", (event) => {
      event.preventDefault();
      send();
    });
    box.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") cancel();
      else if (event.key === "Enter" && !event.shiftKey) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    body.hidden = element.hidden = true;
    body.after(editor);
    box.focus();
  };

  const path = () =>
    `/sessions/${encodeURIComponent(chat.session.id)}/messages/${encodeURIComponent(current.id ?? "")}`;
  /** @param {number} step */
  const turn = async (step) => {
    /** @type {ShownMessage[]} */
    const list = (versions ??= (await call("GET", `${path()}/versions`, undefined, chat)).items);
    const last = list.length - 1;
    const at = (shown.isOlder ? list.findIndex(({ version }) => version === shown.version) : last) + step;
    if (at >= 0 && at <= last)
      show(at === last ? current : { ...list[at], id: current.id, versions: list.length, isOlder: true });
    (step < 0 ? [back, on] : [on, back]).find((button) => !button.disabled)?.focus();
  };
  const place = () => (shown.isOlder && shown.version) || shown.versions || 1;
  const restore = async () => {
    await call("POST", `${path()}/restore`, { version: shown.version }, chat);
    await chat.showHistory();
    chat.view.messages.focus();
  };

  const copy = copyButton(() => textOf(shown));
  const repeat = [
    button(
      "Again",
      whenIdle(() => again()),
    ),
    button("▾", whenIdle(withAnother), "Again with another model"),
  ];
  const change = button(
    "Edit",
    whenIdle(() => edit(textOf(current))),
  );
  change.classList.add("edit");
  const count = h("span");
  const back = button("‹", () => turn(-1), "Version before");
  const on = button("›", () => turn(1), "Version after");
  const nav = h("span.versions", back, count, on);
  const earlier = h("p.earlier-version", "An earlier version. ", button("Go on from here", whenIdle(restore)));
  const element = h("div.message-actions", earlier, copy, repeat, change, nav);
  return {
    element,
    // Whoever looks at an earlier version stays there while nothing is new.
    isLookingBack: ({ id, versions }) => !!shown.isOlder && id === current.id && versions === current.versions,
    update(message) {
      shown = message;
      if (!message.isOlder) {
        // Its versions are another list once it was asked again.
        if (current?.id !== message.id || current?.versions !== message.versions) versions = undefined;
        current = message;
      }
      const isMine = message.role === "user";
      const isDone = message.state !== "arriving";
      const many = message.versions ?? 1;
      element.hidden = !isDone;
      copy.hidden = textOf(message) === "";
      for (const one of repeat) one.hidden = isMine || !!message.isOlder;
      change.hidden = !isMine || !message.id || !!message.isOlder;
      earlier.hidden = !message.isOlder;
      nav.hidden = many < 2;
      count.textContent = `${place()}/${many}`;
      back.disabled = place() <= 1;
      on.disabled = place() >= many;
    },
  };
}
