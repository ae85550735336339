// @ts-check

// /login: e-mail and password, then on to where the person wanted to go.

import { call } from "./lib/api.js";
import { byId, el, h } from "./lib/dom.js";
import { field, form, input } from "./lib/form.js";

/**
 * An address of this server, whatever the address bar says: whole, since a path of it could be another server's address.
 * @param {Api.Me} me
 */
function wanted(me) {
  const next = new URLSearchParams(location.search).get("next");
  const target = next && URL.canParse(next, location.origin) ? new URL(next, location.origin) : undefined;
  // A blob has the origin of the page that made it.
  if (target?.origin === location.origin && target.protocol === location.protocol) return target.href;
  return me.orgs.length > 0 ? `/${me.orgs[0].slug}/settings` : "/docs/";
}

/** @param {Api.Me} me */
const go = (me) => location.replace(wanted(me));

const page = form({
  content: [
    field("E-mail", input("email", { type: "email", autocomplete: "username", autofocus: true, required: true })),
    field("Password", input("password", { type: "password", autocomplete: "current-password", required: true })),
  ],
  submit: "Sign in",
  working: "Signing in…",
  send: async ({ email, password }) => {
    await call("POST", "/auth/login", { email: email.trim(), password }, { asks: false });
    go(await call("GET", "/auth/me"));
  },
});

byId("main").append(
  h("h1", "Sign in"),
  page,
  h("p.quiet", "First time here? Open the link that ", h("code", "alm serve"), " printed when it started."),
  h("p.quiet", el("a", { href: "/docs/" }, "API documentation")),
);
/** @type {HTMLElement | null} */ (page.querySelector("[name=email]"))?.focus();

// Those who are signed in already need not do it again.
call("GET", "/auth/me", undefined, { asks: false }).then(go, () => {});
