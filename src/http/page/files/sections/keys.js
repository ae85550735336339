// @ts-check

// API keys: the list, and a key's life: created, shown once, replaced, revoked.
//
// Rule: a key is in one dialog, until the person says that it is stored, and after that nowhere in this page.

import { call } from "../lib/api.js";
import { chatCurl, snippets } from "../lib/curl.js";
import { ask, dialog } from "../lib/dialog.js";
import { copyButton, el, fill, h, notify } from "../lib/dom.js";
import { checkbox, field, form, input, select, FieldError } from "../lib/form.js";
import { count, day, microcents, moment, money, USD } from "../lib/format.js";
import { loading, nothing } from "../lib/states.js";
import { tabs } from "../lib/tabs.js";

const SCOPES = {
  read: "Read: list and read everything",
  chat: "Chat: use sessions and get replies; enough for the quickstart",
  write: "Write: change agents and projects",
};

/** Days until a key expires. */
const EXPIRIES = [
  ["", "Never"],
  ["7", "In 7 days"],
  ["30", "In 30 days"],
  ["90", "In 90 days"],
  ["365", "In a year"],
];
/** Seconds that an old key works beside its successor. */
const OVERLAPS = [
  ["0", "Immediately"],
  ["3600", "In an hour"],
  ["86400", "In a day"],
  ["604800", "In a week"],
];

const DAY_MS = 86_400_000;
/** What a card tells of, in days. */
const SPAN_DAYS = 30;

/**
 * Shows the section.
 * @param {Page} page
 */
export async function keys(page) {
  const list = h("div", loading());
  /** @returns {Promise<unknown>} */
  const create = () => createKey(page).then((made) => (made ? reload() : undefined));
  fill(
    page.main,
    h("div.head", h("h1", "API keys"), el("button.primary", { type: "button", onclick: create }, "Create key")),
    h(
      "p.lead",
      "A key lets your program call the API. Keep it on a server, never in a web page, an app or a repository.",
    ),
    list,
  );
  const reload = async () => {
    const from = new Date(Date.now() - SPAN_DAYS * DAY_MS).toISOString();
    const [keys, used] = await Promise.all([
      call("GET", `/api-keys${page.isOwner ? "?all=true" : ""}`, undefined, page),
      call("GET", `/billing/usage?groupBy=key&from=${from}`, undefined, page).catch(() => null),
    ]);
    show(list, { keys: keys.items, used: used?.items, page, reload }, create);
  };
  await reload();
}

/**
 * What the cards are made of.
 * @typedef {{ keys: Api.ApiKey[], used?: Api.UsageGroup[], page: Page, reload: () => Promise<void> }} Shown
 */

/**
 * @param {HTMLElement} list
 * @param {Shown} shown
 * @param {() => unknown} create
 */
function show(list, shown, create) {
  if (shown.keys.length === 0) return fill(list, welcome(create));
  return fill(
    list,
    h(
      "ul.cards",
      shown.keys.map((key) => h("li.card", card(key, shown))),
    ),
  );
}

/** @param {() => unknown} create */
const welcome = (create) => [
  nothing(
    "Create your first key",
    "Then the quickstart works as written: list agents, create a session, stream a reply.",
    el("button.primary", { type: "button", onclick: create }, "Create key"),
  ),
  h("h2.after", "Or look around first"),
  h(
    "ul.steps",
    h(
      "li",
      el("a", { href: "#sessions/new" }, "Chat with Ala"),
      " in the playground. The built-in model needs no setup.",
    ),
    h(
      "li",
      el("a", { href: "#models" }, "Connect a model"),
      ": Ollama, llama.cpp, or any server with an OpenAI-compatible API.",
    ),
    h("li", el("a", { href: "/docs/" }, "Read the API docs"), " and try each operation there."),
  ),
];

/**
 * @param {Api.ApiKey} key
 * @param {Shown} shown
 */
