// Swagger UI over /openapi.json, with two things of our own: a key that rides on every call, and replies shown while
// they stream.
//
// Rule: the key lives in its input field and nowhere else, and goes to this origin only.
// Rule: what a server sent is set as text, never as HTML.

import { live } from "/docs/live.js";

const key = document.getElementById("key");
const org = document.getElementById("org");

/** Adds the key and the organization, unless the Authorize dialog has already set a header. */
function sign(request) {
  if (new URL(request.url, location.href).origin !== location.origin) return request;
  const named = Object.keys(request.headers).map((name) => name.toLowerCase());
  const add = (name, value) => {
    if (value && !named.includes(name.toLowerCase())) request.headers[name] = value;
  };
  add("Authorization", key.value.trim() && `Bearer ${key.value.trim()}`);
  add("X-Alumia-Org", org.value.trim());
  return request;
}

function describeCaller() {
  const slug = org.value.trim();
  document.getElementById("caller").textContent = key.value.trim()
    ? `Every call carries this key${slug ? ` and ${slug}` : ""}. Reloading forgets it.`
    : "No key: calls are anonymous.";
  document.getElementById("settings").href = slug ? `/${encodeURIComponent(slug)}/settings` : "/login";
}

function followColorScheme(dark) {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

key.addEventListener("input", describeCaller);
org.addEventListener("input", describeCaller);
// A browser may bring typed text back after a reload; without this the line above it would be wrong.
describeCaller();

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
