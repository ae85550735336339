// @ts-check

// API keys: the list, and a key's life: created, shown once, replaced, revoked.
//
// Rule: a key is in one dialog, until the person says that it is stored, and after that nowhere in this page.

import { call } from "../lib/api.js";
import { chatCurl } from "../lib/curl.js";
import { ask, dialog } from "../lib/dialog.js";
import { copyButton, el, fill, h, notify } from "../lib/dom.js";
import { checkbox, field, form, input, select, FieldError } from "../lib/form.js";
import { moment } from "../lib/format.js";
import { loading, nothing } from "../lib/states.js";

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

/**
 * Shows the section.
 * @param {Page} page
 */
export async function keys(page) {
  const list = h("div", loading());
  /** @returns {Promise<unknown>} */
  const create = () => createKey().then((made) => (made ? reload() : undefined));
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
    show(list, (await call("GET", "/api-keys", undefined, page)).items, reload, create);
  };
  await reload();
}

/**
 * @param {HTMLElement} list
 * @param {Api.ApiKey[]} keys
 * @param {() => Promise<void>} reload
 * @param {() => unknown} create
 */
function show(list, keys, reload, create) {
  if (keys.length === 0) return fill(list, welcome(create));
  return fill(
    list,
    h(
      "ul.cards",
      keys.map((key) => h("li.card", card(key, reload))),
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
 * @param {() => Promise<void>} reload
 */
function card(key, reload) {
  /** @param {(key: Api.ApiKey) => Promise<boolean>} work */
  const again = (work) => work(key).then((done) => (done ? reload() : undefined));
  return [
    h(
      "div.card-head",
      h("h2", key.name),
      h(`span.badge.${key.env}`, key.env),
      h(
        "div.card-actions",
        el(
          "button.small",
          { type: "button", onclick: () => again(rotate), "aria-label": `Rotate ${key.name}` },
          "Rotate",
        ),
        el(
          "button.small.danger",
          { type: "button", onclick: () => again(revoke), "aria-label": `Revoke ${key.name}` },
          "Revoke",
        ),
      ),
    ),
    h(
      "dl.facts",
      fact("Starts with", h("code", `${key.prefix}…`)),
      fact("Scopes", key.scopes.join(", ")),
      fact("Created", moment(key.createdAt)),
      fact("Last used", moment(key.lastUsedAt)),
      fact("Expires", moment(key.expiresAt)),
    ),
  ];
}

/**
 * @param {string} term
 * @param {Child} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", value));

async function createKey() {
  const made = await dialog("Create key", (close) =>
    form({
      content: [
        field(
          "Name",
          input("name", { maxlength: "120", placeholder: "My back end", autofocus: true }),
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
      ],
      submit: "Create key",
      working: "Creating…",
      cancel: close,
      send: async ({ name, env, scopes, days }) => {
        if (!name.trim()) throw new FieldError("name", "Enter a name.");
        if (scopes.length === 0) throw new Error("Choose at least one scope.");
        const expiresAt = days ? new Date(Date.now() + days * DAY_MS).toISOString() : undefined;
        close(await call("POST", "/api-keys", { name: name.trim(), env, scopes, expiresAt }));
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
  const curl = chatCurl({ key: made.key });
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
      h(
        "div.copyable",
        el("pre", { tabindex: "0", role: "region", "aria-label": "Command" }, curl),
        copyButton(() => curl, "Copy command"),
      ),
      h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "I have stored it")),
    ],
    { mustAnswer: true, wide: true },
  );
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
