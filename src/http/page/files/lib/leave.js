// @ts-check

// What was typed and not saved: whoever goes somewhere else is asked first.

import { ask } from "./dialog.js";

/** @type {(() => boolean) | undefined} */
let hasChanges;

/**
 * From now on leaving asks while `changed()`, until the signal ends it.
 * @param {() => boolean} changed
 * @param {AbortSignal} signal
 */
export function guard(changed, signal) {
  hasChanges = changed;
  signal.addEventListener("abort", () => hasChanges === changed && (hasChanges = undefined));
  addEventListener("beforeunload", (event) => changed() && event.preventDefault(), { signal });
}

/** Whether nothing is lost, or the person lets it go. */
export async function mayLeave() {
  if (!hasChanges?.()) return true;
  return ask("Leave without saving?", "What you changed here is not saved.", "Leave");
}
