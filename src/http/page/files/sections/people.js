// @ts-check

// People: who is in the organization, who is invited, and what each may do. For owners.

import { call } from "../lib/api.js";
import { ask, dialog } from "../lib/dialog.js";
import { copyButton, el, fill, h, notify } from "../lib/dom.js";
import { field, form, input, select } from "../lib/form.js";
import { moment } from "../lib/format.js";
import { loading } from "../lib/states.js";

const ROLES = [
  ["member", "Member"],
  ["owner", "Owner"],
];

/**
 * Shows the section.
 * @param {Page} page
 */
export async function people(page) {
  const list = h("div", loading());
  const reload = async () => {
    const [members, invitations] = await Promise.all([
      call("GET", "/members", undefined, page),
      call("GET", "/invitations", undefined, page),
    ]);
    fill(
      list,
      h(
        "ul.cards",
        members.items.map((/** @type {Api.Member} */ one) => h("li.card", memberCard(one, page, reload))),
      ),
      invitations.items.length > 0 && h("h2.after", "Invited"),
      invitations.items.length > 0 &&
        h(
          "ul.cards",
          invitations.items.map((/** @type {Api.Invitation} */ one) => h("li.card", invitationCard(one, reload))),
        ),
    );
  };
  fill(
    page.main,
    h(
      "div.head",
      h("h1", "People"),
      el(
        "button.primary",
        { type: "button", onclick: () => invite().then((done) => (done ? reload() : undefined)) },
        "Invite",
      ),
    ),
    h("p.lead", "Everyone here uses the same agents, models and balance. Each has their own keys and password."),
    list,
  );
  await reload();
}

/**
 * @param {Api.Member} member
 * @param {Page} page
 * @param {() => Promise<void>} reload
 */
function memberCard({ userId, email, role, createdAt, canSignIn }, page, reload) {
  const isMe = userId === page.me.user.id;
  const other = role === "owner" ? "member" : "owner";
  const change = async () => {
    if (isMe && !(await ask("Give up ownership?", "You will no longer see people, money and providers.", "Give up")))
      return;
    await call("PATCH", `/members/${userId}`, { role: other });
    notify(`${email} is now ${other === "owner" ? "an owner" : "a member"}.`);
    if (isMe) location.reload();
    else await reload();
  };
  const remove = async () => {
    const text = "Their keys here stop working and they are signed out, immediately. What they made stays.";
    if (!(await ask(`Remove ${email}?`, text, "Remove"))) return;
    await call("DELETE", `/members/${userId}`);
    notify(`Removed ${email}.`);
    if (isMe) location.assign("/login");
    else await reload();
  };
  return [
    h(
      "div.card-head",
      h("h2", email),
      h("span.badge", role),
      isMe && h("span.quiet", "you"),
      h(
        "div.card-actions",
        el(
          "button.small",
          { type: "button", onclick: change, "aria-label": `Make ${other}: ${email}` },
          `Make ${other}`,
        ),
        el(
          "button.small.danger",
          { type: "button", onclick: remove, "aria-label": `${isMe ? "Leave" : "Remove"}: ${email}` },
          isMe ? "Leave" : "Remove",
        ),
      ),
    ),
    h("p.quiet", "Since ", moment(createdAt), !canSignIn && ". Has no password yet: invite them again."),
  ];
}

/**
 * @param {Api.Invitation} invitation
 * @param {() => Promise<void>} reload
 */
function invitationCard({ id, email, role, invitedBy, expiresAt }, reload) {
  const withdraw = async () => {
    await call("DELETE", `/invitations/${id}`);
    notify(`Withdrew the invitation of ${email}.`);
    await reload();
  };
  return [
    h(
      "div.card-head",
      h("h3", email),
      h("span.badge", role),
      h(
        "div.card-actions",
        el(
          "button.small.danger",
          { type: "button", onclick: withdraw, "aria-label": `Withdraw the invitation of ${email}` },
          "Withdraw",
        ),
      ),
    ),
    h("p.quiet", `Invited by ${invitedBy}. The link expires `, moment(expiresAt), "."),
  ];
}

async function invite() {
  /** @type {Api.NewInvitation | undefined} */
  const made = await dialog("Invite somebody", (close) =>
    form({
      content: [
        field("E-mail", input("email", { type: "email", autofocus: true })),
        field("Role", select("role", ROLES)),
        h(
          "p.hint",
          "A member has keys and sessions of their own. An owner also sees to money, providers, tools and people.",
        ),
        h("p.hint", "You get a link to send them. It works once, within seven days."),
      ],
      submit: "Create link",
      working: "Creating…",
      cancel: close,
      send: async ({ email, role }) => close(await call("POST", "/invitations", { email: email.trim(), role })),
    }),
  );
  if (!made) return false;
  const link = location.origin + made.url;
  await dialog(
    `Invitation for ${made.email}`,
    (close) => [
      h("p", "Send this link to them. It is shown only this once, and works once, within seven days."),
      h(
        "div.copyable",
        el("code.secret", { tabindex: "0" }, link),
        copyButton(() => link, "Copy link"),
      ),
      h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "Done")),
    ],
    { mustAnswer: true, wide: true },
  );
  return true;
}