function card(key, { used, page, reload }) {
  const isMine = key.email === page.me.user.email;
  /**
   * @param {string} verb
   * @param {(key: Api.ApiKey, page: Page) => Promise<boolean>} work
   * @param {string} [kind]
   */
  const action = (verb, work, kind = "button.small") =>
    el(
      kind,
      {
        type: "button",
        onclick: () => work(key, page).then((done) => (done ? reload() : undefined)),
        "aria-label": `${verb} ${key.name}`,
      },
      verb,
    );
  return [
    h(
      "div.card-head",
      h("h2", key.name),
      h(`span.badge.${key.env}`, key.env),
      !isMine && h("span.quiet", key.email),
      h(
        "div.card-actions",
        action("Edit", edit),
        isMine && action("Rotate", rotate),
        action("Revoke", revoke, "button.small.danger"),
      ),
    ),
    spending(key, used),
    h(
      "dl.facts",
      fact("Starts with", h("code", `${key.prefix}…`)),
      fact("Scopes", key.scopes.join(", ")),
      fact("Created", moment(key.createdAt)),
      fact("Last used", [moment(key.lastUsedAt), key.lastAddress && ` from ${key.lastAddress}`]),
      fact("Expires", moment(key.expiresAt)),
    ),
  ];
}

/**
 * Who spent this: the key's part of what all of them cost, and how much of its month is gone.
 * @param {Api.ApiKey} key
 * @param {Api.UsageGroup[] | undefined} used what they cost, where it could be had
 */
function spending(key, used) {
  const own = used?.find((group) => group.key === key.id);
  const all = used?.reduce((sum, group) => sum + group.costMicrocents, 0) ?? 0;
  const { costMicrocents = 0, turns = 0 } = own ?? {};
  const { monthlyLimitMicrocents: limit = null, spentThisMonthMicrocents: spent } = key;
  return h(
    "div.spending",
    used &&
      bar(
        `${money(costMicrocents)} for ${count(turns, "request")} in ${SPAN_DAYS} days`,
        all > 0 ? `${Math.round((100 * costMicrocents) / all)} % of all` : "",
        costMicrocents,
        all,
      ),
    limit !== null &&
      bar(`${money(spent)} of ${money(limit)} this month`, spent >= limit ? "Limit reached" : "", spent, limit),
  );
}

/**
 * @param {string} text
 * @param {string} note
 * @param {number} value
 * @param {number} most
 */
const bar = (text, note, value, most) =>
  h(
    "div",
    h("p", text, note && h("span.quiet", ` · ${note}`)),
    el("meter", { min: 0, max: Math.max(1, most), value: Math.min(value, most), "aria-label": text }),
  );

/**
 * @param {string} term
 * @param {Child} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", value));

/** @param {Attributes} attributes */
const nameInput = (attributes) => input("name", { maxlength: "120", autofocus: true, ...attributes });

/** @param {number | null} limit */
const limitField = (limit) =>
  field(
    "Monthly limit in US dollars",
    input("monthlyLimitMicrocents", {
      inputmode: "decimal",
      value: limit === null ? "" : String(limit / USD),
      placeholder: "No limit",
    }),
    "Past it, paid models are refused until the first of the next month (UTC). A rotated key keeps limit and month.",
  );

/** @param {string | undefined} typed absent: there is no such field */
function limitOf(typed) {
  if (typed === undefined) return undefined;
  if (!typed.trim()) return null;
  const amount = microcents(typed);
  if (amount === undefined) throw new FieldError("monthlyLimitMicrocents", "Enter an amount such as 10 or 0.50.");
  return amount;
}

/** @param {Page} page */
async function createKey(page) {
  const made = await dialog("Create key", (close) =>
    form({
      content: [
        field(
          "Name",
          nameInput({ placeholder: "My back end" }),
          "Where it will be used, so that you recognize it later.",
        ),
        field(
          "Environment",
          select("env", [
            ["live", "Live"],
            ["test", "Test: costs nothing; the built-in model replies in place of paid ones"],
          ]),
        ),
        h(
          "fieldset",
          h("legend", "Scopes"),
          Object.entries(SCOPES).map(([scope, text]) => checkbox("scopes", scope, text, true)),
        ),
        field("Expires", select("days", EXPIRIES)),
        page.isOwner && limitField(null),
      ],
      submit: "Create key",
      working: "Creating…",
      cancel: close,
      send: async ({ name, env, scopes, days, monthlyLimitMicrocents: typed }) => {
        if (!name.trim()) throw new FieldError("name", "Enter a name.");
        if (scopes.length === 0) throw new Error("Choose at least one scope.");
        const expiresAt = days ? new Date(Date.now() + days * DAY_MS).toISOString() : undefined;
        const monthlyLimitMicrocents = limitOf(typed);
        close(await call("POST", "/api-keys", { name: name.trim(), env, scopes, expiresAt, monthlyLimitMicrocents }));
      },
    }),
  );
  if (made) await reveal(made, "Your new key");
  return made !== undefined;
}

