// A fresh Chromium for one test, which counts what a page of ours must never do.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { chromium } from "playwright-core";

/** The screens that pages are looked at on. */
export const SCREENS = {
  narrow: { width: 320, height: 640 },
  phone: { width: 360, height: 740 },
  sideways: { width: 844, height: 390 },
  tablet: { width: 768, height: 1024 },
  desktop: { width: 1280, height: 800 },
  wide: { width: 1920, height: 1080 },
};

/** How long anything may take before a test gives up on it. */
const PATIENCE_MS = 90_000;

/**
 * Runs `use(page)` in a browser with an empty profile. Afterwards it must have asked no host but that of `base`, broken no
 * content security policy and thrown no error. `use` is given what was seen of that, for the test that provokes it.
 */
export async function withPage(base, use, { screen = "desktop", ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "alm-browser-"));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.ALM_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    viewport: SCREENS[screen],
    baseURL: base,
    ...options,
  });
  browser.setDefaultTimeout(PATIENCE_MS);
  try {
    if (process.env.ALM_PAGE_FILES) await fromDisk(browser, process.env.ALM_PAGE_FILES);
    const seen = { otherHosts: [], violations: [], errors: [] };
    const page = await browser.newPage();
    browser.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && url.origin !== new URL(base).origin) seen.otherHosts.push(url.href);
    });
    page.on("pageerror", (error) => seen.errors.push(String(error)));
    await page.exposeFunction("violated", (violation) => seen.violations.push(violation));
    await page.addInitScript(() =>
      document.addEventListener("securitypolicyviolation", (event) =>
        window.violated(`${event.violatedDirective}: ${event.blockedURI}`),
      ),
    );
    const provoked = await use(page, seen);
    if (provoked !== PROVOKED) assert.deepEqual(seen, { otherHosts: [], violations: [], errors: [] });
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  }
}

const TYPES = {
  html: "text/html",
  css: "text/css",
  js: "text/javascript",
  svg: "image/svg+xml",
  json: "application/json",
};

/** The pages' files as they lie in `folder`, the pages with the headers that the binary gives them: a change needs no build. */
async function fromDisk(browser, folder) {
  const docs = /\/docs\/(?:[0-9a-f]{16}\/)?([a-z]+\.(?:css|js))$/;
  await browser.route(
    (url) => docs.test(url.pathname),
    (route) => route.fulfill({ path: join(folder, "../../docs/files", docs.exec(route.request().url())[1]) }),
  );
  const named = /\/_page\/(?:[0-9a-f]{16}\/)?(.+)$|\/(login|setup|invite)$|\/(settings)$/;
  await browser.route(
    (url) => named.test(url.pathname),
    async (route) => {
      const [, file, door, settings] = new URL(route.request().url()).pathname.match(named);
      const name = file ?? `${door ?? settings}.html`;
      const packed = () => readFile(join(folder, `${name}.gz`)).then(gunzipSync);
      let body = await readFile(join(folder, name))
        .catch(packed)
        .catch(() => null);
      if (name.endsWith(".html"))
        body = String(body).replace("<!-- head.html -->", await readFile(join(folder, "head.html")));
      if (!body) return route.continue();
      const contentType = `${TYPES[name.split(".").at(-1)]}; charset=utf-8`;
      if (file) return route.fulfill({ body, contentType });
      const { "if-none-match": _, ...headers } = route.request().headers();
      const response = await route.fetch({ headers });
      // A server that is set up answers with another page.
      if (door === "setup" && !(await response.text()).includes("/setup.js")) return route.fulfill({ response });
      await route.fulfill({ response, body, contentType });
    },
  );
}

/** What a test answers that has itself done what a page must not. */
export const PROVOKED = Symbol("provoked");
