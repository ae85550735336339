// @ts-check

// Calls that wait for a person's answer, looked at whenever their number changes.

import { call } from "./api.js";
import { happenings } from "./events.js";

/** As many as are listed; of more it is said that there are more. */
const LISTED_MAX = 100;

/** @type {Set<(list: Items<CallToAnswer>) => unknown>} */
const listeners = new Set();
/** @type {Items<CallToAnswer> | undefined} */
let latest;
/** @type {AbortController | undefined} */
let looking;

/** Begins to look. */
export function watch() {
  happenings(({ type, waiting }) => {
    const isKnown = waiting === 0 && latest?.items.length === 0;
    if (type === "resync" || (type === "approvals" && !isKnown)) look();
  }, new AbortController().signal);
  return look();
}

/**
 * Tells `listener` of each look, and at once of the last, until `signal` ends it.
 * @param {(list: Items<CallToAnswer>) => unknown} listener
 * @param {AbortSignal} signal
 */
export function listen(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (latest) listener(latest);
}

/** Looks now; gives the error of a look that failed. */
export async function look() {
  looking?.abort();
  looking = new AbortController();
  const { signal } = looking;
  try {
    // Whose sign-in has ended is asked for the password by what they do, not by a look.
    const list = await call("GET", `/approvals?status=waiting&limit=${LISTED_MAX}`, undefined, { asks: false, signal });
    if (signal.aborted) return undefined;
    latest = list;
    for (const listener of listeners) listener(list);
  } catch (error) {
    if (!signal.aborted) return error;
  }
  return undefined;
}
