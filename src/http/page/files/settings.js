// @ts-check

// /{org}/settings: who is here, the sections, and which of them is shown.
//
// The section is in the fragment (`#sessions/ID`), so links, the back button and a reload work without the server.

import { call, caller, ApiError } from "./lib/api.js";
import { busy, byId, el, fill, h, notify } from "./lib/dom.js";
import { listen, watch } from "./lib/inbox.js";
import { listenForKeys, showKeys } from "./lib/palette.js";
import { mayLeave } from "./lib/leave.js";
import { failure } from "./lib/states.js";
import { setTheme, theme } from "./lib/theme.js";

/**
 * By the first word of the fragment. Each is loaded when it is opened, shows itself in `page.main`, and may return a function that
 * follows the rest of the fragment. Calls take the page as their options: its `signal` ends them when the section is left.
 * @type {Record<string, { title: string, ofOwner?: boolean, show: (page: Page) => Promise<Follow | void> }>}
 */
const SECTIONS = {
  keys: { title: "API keys", show: async (page) => (await import("./sections/keys.js")).keys(page) },
  models: { title: "Models", show: async (page) => (await import("./sections/models/models.js")).models(page) },
  agents: { title: "Agents", show: async (page) => (await import("./sections/agents.js")).agents(page) },
  tools: { title: "Tools", show: async (page) => (await import("./sections/tools/tools.js")).tools(page) },
  sessions: { title: "Sessions", show: async (page) => (await import("./sections/sessions.js")).sessions(page) },
  approvals: {
    title: "Approvals",
    show: async (page) => (await import("./sections/approvals/approvals.js")).approvals(page),
  },
  requests: {
    title: "Requests",
    show: async (page) => (await import("./sections/requests.js")).requests(page),
  },
  usage: { title: "Usage", show: async (page) => (await import("./sections/usage.js")).usage(page) },
  people: {
    title: "People",
    ofOwner: true,
    show: async (page) => (await import("./sections/people.js")).people(page),
  },
  audit: { title: "Audit", ofOwner: true, show: async (page) => (await import("./sections/audit.js")).audit(page) },
  account: { title: "Account", show: async (page) => (await import("./sections/account.js")).account(page) },
};

const main = byId("main");
const nav = byId("sections");
const links = Object.entries(SECTIONS).map(([name, { title }]) => el("a", { href: `#${name}` }, title));
fill(
  nav,
  h(
    "ul",
    links.map((link) => h("li", link)),
  ),
);

/** @type {Api.Me} */
let me;
/** @type {{ name: string, leave: AbortController, follow?: Follow | void } | undefined} */
let shown;

async function start() {
  try {
    me = await call("GET", "/auth/me");
  } catch (error) {
    if (error.status === 401)
      return location.replace(`/login?next=${encodeURIComponent(location.pathname + location.hash)}`);
    return fill(main, failure(error, start));
  }
  const slug = decoded(location.pathname.split("/")[1]);
  const org = me.orgs.find((org) => org.slug === slug);
  showOrgs(slug);
  if (!org) return fill(main, nowhere(slug));
  Object.assign(caller, { org: slug, email: me.user.email });
  addEventListener("hashchange", async ({ oldURL }) => {
    if (!(await mayLeave())) return history.replaceState(null, "", oldURL);
    return show(org.role, { moved: true });
  });
  Object.values(SECTIONS).forEach(({ ofOwner = false }, at) => (links[at].hidden = ofOwner && org.role !== "owner"));
  if (me.recording) showRecording(me.recording);
  showCount();
  listenForKeys(ways);
  return show(org.role, { moved: false });
}

/** What Ctrl K leads to, besides what the API knows. */
function ways() {
  const next = theme() === "dark" ? "light" : "dark";
  return [
    ...links
      .filter((link) => !link.hidden)
      .map((link) => ({ kind: "Section", text: link.textContent, run: () => (location.hash = link.hash) })),
    { kind: "Action", text: "New chat", run: () => (location.hash = "#sessions/new") },
    { kind: "Action", text: `Use ${next} colours`, run: () => setTheme(next) },
    { kind: "Action", text: "Show the keys", run: showKeys },
    { kind: "Action", text: "Open the API docs", run: () => location.assign("/docs/") },
    { kind: "Action", text: "Sign out", run: () => byId("sign-out").click() },
  ];
}