/**
 * Shows a key for the only time.
 * @param {Api.NewApiKey} made
 * @param {string} title
 */
async function reveal(made, title) {
  const key = el("code.secret", { tabindex: "0" }, made.key);
  const ways = { curl: chatCurl({ key: made.key }), ...snippets(made.key) };
  /** @param {[string, string]} way */
  const shown = ([name, text]) => [
    name,
    () =>
      h(
        "div.copyable",
        el("pre", { tabindex: "0", role: "region", "aria-label": name }, text),
        copyButton(() => text, name === "curl" ? "Copy command" : "Copy"),
      ),
  ];
  await dialog(
    title,
    (close) => [
      h("p", "This key is shown only once, because only its hash is stored. Copy it now to where it will be used."),
      h(
        "div.copyable",
        key,
        copyButton(() => made.key, "Copy key"),
      ),
      h("h3", "Try it"),
      tabs("Try it with", Object.fromEntries(Object.entries(ways).map(shown))),
      h("p.hint", "The API is Alumia's, hence the header's name. It names the organization, and may be left out."),
      h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "I have stored it")),
    ],
    { mustAnswer: true, wide: true },
  );
}

/**
 * @param {Api.ApiKey} key
 * @param {Page} page
 */
async function edit(key, page) {
  const { monthlyLimitMicrocents: limit = null } = key;
  const kept = ["keep", key.expiresAt ? `As it is: ${day(key.expiresAt)}` : "As it is: never"];
  const done = await dialog(`Edit ${key.name}`, (close) =>
    form({
      content: [
        field("Name", nameInput({ value: key.name })),
        field("Expires", select("days", [kept, ...EXPIRIES])),
        page.isOwner && limitField(limit),
      ],
      submit: "Save",
      cancel: close,
      send: async ({ name, days, monthlyLimitMicrocents: typed }) => {
        if (!name.trim()) throw new FieldError("name", "Enter a name.");
        /** @type {Record<string, unknown>} */
        const change = { name: name.trim() };
        if (days !== "keep") change.expiresAt = days ? new Date(Date.now() + days * DAY_MS).toISOString() : null;
        const amount = limitOf(typed);
        if (amount !== undefined && amount !== limit) change.monthlyLimitMicrocents = amount;
        close(await call("PATCH", `/api-keys/${key.id}`, change));
      },
    }),
  );
  if (done) notify(`Saved ${done.name}.`);
  return done !== undefined;
}

/** @param {Api.ApiKey} key */
async function rotate(key) {
  const made = await dialog(`Rotate ${key.name}`, (close) =>
    form({
      content: [
        h(
          "p",
          "This creates a new key with the same name and scopes. The old key works until the time below, so that nothing breaks in between.",
        ),
        field("The old key expires", select("overlapSeconds", OVERLAPS, "86400")),
      ],
      submit: "Create new key",
      working: "Creating…",
      cancel: close,
      send: async ({ overlapSeconds }) =>
        close(await call("POST", `/api-keys/${key.id}/rotate`, { overlapSeconds: Number(overlapSeconds) })),
    }),
  );
  if (made) await reveal(made, `New key for ${made.name}`);
  return made !== undefined;
}

/** @param {Api.ApiKey} key */
async function revoke(key) {
  const yes = await ask(
    `Revoke ${key.name}?`,
    "Programs that use it stop working immediately. This cannot be undone.",
    "Revoke key",
  );
  if (!yes) return false;
  await call("DELETE", `/api-keys/${key.id}`);
  notify(`Revoked ${key.name}.`);
  return true;
}
