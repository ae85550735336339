// @ts-check

// The messages, where they scroll: who reads at the end stays there, and who reads elsewhere is never moved.

import { el, fill, h } from "../lib/dom.js";

/** How near to the end the reader must be for the page to follow what arrives. */
const NEAR_END_PX = 80;

/**
 * The element that scrolls, the one that holds it, and what keeps their word. `newest()` brings the end onto the page.
 * @param {() => unknown} newest
 */
export function scroller(newest) {
  const messages = el("div.messages", { role: "region", "aria-label": "Messages", tabindex: "0" });
  const down = el("button.down", { type: "button", hidden: true });
  /** Height that has arrived below, unseen. */
  let fresh = 0;
  let isAtEnd = true;

  const look = () => {
    isAtEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < NEAR_END_PX;
    if (isAtEnd) fresh = 0;
    const lines = Math.round(fresh / parseFloat(getComputedStyle(messages).lineHeight));
    const said = lines > 0 ? `To the end, ${lines} new ${lines === 1 ? "line" : "lines"}` : "To the end";
    if (isAtEnd && document.activeElement === down) messages.focus({ preventScroll: true });
    down.hidden = isAtEnd;
    if (down.getAttribute("aria-label") === said) return;
    down.setAttribute("aria-label", said);
    fill(down, lines > 0 ? `↓ ${lines}` : "↓");
  };
  const toEnd = () => {
    messages.scrollTop = messages.scrollHeight;
    look();
  };
  down.addEventListener("click", async () => {
    await newest();
    toEnd();
  });
  messages.addEventListener("scroll", look, { passive: true });
  // A keyboard that comes up, or a box that grows, hides nothing of the end.
  new ResizeObserver(() => isAtEnd && toEnd()).observe(messages);
  return {
    element: h("div.scroller", messages, down),
    messages,
    toEnd,
    /**
     * Does what may make the messages longer; a reader at the end stays there.
     * @param {() => void} work
     */
    keepingTheEnd(work) {
      const before = messages.scrollHeight;
      const follows = isAtEnd;
      work();
      if (follows) return toEnd();
      fresh += Math.max(0, messages.scrollHeight - before);
      return look();
    },
    /**
     * Does what changes something above; not a line moves.
     * @param {() => void} work
     */
    keepingThePlace(work) {
      const fromEnd = messages.scrollHeight - messages.scrollTop;
      work();
      messages.scrollTop = messages.scrollHeight - fromEnd;
    },
  };
}
