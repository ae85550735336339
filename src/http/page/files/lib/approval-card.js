// @ts-check

// A call that waits for an answer: what would run, and the buttons that say yes or no.
//
// Rule: the input is shown whole, as text. What a reader does not see in a text, or sees elsewhere than it is, is spelled out.

import { call } from "./api.js";
import { busy, el, fill, h, newId } from "./dom.js";
import { field, sentence, textarea } from "./form.js";
import { count, moment, number } from "./format.js";
import { look } from "./inbox.js";

/** A longer input says how long it is. */
const LONG_CHARS = 2_000;

/** What turns the direction of a text around, takes no room, or draws nothing. */
const UNSEEN =
  /[\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\u{e0000}-\u{e0fff}]/gu;

/**
 * A value as a person can check it.
 * @param {unknown} value
 */
export const inPlainSight = (value) =>
  (JSON.stringify(value ?? null, null, 2) ?? "null").replace(
    UNSEEN,
    (sign) => `\\u{${(sign.codePointAt(0) ?? 0).toString(16)}}`,
  );

/**
 * The card, `update(waiting)` for what is known of the call later, and `settle(text)` for one that waits no longer. `decided` is called
 * with what the server answered, that in words, and the reason of a no.
 * @param {CallToAnswer | WaitingCall} waiting
 * @param {{ isOwner: boolean, head: Child, label: string, decided: (answer: CallAnswer, text: string, reason?: string) => unknown }} options
 */
export function approvalCard(waiting, { isOwner, head, label, decided }) {
  const text = inPlainSight(waiting.input);
  const facts = h("p.quiet");
  const alert = el("p.alert", { role: "alert", hidden: true });
  const reason = textarea("reason", { rows: 2, maxlength: "1000" });
  const buttons = h("div.card-actions");
  const refusal = el("div.refusal", { hidden: true });
  const id = newId();
  let isOpen = true;
  /**
   * @param {HTMLElement} button
   * @param {string} working
   * @param {{ approved: boolean, reason?: string, remember?: "session" }} decision
   */
  const decide = (button, working, decision) =>
    busy(button, working, async () => {
      alert.hidden = true;
      try {
        const answer = await call("POST", `/approvals/${waiting.approvalId}`, decision);
        const text = said(decision.approved, answer);
        settle(text);
        decided(answer, text, decision.reason);
      } catch (error) {
        alert.textContent = sentence(error.message);
        alert.hidden = false;
      }
      look();
    });
  /**
   * @param {string} name
   * @param {string} text
   * @param {(button: any) => unknown} act
   */
  const button = (name, text, act) =>
    el(
      name,
      { type: "button", "aria-label": `${text} ${label}`, onclick: (/** @type {any} */ event) => act(event.target) },
      text,
    );
  const askWhy = () => {
    refusal.hidden = false;
    buttons.hidden = true;
    reason.focus();
  };
  const unask = () => {
    refusal.hidden = true;
    buttons.hidden = false;
    buttons.querySelector("button")?.focus();
  };
  fill(
    refusal,
    field("Reason", reason, "The agent reads it. It may stay empty."),
    h(
      "div.actions",
      button("button", "Cancel", unask),
      button("button.danger", "Deny", (pressed) =>
        decide(pressed, "Denying…", { approved: false, reason: reason.value.trim() || undefined }),
      ),
    ),
  );
  const mayAllow = () => isOwner || waiting.policy !== "owner";
  const showButtons = () =>
    fill(
      buttons,
      mayAllow() &&
        button("button.small.primary", "Allow", (pressed) => decide(pressed, "Allowing…", { approved: true })),
      waiting.policy !== "owner" &&
        button("button.small", "Allow in this session", (pressed) =>
          decide(pressed, "Allowing…", { approved: true, remember: "session" }),
        ),
      button("button.small.danger", "Deny…", askWhy),
    );
  const showFacts = () =>
    fill(
      facts,
      waiting.askedAt && ["Asked ", moment(waiting.askedAt)],
      waiting.expiresAt && [", expires ", moment(waiting.expiresAt)],
      waiting.askedAt && ". ",
      waiting.policy === "owner" && (isOwner ? "Only an owner may allow it." : "An owner has to allow it."),
    );
  /** @param {string} text */
  const settle = (text) => {
    isOpen = false;
    const hadFocus = element.contains(document.activeElement);
    refusal.remove();
    buttons.hidden = false;
    fill(buttons, h("p", text));
    if (hadFocus) element.focus();
  };
  const element = el(
    "article.approval",
    { "aria-labelledby": id, tabindex: "-1" },
    el("div", { id }, head),
    facts,
    el("pre.input", { tabindex: "0", role: "region", "aria-label": `Input of ${label}` }, text),
    text.length > LONG_CHARS && h("p.quiet", `${number(text.length)} characters: scroll to read all of them.`),
    alert,
    buttons,
    refusal,
  );
  showFacts();
  showButtons();
  return {
    element,
    settle,
    get isOpen() {
      return isOpen;
    },
    /** @param {CallToAnswer} known */
    update(known) {
      if (!isOpen) return;
      const wasPolicy = waiting.policy;
      waiting = known;
      showFacts();
      if (known.policy !== wasPolicy) showButtons();
    },
  };
}

/**
 * @param {boolean} approved
 * @param {CallAnswer} answer
 */
function said(approved, { remaining, resumed, refusal }) {
  const verb = approved ? "Allowed" : "Denied";
  return remaining > 0
    ? `${verb}. ${count(remaining, "more call waits", "more calls wait")} before the reply goes on.`
    : `${verb}. ${resumed ? "The reply goes on." : (refusal ?? "The reply goes on shortly.")}`;
}
