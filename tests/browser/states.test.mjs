// Every state of the pages fits the narrowest screen. With ALM_PICTURES and ALM_PICTURES_ALL set, each is also shot on every
// screen, light and dark, into that folder; ALM_STATES names the only ones to go through.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startEmpty } from "../clients/alm.mjs";
import { SCREENS, withPage } from "./browser.mjs";
import { startOwned } from "./person.mjs";
import { DOORS, EMPTY, FIRST, STATES, fillIn } from "./states.mjs";

const PICTURES = process.env.ALM_PICTURES_ALL && process.env.ALM_PICTURES;
/** As many as there were when every state was last looked at. */
const STATES_MIN = 52;

let alm;
let first;
let empty;
let session;

before(async () => {
  [alm, first, empty] = await Promise.all([startOwned({ upstream: true }), startOwned(), startEmpty()]);
  await alm.signedIn(async (page) => (session = await fillIn(page)));
  if (PICTURES) await mkdir(PICTURES, { recursive: true });
});
after(() => Promise.all([alm, first, empty].map((one) => one?.stop())));

async function shoot(page, state) {
  for (const [screen, size] of Object.entries(SCREENS)) {
    await page.setViewportSize(size);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const path = join(PICTURES, `${state}-${screen}-${colorScheme}.png`);
      await page.screenshot({ path, animations: "disabled", caret: "hide" });
    }
  }
}

/** Goes through these states, and says which are wider than the narrowest screen. */
async function through(states, page) {
  const world = { alm, session, ends: [] };
  const wide = [];
  const only = process.env.ALM_STATES?.split(",");
  try {
    for (const [state, reach] of Object.entries(states)) {
      if (only && !only.includes(state)) continue;
      await page.setViewportSize(SCREENS.desktop);
      await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
      await reach(page, world).catch((cause) => {
        throw new Error(`${state} is not reached: ${cause.message}`, { cause });
      });
      await page.setViewportSize(SCREENS.narrow);
      const over = await page.evaluate(() => {
        const root = document.documentElement;
        const within = [...document.querySelectorAll("dialog[open], main")].filter(
          (it) => it.scrollWidth > it.clientWidth && getComputedStyle(it).overflowX !== "visible",
        );
        return Math.max(root.scrollWidth - innerWidth, ...within.map((it) => it.scrollWidth - it.clientWidth));
      });
      const astray = await page
        .locator(".badge")
        .evaluateAll((all) =>
          all.filter((badge) => getComputedStyle(badge).position !== "static").map((badge) => badge.textContent),
        );
      assert.deepEqual(astray, [], `${state}: badges that are not beside their names`);
      if (over > 0) wide.push(`${state}: ${over} px`);
      if (PICTURES) await shoot(page, state);
    }
  } finally {
    for (const end of world.ends) end();
  }
  assert.deepEqual(wide, []);
}

test("there are as many states as are looked at", () => {
  const names = [STATES, FIRST, DOORS, EMPTY].flatMap(Object.keys);
  assert.ok(names.length >= STATES_MIN, `${names.length} states`);
  assert.equal(new Set(names).size, names.length);
});

test("no state of an organization where something has happened scrolls sideways", async () => {
  await alm.signedIn((page) => through(STATES, page));
});

test("no state of a new organization scrolls sideways", async () => {
  await first.signedIn((page) => through(FIRST, page));
});

test("no door scrolls sideways", async () => {
  await withPage(alm.base, (page) => through(DOORS, page));
  await withPage(empty.base, (page) => through(EMPTY, page));
});
