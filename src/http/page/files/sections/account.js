// @ts-check

// The account: the password, and where the person is signed in.

import { call } from "../lib/api.js";
import { browserName } from "../lib/browser-name.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { field, form, input } from "../lib/form.js";
import { moment } from "../lib/format.js";
import { loading } from "../lib/states.js";
import { strength } from "../lib/strength.js";
import { setTheme, theme } from "../lib/theme.js";

/**
 * Shows the section.
 * @param {Page} page
 */
export async function account(page) {
  const list = h("div", loading(2));
  fill(
    page.main,
    h("div.head", h("h1", "Account")),
    h("p.lead", "Signed in as ", h("strong", page.me.user.email), `, ${page.role} of ${page.slug}.`),
    h("h2", "Colours"),
    themes(),
    h("h2", "Password"),
    passwordForm(page.me),
    h("h2", "Where you are signed in"),
    list,
  );
  const reload = async () => {
    const { items } = await call("GET", "/auth/sessions", undefined, page);
    fill(
      list,
      h(
        "ul.cards",
        items.map((/** @type {Api.SignIn} */ signIn) => h("li.card", card(signIn, reload))),
      ),
    );
  };
  await reload();
}

const THEMES = { system: "As the system", light: "Light", dark: "Dark" };

/** This browser's choice of colours. */
const themes = () =>
  el(
    "fieldset.choices",
    { "aria-label": "Colours" },
    Object.entries(THEMES).map(([value, text]) =>
      h(
        "label.check",
        el("input", {
          type: "radio",
          name: "theme",
          value,
          checked: value === theme(),
          onchange: () => setTheme(value),
        }),
        h("span", text),
      ),
    ),
  );

/**
 * @param {Api.SignIn} signIn
 * @param {() => Promise<void>} reload
 */
function card(signIn, reload) {
  const isHere = signIn.current;
  const end = async () => {
    await call("DELETE", `/auth/sessions/${signIn.id}`);
    notify("Signed out that browser.");
    await reload();
  };
  return [
    h(
      "div.card-head",
      h("h3", isHere ? "This browser" : "Another browser"),
      h(
        "div.card-actions",
        !isHere &&
          el(
            "button.small.danger",
            { type: "button", onclick: end, "aria-label": "Sign out that browser" },
            "Sign out",
          ),
      ),
    ),
    h(
      "dl.facts",
      h("div", h("dt", "Since"), h("dd", moment(signIn.createdAt))),
      h("div", h("dt", "Last seen"), h("dd", moment(signIn.lastSeenAt))),
      signIn.userAgent && h("div", h("dt", "Browser"), h("dd", browserName(signIn.userAgent))),
    ),
  ];
}

/** @param {Api.Me} me */
function passwordForm(me) {
  const fresh = input("newPassword", { type: "password", autocomplete: "new-password" });
  const element = form({
    content: [
      el("input", { type: "hidden", autocomplete: "username", value: me.user.email }),
      field("Current password", input("currentPassword", { type: "password", autocomplete: "current-password" })),
      field("New password", fresh),
      strength(fresh),
    ],
    submit: "Change password",
    working: "Changing…",
    send: async (values) => {
      await call("POST", "/auth/password", values);
      element.reset();
      fresh.dispatchEvent(new Event("input"));
      notify("Password changed.");
    },
  });
  return element;
}
