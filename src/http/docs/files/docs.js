// @ts-check

// Swagger UI over /openapi.json, with additions of our own: a key that every call sends, or the sign-in that this browser
// has, and replies shown while they stream.
//
// Rule: the key lives in its input field and nowhere else, and goes to this origin only.
// Rule: what a server sent is set as text, never as HTML.

import { live } from "/docs/live.js";

const key = /** @type {HTMLInputElement} */ (document.getElementById("key"));
const org = /** @type {HTMLInputElement} */ (document.getElementById("org"));
const caller = /** @type {HTMLElement} */ (document.getElementById("caller"));
const settings = /** @type {HTMLAnchorElement} */ (document.getElementById("settings"));

/**
 * Adds the key and the organization, unless the Authorize dialog has already set a header.
 * @param {any} request
 */
function sign(request) {
  if (new URL(request.url, location.href).origin !== location.origin) return request;
  const named = Object.keys(request.headers).map((name) => name.toLowerCase());
  /**
   * @param {string} name
   * @param {string} value
   */
  const add = (name, value) => {
    if (value && !named.includes(name.toLowerCase())) request.headers[name] = value;
  };
  add("Authorization", key.value.trim() && `Bearer ${key.value.trim()}`);
  add("X-Alumia-Org", org.value.trim());
  return request;
}

/**
 * Who is signed in with this browser; undefined until the server has said so.
 * @type {Api.Me | undefined}
 */
let me;

function describeCaller() {
  const slug = org.value.trim();
  const inOrg = slug ? ` and organization ${slug}` : "";
  if (key.value.trim()) caller.textContent = `Every call sends this key${inOrg}. Reloading the page forgets it.`;
  else if (me)
    caller.textContent = `Signed in as ${me.user.email}: every call uses this sign-in${inOrg}. A key takes precedence.`;
  else caller.textContent = "No key and not signed in: calls are anonymous.";
  const home = slug && me ? `/${encodeURIComponent(slug)}/settings` : "/login";
  settings.href = home;
  settings.textContent = me ? "Settings" : "Sign in";
}

async function recogniseSignIn() {
  const response = await fetch("/api/v1/auth/me").catch(() => undefined);
  if (response?.ok) me = (await response.json()).data;
  if (me && !org.value) org.value = me.orgs[0]?.slug ?? "";
  describeCaller();
}

/** @param {{ matches: boolean }} dark */
function followColorScheme(dark) {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

key.addEventListener("input", describeCaller);
org.addEventListener("input", describeCaller);
// A browser may bring typed text back after a reload; without this the line beside it would be wrong.
describeCaller();
recogniseSignIn();

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", followColorScheme);
followColorScheme(dark);

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [live],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null, // its default sends the document to a third party
  requestInterceptor: sign,
});
