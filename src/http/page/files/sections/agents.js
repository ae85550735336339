// @ts-check

// Agents. Ala is always there and always first; the others are created, changed, deactivated and deleted here.

import { call, pages } from "../lib/api.js";
import { connect } from "../lib/clients.js";
import { ask, dialog } from "../lib/dialog.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { field, form, input, select, textarea, FieldError } from "../lib/form.js";
import { moment } from "../lib/format.js";
import { loading } from "../lib/states.js";
import { allowedTools, approvalChoice, toolChoice } from "./agent-tools.js";

const ALA = "ala";

/**
 * Shows the section.
 * @param {Page} page
 */
export async function agents(page) {
  const list = h("div", loading());
  /** @type {Api.Model[]} */
  let models = [];
  /** @type {Api.Tool[]} */
  const tools = [];
  /** @param {Api.Agent} [agent] */
  const edit = (agent) => editAgent(agent, models, tools).then((done) => done && reload());
  fill(
    page.main,
    h("div.head", h("h1", "Agents"), el("button.primary", { type: "button", onclick: () => edit() }, "Create agent")),
    h("p.lead", "An agent is a model with instructions, tools and a name. Programs select it by its slug."),
    list,
  );
  const reload = async () => {
    /** @type {Api.Agent[]} */
    const found = [];
    for await (const items of pages("/agents")) found.push(...items);
    fill(
      list,
      h(
        "ul.cards",
        found.map((agent) => h("li.card", card(agent, edit, reload))),
      ),
    );
  };
  models = (await call("GET", "/models", undefined, page)).items;
  for await (const items of pages("/tools")) tools.push(...items);
  await reload();
}

/**
 * @param {Api.Agent} agent
 * @param {(agent: Api.Agent) => unknown} edit
 * @param {() => Promise<void>} reload
 */
function card(agent, edit, reload) {
  const { name, slug, description, isActive, model, allowedTools, updatedAt } = agent;
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
        el("button.small", { type: "button", "aria-label": `Edit ${name}`, onclick: () => edit(agent) }, "Edit"),
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

/**
 * @param {Api.Agent | undefined} agent
 * @param {Api.Model[]} models
 * @param {Api.Tool[]} tools
 */
function editAgent(agent, models, tools) {
  const isAla = agent?.slug === ALA;
  return dialog(
    agent ? `Edit ${agent.name}` : "Create agent",
    (close) =>
      form({
        content: [...fieldsOf(agent, isAla, models, tools), agent && !isAla && removal(agent, close)],
        submit: agent ? "Save" : "Create agent",
        cancel: close,
        send: async (values) => {
          const body = bodyOf(values, agent, isAla);
          await call(agent ? "PATCH" : "POST", agent ? `/agents/${agent.id}` : "/agents", body);
          close(true);
        },
      }),
    { wide: true },
  );
}

/**
 * @param {Api.Agent | undefined} agent
 * @param {boolean} isAla
 * @param {Api.Model[]} models
 * @param {Api.Tool[]} tools
 */
function fieldsOf(agent, isAla, models, tools) {
  const settings = agent?.settings ?? {};
  const schema = settings.responseFormat?.schema;
  const known = models.map(({ id }) => [id, id]);
  // A model may have gone since it was chosen; it must not be lost by looking at it.
  if (agent?.model && known.every(([id]) => id !== agent.model))
    known.push([agent.model, `${agent.model} (not available)`]);
  return [
    !isAla && field("Name", input("name", { value: agent?.name ?? "", maxlength: "255", autofocus: true })),
    field(
      "Description",
      input("description", { value: agent?.description ?? "", maxlength: "5000" }),
      "What the agent is good at; shown to people.",
    ),
    field(
      "System prompt",
      textarea("systemPrompt", { value: agent?.systemPrompt ?? "", rows: 6, maxlength: "100000" }),
      "Sent to the model before every conversation.",
    ),
    !isAla && field("Model", select("model", [["", "Organization default"], ...known], agent?.model ?? "")),
    toolChoice(tools, agent?.allowedTools),
    approvalChoice(settings.toolApproval),
    h(
      "div.row",
      field(
        "Temperature",
        input("temperature", {
          value: settings.temperature ?? "",
          inputmode: "decimal",
          placeholder: "model default",
        }),
        "From 0 to 2",
      ),
      field(
        "Step limit",
        input("maxSteps", { value: settings.maxSteps ?? "", inputmode: "numeric", placeholder: "20" }),
        "Model calls per reply, from 1 to 50",
      ),
    ),
    field(
      "Reply format",
      textarea("schema", { value: schema ? JSON.stringify(schema, null, 2) : "", rows: 3, spellcheck: "false" }),
      "A JSON Schema that replies have to fit, for an agent without tools. Leave it empty for text.",
    ),
  ];
}

/**
 * @param {Api.Agent} agent
 * @param {(done: boolean) => void} close
 */
function removal(agent, close) {
  const remove = async () => {
    if (
      !(await ask(`Delete ${agent.name}?`, "Its sessions keep their history. This cannot be undone.", "Delete agent"))
    )
      return;
    await call("DELETE", `/agents/${agent.id}`);
    notify(`Deleted ${agent.name}.`);
    close(true);
  };
  return h("p", el("button.small.danger", { type: "button", onclick: remove }, "Delete this agent"));
}

/**
 * @param {any} values
 * @param {Api.Agent | undefined} agent
 * @param {boolean} isAla
 */
function bodyOf(values, agent, isAla) {
  const settings = { ...agent?.settings };
  settings.temperature = numberIn(values, "temperature", 0, 2);
  settings.maxSteps = numberIn(values, "maxSteps", 1, 50);
  settings.responseFormat = formatIn(values.schema, settings.responseFormat);
  settings.toolApproval = values.toolApproval || undefined;
  const allowed = allowedTools(values);
  /** @type {Api.AgentPatch} */
  const body = {
    description: values.description,
    systemPrompt: values.systemPrompt,
    allowedTools: allowed,
    settings,
  };
  // New agents know no null: what is absent is the default.
  if (!agent && allowed === null) delete body.allowedTools;
  if (isAla) return body;
  if (!values.name.trim()) throw new FieldError("name", "Enter a name.");
  return { ...body, name: values.name, model: values.model || (agent ? null : undefined) };
}

/**
 * A schema with the name that it has, or needs.
 * @param {string} text
 * @param {any} before
 */
function formatIn(text, before) {
  if (!text.trim()) return undefined;
  try {
    return { name: "reply", ...before, schema: JSON.parse(text) };
  } catch (error) {
    throw new FieldError("schema", `This is no JSON: ${error.message}`);
  }
}

/**
 * @param {any} values
 * @param {string} name
 * @param {number} least
 * @param {number} most
 */
function numberIn(values, name, least, most) {
  const text = values[name].trim().replace(",", ".");
  if (text === "") return undefined;
  const value = Number(text);
  if (!(value >= least && value <= most))
    throw new FieldError(name, `Enter a number from ${least} to ${most}, or leave it empty.`);
  return value;
}
