// @ts-check

// Calls that wait for a person's answer, looked at again and again while the page can be seen.

import { call } from "./api.js";

const LOOK_MS = 5_000;
/** As many as are listed; of more it is said that there are more. */
const LISTED_MAX = 100;

/** @type {Set<(list: Items<CallToAnswer>) => unknown>} */
const listeners = new Set();
/** @type {Items<CallToAnswer> | undefined} */
let latest;
/** @type {AbortController | undefined} */
let looking;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Begins to look. */
export function watch() {
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
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

/** Looks now; gives the error of a look that failed. The next may succeed. */
export async function look() {
  /** @type {any} */
  let failed;
  clearTimeout(timer);
  looking?.abort();
  looking = new AbortController();
  const { signal } = looking;
  try {
    const list = await call("GET", `/approvals?status=waiting&limit=${LISTED_MAX}`, undefined, { asks: false, signal });
    if (signal.aborted) return undefined;
    latest = list;
    for (const listener of listeners) listener(list);
  } catch (error) {
    if (signal.aborted) return undefined;
    failed = error;
  }
  // Whose sign-in has ended is asked for the password by what they do, not by a look.
  if (!document.hidden && failed?.status !== 401) timer = setTimeout(look, LOOK_MS);
  return failed;
}
