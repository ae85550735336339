// @ts-check

// Agents. Ala is always there and always first; the others are created, changed, deactivated and deleted here.

import { ApiError, call, pages } from "../lib/api.js";
import { connect } from "../lib/clients.js";
import { ask } from "../lib/dialog.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { moment } from "../lib/format.js";
import { knownModels } from "../lib/picker.js";
import { failure, loading } from "../lib/states.js";
import { agentEditor } from "./agent-editor.js";

const ALA = "ala";
/** In the address: one that is not there yet. */
const NEW = "new";

/**
 * Shows the section: the list, or with an agent's id in the address its editor.
 * @param {Page} page
 */
export async function agents(page) {
  let leave = new AbortController();
  page.signal.addEventListener("abort", () => leave.abort());
  /** @param {string[]} rest */
  const follow = async ([slug]) => {
    leave.abort();
    leave = new AbortController();
    const { signal } = leave;
    fill(page.main, loading());
    try {
      await (slug ? editor(page.main, slug, signal) : list(page.main));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      fill(
        page.main,
        h("h1", "Agents"),
        failure(error, () => follow([slug])),
      );
    }
  };
  await follow(page.rest);
  return follow;
}

/** @param {HTMLElement} main */
async function list(main) {
  const place = h("div", loading());
  fill(
    main,
    h("div.head", h("h1", "Agents"), el("a.button.primary", { href: "#agents/new" }, "Create agent")),
    h("p.lead", "An agent is a model with instructions, tools and a name. Programs select it by its slug."),
    place,
  );
  const reload = async () => {
    /** @type {Api.Agent[]} */
    const found = [];
    for await (const items of pages("/agents")) found.push(...items);
    fill(
      place,
      h(
        "ul.cards",
        found.map((agent) => h("li.card", card(agent, reload))),
      ),
    );
  };
  await reload();
}

/**
 * @param {HTMLElement} main
 * @param {string} slug
 * @param {AbortSignal} signal
 */
async function editor(main, slug, signal) {
  /** @type {Api.Tool[]} */
  const tools = [];
  const agent =
    slug === NEW ? undefined : await call("GET", `/agents/${encodeURIComponent(slug)}`, undefined, { signal });
  const models = await knownModels({ signal });
  for await (const items of pages("/tools")) tools.push(...items);
  if (!signal.aborted) agentEditor(main, agent, { models, tools, isAla: agent?.slug === ALA, signal });
}

/**
 * @param {Api.Agent} agent
 * @param {() => Promise<void>} reload
 */
function card(agent, reload) {
  const { id, name, slug, description, isActive, model, allowedTools, updatedAt } = agent;
  return [
    h(
      "div.card-head",
      el("span.avatar", { "aria-hidden": "true" }, avatar(agent)),
      h("h2", name),
      !isActive && h("span.badge.off", "inactive"),
      h(
        "div.card-actions",
        el(
          "a.button.small",
          { href: `#sessions/new/${slug}`, "aria-label": `Chat with ${name}`, hidden: !isActive },
          "Chat",
        ),
        el(
          "button.small",
          { type: "button", "aria-label": `Connect to ${name}`, hidden: !isActive, onclick: () => connect(name, slug) },
          "Connect",
        ),
        el("a.button.small", { href: `#agents/${id}`, "aria-label": `Edit ${name}` }, "Edit"),
        slug !== ALA &&
          el(
            "button.small",
            {
              type: "button",
              "aria-label": `${isActive ? "Deactivate" : "Activate"} ${name}`,
              onclick: () => turn(agent).then(reload),
            },
            isActive ? "Deactivate" : "Activate",
          ),
      ),
    ),
    description && h("p", description),
    h(
      "dl.facts",
      fact("Slug", h("code", slug)),
      fact("Model", model ?? "organization default"),
      fact("Tools", allowedTools ? allowedTools.join(", ") || "none" : "all"),
      fact("Updated", moment(updatedAt)),
    ),
  ];
}

/**
 * @param {string} term
 * @param {Child} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", value));

/**
 * An emoji as it is; a picture's address is not fetched.
 * @param {Api.Agent} agent
 */
export const avatar = ({ avatar, name }) =>
  avatar && !avatar.includes(":") && avatar.length <= 8 ? avatar : [...(name ?? "?")][0];

/** @param {Api.Agent} agent */
async function turn(agent) {
  const isActive = !agent.isActive;
  if (
    !isActive &&
    !(await ask(
      `Deactivate ${agent.name}?`,
      "It does not reply until you activate it again. Its sessions keep their history.",
      "Deactivate",
    ))
  )
    return;
  await call("PATCH", `/agents/${agent.id}`, { isActive });
  notify(`${isActive ? "Activated" : "Deactivated"} ${agent.name}.`);
}
