// @ts-check

// The frame of a session: its title and what can be done with it, the messages, the raw stream.

import { dialog } from "../lib/dialog.js";
import { copyButton, el, h } from "../lib/dom.js";
import { menu } from "../lib/menu.js";
import { announcer } from "./announcer.js";
import { scroller } from "./scroll.js";

/**
 * The elements of a chat, and what happens to them. `curl()` and `raw()` give text; `rename` and `remove` do it.
 * @param {{ session?: Api.Session, box: HTMLElement, lost: HTMLElement, newest: () => unknown, curl: () => string, raw: () => string, save: (kind: "md" | "json") => unknown, print: () => unknown, pin: () => unknown, rename: () => unknown, remove: () => unknown }} options
 */
export function chatView({ session, box, lost, newest, curl, raw, save, print, pin, rename, remove }) {
  const title = h("h2", session?.label ?? "New chat");
  const scrolled = scroller(newest);
  const stream = el("pre.raw", { tabindex: "0", role: "region", "aria-label": "Raw stream", hidden: true });
  const offer = h("div.offer");
  const spoken = announcer();
  const showRaw = () => {
    if (stream.hidden) return;
    stream.textContent = raw() || "Nothing has been streamed on this page yet.";
    stream.scrollTop = stream.scrollHeight;
  };
  /**
   * @param {string} text
   * @param {() => unknown} onclick
   * @param {Attributes} [attributes]
   */
  const button = (text, onclick, attributes) => el("button", { type: "button", onclick, ...attributes }, text);
  const toggle = button(
    "Raw stream",
    () => {
      stream.hidden = !stream.hidden;
      toggle.setAttribute("aria-pressed", String(!stream.hidden));
      showRaw();
    },
    { "aria-pressed": "false" },
  );
  const pinning = button("Pin", pin, { hidden: !session });
  const ofSession = [
    pinning,
    button("Save as Markdown", () => save("md"), { hidden: !session }),
    button("Save as JSON", () => save("json"), { hidden: !session }),
    button("Print", print, { hidden: !session }),
    button("Rename", rename, { hidden: !session }),
    button("Delete", remove, { hidden: !session, class: "danger" }),
  ];
  const actions = menu("Session actions", [button("Show as curl", () => showCurl(curl())), toggle, ofSession]);
  const back = el("a.back", { href: "#sessions", "aria-label": "All sessions" }, "‹");
  return {
    ...scrolled,
    element: el(
      "section.chat",
      { "aria-label": "Session" },
      h("header", back, title, actions),
      scrolled.element,
      stream,
      lost,
      offer,
      spoken.element,
      box,
    ),
    title,
    pinning,
    offer,
    spoken,
    showRaw,
    /** @param {Api.Session} session */
    made({ label }) {
      title.textContent = label;
      for (const button of ofSession) button.hidden = false;
    },
  };
}

/** @param {string} command */
function showCurl(command) {
  return dialog(
    "The same request with curl",
    (close) => [
      h("p", "Set ", h("code", "ALM_KEY"), " to an API key. ", h("code", "-N"), " shows each event as it arrives."),
      h(
        "div.copyable",
        el("pre", { tabindex: "0", role: "region", "aria-label": "Command" }, command),
        copyButton(() => command, "Copy command"),
      ),
      h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "Close")),
    ],
    { wide: true },
  );
}
