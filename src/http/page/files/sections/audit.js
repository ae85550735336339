// @ts-check

// Audit: who changed keys, money, providers, tools and people, and who signed in. For owners.

import { call } from "../lib/api.js";
import { browserName } from "../lib/browser-name.js";
import { busy, el, fill, h } from "../lib/dom.js";
import { field, select } from "../lib/form.js";
import { moment } from "../lib/format.js";
import { loading, nothing, table } from "../lib/states.js";

const FAMILIES = [
  ["", "Everything"],
  ["key", "Keys"],
  ["money", "Money"],
  ["provider", "Providers"],
  ["tool", "Tools"],
  ["person", "People"],
  ["sign_in", "Sign-ins"],
];
/** @type {Record<string, string>} */
const DONE = {
  "key.created": "Created a key",
  "key.changed": "Changed a key",
  "key.rotated": "Rotated a key",
  "key.revoked": "Revoked a key",
  "money.deposited": "Added to the balance",
  "provider.added": "Added a provider",
  "provider.changed": "Changed a provider",
  "provider.removed": "Removed a provider",
  "provider.default_changed": "Chose the default model",
  "tool.added": "Added a tool",
  "tool.changed": "Changed a tool",
  "tool.removed": "Removed a tool",
  "tool.server_added": "Added an MCP server",
  "tool.server_changed": "Changed an MCP server",
  "tool.server_removed": "Removed an MCP server",
  "person.invited": "Invited",
  "person.uninvited": "Withdrew an invitation",
  "person.joined": "Joined",
  "person.role_changed": "Changed a role",
  "person.removed": "Removed",
  "sign_in.began": "Signed in",
  "sign_in.ended": "Signed out",
  "sign_in.password_changed": "Changed the password",
};

/**
 * Shows the section.
 * @param {Page} page
 */
export async function audit(page) {
  const list = h("div", loading());
  const kind = select("kind", FAMILIES);
  kind.addEventListener("change", () => show(list, kind.value, page));
  fill(page.main, h("div.head", h("h1", "Audit")), field("Show", kind), list);
  await show(list, "", page);
}

/**
 * @param {HTMLElement} list
 * @param {string} kind
 * @param {Page} page
 */
async function show(list, kind, page) {
  const rows = h("tbody");
  const more = el("button.small", { type: "button", hidden: true }, "Show more");
  /** @type {string | null} */
  let cursor = null;
  const next = async () => {
    const query = `?limit=50${kind && `&kind=${kind}`}${cursor ? `&cursor=${cursor}` : ""}`;
    const { items, nextCursor } = await call("GET", `/audit${query}`, undefined, page);
    rows.append(...items.map(row));
    cursor = nextCursor;
    more.hidden = !nextCursor;
  };
  more.addEventListener("click", () => busy(more, "Loading…", next));
  await next();
  if (rows.childElementCount === 0) return fill(list, nothing("Nothing yet", "Nobody has done anything of this kind."));
  return fill(list, table("Audit", "table.audit", ["When", "Who", "What", "Details"], [], rows), more);
}

/** @param {Api.AuditItem} entry */
const row = ({ at, email, via, kind, target }) =>
  h(
    "tr",
    h("td", moment(at)),
    h("td", email ?? "Command line", via === "key" && " (by key)"),
    h("td", DONE[kind] ?? kind),
    h("td", kind.startsWith("sign_in.") ? browserName(target) : target),
  );
