// @ts-check

// /invite#CODE: whoever is invited chooses a password, or signs in with theirs. The code is in the fragment, which browsers do not
// send along.

import { call } from "./lib/api.js";
import { byId, el, fill, h } from "./lib/dom.js";
import { field, form, input } from "./lib/form.js";
import { strength } from "./lib/strength.js";

const main = byId("main");
const body = h("div.door-body", h("p.quiet", "Looking up your invitation…"));
main.append(body);

async function start() {
  const code = location.hash.slice(1);
  try {
    show(code, await call("POST", "/auth/invitation", { code }, { asks: false }));
  } catch (error) {
    const closed = error.status === 403;
    fill(
      body,
      h("h1", closed ? "This invitation no longer works" : "This could not be loaded"),
      h("p.lead", closed ? "It works once, within seven days. Ask whoever invited you for a new link." : error.message),
      closed
        ? el("a", { href: "/login" }, "Sign in")
        : el("button.primary", { type: "button", onclick: start }, "Try again"),
    );
  }
}

/**
 * @param {string} code
 * @param {Api.InvitationShown} invitation
 */
function show(code, { orgSlug, email, role, hasPassword }) {
  const password = input("password", {
    type: "password",
    autocomplete: hasPassword ? "current-password" : "new-password",
  });
  fill(
    body,
    h("h1", `Join ${orgSlug}`),
    h("p.lead", `You are invited as ${role === "owner" ? "an owner" : "a member"}.`),
    form({
      content: [
        field("E-mail", input("email", { type: "email", autocomplete: "username", value: email, readonly: true })),
        field(hasPassword ? "Your password on this server" : "Choose a password", password),
        hasPassword ? null : strength(password),
      ],
      submit: hasPassword ? "Sign in and join" : "Join",
      working: "Joining…",
      send: async ({ password }) => {
        await call("POST", "/auth/join", { code, password }, { asks: false });
        location.replace(`/${orgSlug}/settings`);
      },
    }),
  );
  password.focus();
}

// Another link, pasted into the same tab, is another invitation.
addEventListener("hashchange", start);
start();
