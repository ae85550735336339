// @ts-check

// The line to the server: what could not be reached is tried until it is, and said after a second.
//
// Rule: nothing is given up here. Only the person ends it, or an answer of the server's own.

import { el, fill } from "../lib/dom.js";

/** How long a cut goes unsaid. */
const NOTICE_MS = 1_000;
/** The pauses between tries; the last one for ever. */
const PAUSES_MS = [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000];
/** How long one try may take to be answered. */
const TRY_MS = 10_000;

/**
 * Whether the server was not reached, or what stands before it said so.
 * @param {any} error
 */
export const isCut = ({ status, code }) => status === 0 || (status >= 502 && status <= 504 && code === "UNKNOWN");

/**
 * The line of one chat, and the element that speaks of it.
 * @param {AbortSignal} signal
 */
export function line(signal) {
  const words = el("span", { role: "status" });
  let wake = () => {};
  const now = el("button.small", { type: "button", onclick: () => wake() }, "Now");
  const element = el("div.lost", { hidden: true }, words, now);
  addEventListener("online", () => wake(), { signal });
  document.addEventListener("visibilitychange", () => document.hidden || wake(), { signal });
  return {
    element,
    /**
     * What `attempt` gives as soon as the server answers it, be it with an error. `said` is shown meanwhile, `end` gives up;
     * `tries` were in vain already. An attempt that `isPatient` is not ended before it is answered.
     * @template T
     * @param {(signal: AbortSignal) => Promise<T>} attempt
     * @param {{ said: string, end: AbortSignal, tries?: number, isPatient?: boolean }} options
     */
    async until(attempt, { said, end, tries = 0, isPatient = false }) {
      const notice = setTimeout(() => {
        element.hidden = false;
        fill(words, said);
      }, NOTICE_MS);
      try {
        for (; ; tries++) {
          if (tries > 0) await pause(PAUSES_MS[Math.min(tries, PAUSES_MS.length) - 1], end);
          end.throwIfAborted();
          const one = new AbortController();
          if (!isPatient) wake = () => one.abort();
          const limit = setTimeout(() => wake(), TRY_MS);
          try {
            return await attempt(AbortSignal.any([end, one.signal]));
          } catch (error) {
            if (end.aborted || !(one.signal.aborted || isCut(error))) throw error;
            if (one.signal.aborted) tries = -1;
          } finally {
            clearTimeout(limit);
            wake = () => {};
          }
        }
      } finally {
        clearTimeout(notice);
        element.hidden = true;
        fill(words);
      }
    },
  };

  /**
   * @param {number} ms
   * @param {AbortSignal} end
   */
  function pause(ms, end) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => resolve(clearTimeout(timer));
      end.addEventListener("abort", wake);
    });
  }
}