/**
 * Whoever writes here is told that it is recorded.
 * @param {string} file
 */
function showRecording(file) {
  const said = `Recording: what people write and models answer goes to ${file}.`;
  nav.before(el("p.recording", { role: "note" }, said));
}

/** Beside the link to the approvals stands how many wait. */
function showCount() {
  const link = links.find((link) => link.getAttribute("href") === "#approvals");
  const badge = el("span.count", { hidden: true });
  const said = el("span.away", { role: "status" });
  link?.append(" ", badge);
  document.body.append(said);
  let shown = "0";
  listen(({ items, hasMore }) => {
    const number = `${items.length}${hasMore ? "+" : ""}`;
    if (number === shown) return;
    const isMore = items.length > Number.parseInt(shown);
    shown = number;
    badge.hidden = items.length === 0;
    fill(badge, number, h("span.away", " waiting"));
    fill(said, isMore && `${number} waiting for approval`);
  }, new AbortController().signal);
  watch();
}

/**
 * A part of the address, which anyone can write; as it stands where it means nothing.
 * @param {string} text
 */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string} slug */
function showOrgs(slug) {
  const others = me.orgs.filter((org) => org.slug !== slug);
  const chosen = h("strong", slug);
  if (others.length === 0) return fill(byId("orgs"), chosen);
  const choice = el(
    "select",
    { "aria-label": "Organization" },
    [{ slug }, ...others].map((org) => el("option", { value: org.slug }, org.slug)),
  );
  choice.addEventListener("change", () => location.assign(`/${choice.value}/settings`));
  return fill(byId("orgs"), choice);
}

/** @param {string} slug */
const nowhere = (slug) => [
  h("h1", "No access to this organization"),
  h("p", `${me.user.email} is not a member of ${slug}, or no organization has that name.`),
  h(
    "ul",
    me.orgs.map((org) => h("li", el("a", { href: `/${org.slug}/settings` }, org.slug))),
  ),
];

/**
 * @param {Api.Role} role
 * @param {{ moved: boolean }} how
 */
async function show(role, { moved }) {
  const [first, ...rest] = location.hash.slice(1).split("/").map(decoded);
  const name = Object.hasOwn(SECTIONS, first) ? first : "keys";
  if (shown?.name === name && shown.follow) return shown.follow(rest);
  shown?.leave.abort();
  const section = SECTIONS[name];
  const leave = new AbortController();
  const isOwner = role === "owner";
  const page = { main, me, role, slug: caller.org, rest, isOwner, signal: leave.signal };
  shown = { name, leave };
  document.title = `${section.title} · ${caller.org} · alm`;
  document.body.dataset.section = name;
  for (const link of links) {
    const isCurrent = link.getAttribute("href") === `#${name}`;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (isCurrent) link.scrollIntoView({ block: "nearest", inline: "center" });
  }
  if (moved) main.focus({ preventScroll: true });
  return showSection(section, page);
}

/**
 * @param {{ title: string, show: (page: Page) => Promise<Follow | void> }} section
 * @param {Page} page
 */
async function showSection(section, page) {
  const here = shown;
  try {
    const follow = await section.show(page);
    if (here) here.follow = follow;
  } catch (error) {
    if (page.signal.aborted) return;
    // A section's modules come when it is opened: without a server they do not.
    const isAway = error instanceof TypeError && /module/.test(error.message);
    if (isAway) error.message = "Cannot reach the server: try again.";
    else if (!(error instanceof ApiError)) throw error;
    fill(
      main,
      h("h1", section.title),
      failure(error, () => showSection(section, page)),
    );
  }
}

byId("sign-out").addEventListener("click", (event) =>
  busy(/** @type {HTMLElement} */ (event.currentTarget), "Signing out…", async () => {
    try {
      await call("POST", "/auth/logout", undefined, { asks: false });
    } catch (error) {
      // Whose sign-in has ended is signed out already.
      if (error.status !== 401) throw error;
    }
    location.assign("/login");
  }),
);

// Its fragment would take the section's place in the address.
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

// An error is shown where the call was made, if there is a place for it, and here if there is none.
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault();
  if (!(event.reason instanceof ApiError)) return;
  event.preventDefault();
  notify(event.reason.message);
});

start();
