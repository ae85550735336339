// A fresh Chromium for one test, which counts what a page of ours must never do.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** Where the server under test is, and who calls it. `tests/run` starts the server and sets them. */
export const server = {
  url: needed("ALM_URL").replace(/\/$/, ""),
  key: needed("ALM_KEY"),
  org: needed("ALM_ORG"),
};

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** Runs `use(page, seen)` in a browser with an empty profile; `seen` lists requests to other hosts and broken policies. */
export async function withPage(use) {
  const profile = await mkdtemp(join(tmpdir(), "alm-browser-"));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.ALM_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  try {
    const seen = { otherHosts: [], violations: [], errors: [] };
    const page = await browser.newPage();
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && url.origin !== new URL(server.url).origin) seen.otherHosts.push(url.href);
    });
    page.on("pageerror", (error) => seen.errors.push(String(error)));
    await page.exposeFunction("violated", (violation) => seen.violations.push(violation));
    await page.addInitScript(() =>
      document.addEventListener("securitypolicyviolation", (event) =>
        window.violated(`${event.violatedDirective}: ${event.blockedURI}`),
      ),
    );
    await use(page, seen);
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  }
}
