// What every state of a page must be: without a finding of axe's, and no wider than the screen.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds serious, and whether the page is wider than the screen. */
export async function assertSound(page, where, { within } = {}) {
  await page.evaluate(AXE);
  // Preloading would put a style of its own into the page, which the policy refuses.
  const { violations } = await page.evaluate(
    // Preloading would put a style of its own into the page, which the policy refuses.
    (within) => window.axe.run(within ?? document, { resultTypes: ["violations"], preload: false }),
    within,
  );
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  assert.deepEqual(
    serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(", ")}`),
    [],
    where,
  );
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${where} is ${overflow} px too wide`);
}
