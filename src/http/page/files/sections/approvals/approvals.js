// @ts-check

// Approvals: the calls that wait for an answer, and what was allowed, by whom and when.

import { approvalCard } from "../../lib/approval-card.js";
import { el, fill, h, notify } from "../../lib/dom.js";
import { happenings } from "../../lib/events.js";
import { listen, look } from "../../lib/inbox.js";
import { failure, loading, nothing } from "../../lib/states.js";
import { callLog } from "./call-log.js";

/**
 * Shows the section.
 * @param {Page} page
 */
export async function approvals(page) {
  const waiting = h("div", loading(1));
  const log = callLog(page);
  fill(
    page.main,
    h("h1", "Approvals"),
    h("p.lead", "Calls of tools that wait for a person. A call that is not answered within 7 days is not run."),
    waiting,
    h("div.head", h("h2", "What was called"), log.filter),
    log.element,
  );
  listen(inbox(waiting, page, log), page.signal);
  // A call that runs ends with its turn at the latest.
  happenings(() => log.moves && log.reload(), page.signal);
  const again = async () => {
    const error = await look();
    if (error) fill(waiting, failure(error, again));
  };
  await Promise.all([again(), log.reload()]);
}

/**
 * Keeps the cards in `element`: one that is being answered stays as it is while others come and go.
 * @param {HTMLElement} element
 * @param {Page} page
 * @param {ReturnType<typeof callLog>} log
 */
function inbox(element, page, log) {
  /** @type {Map<string, { item: HTMLElement, card: ReturnType<typeof approvalCard> }>} */
  const cards = new Map();
  const list = el("ul.cards", { "aria-label": "Waiting calls" });
  const more = h("p.quiet");
  const none = nothing("No call waits", "When an agent wants to call a tool that needs an answer, it is shown here.");
  /** @param {CallToAnswer} waiting */
  const add = (waiting) => {
    const card = approvalCard(waiting, {
      isOwner: page.isOwner,
      label: waiting.toolName,
      head: headOf(waiting),
      decided: (_, text) => {
        notify(text);
        log.reload();
      },
    });
    const item = h("li.card", card.element);
    cards.set(waiting.approvalId, { item, card });
    return item;
  };
  return (/** @type {Items<CallToAnswer>} */ { items, hasMore }) => {
    const ids = new Set(items.map(({ approvalId }) => approvalId));
    const left = [...cards].filter(([id]) => !ids.has(id));
    const focused = left.some(([, { item }]) => item.contains(document.activeElement));
    for (const [id, { item }] of left) {
      item.remove();
      cards.delete(id);
    }
    // The list has the newest first; who waits longest is answered first.
    for (const waiting of items.toReversed()) {
      const known = cards.get(waiting.approvalId);
      if (known) known.card.update(waiting);
      else list.append(add(waiting));
    }
    more.textContent = hasMore ? "More wait; they are shown when these are answered." : "";
    const shown = cards.size > 0 ? list : none;
    if (shown.parentElement !== element) fill(element, shown, more);
    if (left.length > 0 || log.moves) log.reload();
    if (focused) /** @type {HTMLElement} */ (list.querySelector("article") ?? page.main).focus();
  };
}

/** @param {CallToAnswer} waiting */
const headOf = ({ sessionId, sessionLabel, agentName, toolName }) => [
  h("h2", agentName ?? "An agent", " asks to call ", h("code", toolName)),
  h("p.quiet", "in ", el("a", { href: `#sessions/${encodeURIComponent(sessionId)}` }, sessionLabel || "a session")),
];
