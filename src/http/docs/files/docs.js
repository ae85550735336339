// @ts-check

// Swagger UI over /openapi.json, with additions of our own: a key that every call sends, or the sign-in that this browser
// has, and replies shown while they stream.
//
// Rule: the key lives in its input field and nowhere else, and goes to this origin only.
// Rule: what a server sent is set as text, never as HTML.

import { live } from "./live.js";
import { parts } from "./parts.js";

const key = /** @type {HTMLInputElement} */ (document.getElementById("key"));
const org = /** @type {HTMLInputElement} */ (document.getElementById("org"));
const caller = /** @type {HTMLElement} */ (document.getElementById("caller"));
const settings = /** @type {HTMLAnchorElement} */ (document.getElementById("settings"));

/**
 * Adds the key, and the organization unless the operation's own field names one.
 * @param {any} request
 */
function sign(request) {
  if (new URL(request.url, location.href).origin !== location.origin) return request;
  if (key.value.trim()) request.headers.Authorization = `Bearer ${key.value.trim()}`;
  if (org.value.trim()) request.headers["X-Alumia-Org"] ??= org.value.trim();
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

key.addEventListener("input", describeCaller);
org.addEventListener("input", describeCaller);
// A browser may bring typed text back after a reload; without this the line beside it would be wrong.
describeCaller();
recogniseSignIn();

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [live, parts],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  syntaxHighlight: false, // its colours are its own
  validatorUrl: null, // its default sends the document to a third party
  requestInterceptor: sign,
});
