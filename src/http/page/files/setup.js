// @ts-check

// /setup#CODE: the first organization and its owner. The code is in the fragment, which browsers do not send along.

import { call } from "./lib/api.js";
import { byId, h } from "./lib/dom.js";
import { field, form, input, FieldError } from "./lib/form.js";
import { strength } from "./lib/strength.js";

const code = input("code", { value: location.hash.slice(1), spellcheck: "false", required: true });
const slug = input("orgSlug", {
  placeholder: "acme",
  spellcheck: "false",
  autocapitalize: "none",
  maxlength: "64",
  autofocus: true,
});
const password = input("password", { type: "password", autocomplete: "new-password" });
const meter = strength(password);

const address = h("output", `${location.origin}/acme/settings`);
slug.addEventListener("input", () => {
  address.textContent = `${location.origin}/${slug.value.trim() || "acme"}/settings`;
});

const codeField = field("Setup code", code, "The part after # in the link that alm serve printed.");
codeField.hidden = code.value !== "";

const page = form({
  content: [
    codeField,
    field("Organization", slug, ["Its settings will be at ", address]),
    field("Your e-mail", input("email", { type: "email", autocomplete: "username" })),
    field("Password", password),
    meter,
  ],
  submit: "Set up alm",
  working: "Setting up…",
  send: async ({ code, orgSlug, email, password }) => {
    if (!code.trim()) throw new FieldError("code", "Open the link that alm serve printed, or paste its code here.");
    const values = { code: code.trim(), orgSlug: orgSlug.trim(), email: email.trim(), password };
    try {
      await call("POST", "/auth/setup", values, { asks: false });
    } catch (error) {
      // The code may be the one that is wrong, so it has to be seen.
      if (!error.details?.fields) codeField.hidden = false;
      throw error;
    }
    location.replace(`/${values.orgSlug}/settings`);
  },
});

byId("main").append(h("h1", "Welcome"), h("p.lead", "Three fields, and your own agent platform is ready."), page);
slug.focus();
