// @ts-check

// An agent's page: its instructions and how it answers on the left, a conversation with what is typed there on the right, saved
// or not.

import { call } from "../lib/api.js";
import { ask } from "../lib/dialog.js";
import { el, fill, h, notify } from "../lib/dom.js";
import { checkbox, field, form, input, select, textarea, valuesOf, FieldError } from "../lib/form.js";
import { moment } from "../lib/format.js";
import { guard, mayLeave } from "../lib/leave.js";
import { modelPicker } from "../lib/picker.js";
import { allowedTools, approvalChoice, toolChoice } from "./agent-tools.js";
import { tryOut } from "./try-out.js";

const EFFORTS = [
  ["", "Model default"],
  ["low", "Low"],
  ["medium", "Medium"],
  ["high", "High"],
];

/**
 * Shows the editor of an agent, or of a new one.
 * @param {HTMLElement} place
 * @param {Api.Agent | undefined} agent
 * @param {{ models: KnownModels, tools: Api.Tool[], isAla: boolean, signal: AbortSignal }} known
 */
export function agentEditor(place, agent, known) {
  const { isAla, signal } = known;
  let saved = "";
  const editor = form({
    content: fieldsOf(agent, known),
    submit: agent ? "Save" : "Create agent",
    send: async (values) => {
      const body = bodyOf(values, agent, isAla);
      const made = await call(agent ? "PATCH" : "POST", agent ? `/agents/${agent.id}` : "/agents", body);
      saved = now();
      notify(`${agent ? "Saved" : "Created"} ${made.name}.`);
      if (!agent) location.hash = `#agents/${made.id}`;
      else Object.assign(agent, made);
      fill(versions, versionList(made.id, again));
    },
  });
  const now = () => JSON.stringify(valuesOf(editor));
  saved = now();
  guard(() => now() !== saved, signal);
  /** Shows an agent that has become another on the server. */
  const again = async () => {
    if (!(await mayLeave())) return;
    saved = now();
    dispatchEvent(new HashChangeEvent("hashchange", { oldURL: location.href }));
  };
  const versions = h("div", agent && versionList(agent.id, again));
  const draft = () => {
    const body = { ...bodyOf(valuesOf(editor), agent, isAla), ...(isAla && { name: "Draft" }) };
    return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined));
  };
  fill(
    place,
    h("div.head", h("h1", agent ? agent.name : "New agent"), el("a.button", { href: "#agents" }, "All agents")),
    h(
      "div.agent-page",
      h("div.editing", editor, versions, agent && !isAla && removal(agent, () => (saved = now()))),
      tryOut(draft, signal),
    ),
  );
}

/**
 * @param {Api.Agent | undefined} agent
 * @param {{ models: KnownModels, tools: Api.Tool[], isAla: boolean }} known
 */
function fieldsOf(agent, { models, tools, isAla }) {
  const settings = agent?.settings ?? {};
  const usual = { none: `Organization default (${models.usual})`, chosen: agent?.model };
  return [
    !isAla &&
      h(
        "div.row",
        field("Name", input("name", { value: agent?.name ?? "", maxlength: "255", autofocus: !agent })),
        field(
          "Slug",
          input("slug", {
            value: agent?.slug ?? "",
            maxlength: "64",
            placeholder: "from its name",
            spellcheck: "false",
          }),
          "How programs name it",
        ),
      ),
    field(
      "System prompt",
      textarea("systemPrompt", { value: agent?.systemPrompt ?? "", rows: 12, maxlength: "100000" }),
      "Sent to the model before every conversation.",
    ),
    !isAla && field("Model", modelPicker("model", models, usual).control),
    h(
      "details",
      h("summary", "Description and avatar"),
      field(
        "Description",
        input("description", { value: agent?.description ?? "", maxlength: "5000" }),
        "What the agent is good at; shown to people.",
      ),
      field("Avatar", input("avatar", { value: agent?.avatar ?? "", maxlength: "2048" }), "An emoji."),
    ),
    h("details", h("summary", "How it answers"), answering(settings)),
    h(
      "details",
      h("summary", "Tools"),
      toolChoice(tools, agent?.allowedTools),
      approvalChoice(settings.toolApproval),
      field(
        "Tools of programs",
        textarea("clientTools", { value: pretty(agent?.clientTools), rows: 3, spellcheck: "false" }),
        "A JSON array of tools that whoever asks runs: name, description, inputSchema. Empty for none.",
      ),
    ),
  ];
}

/** @param {Api.AgentSettings} settings */
function answering(settings) {
  /**
   * @param {string} label
   * @param {keyof Api.AgentSettings & string} name
   * @param {string} hint
   * @param {Attributes} [attributes]
   */
  const amount = (label, name, hint, attributes) =>
    field(
      label,
      input(name, { value: settings[name] ?? "", inputmode: "decimal", placeholder: "model default", ...attributes }),
      hint,
    );
  return [
    h("div.row", amount("Temperature", "temperature", "From 0 to 2"), amount("Top P", "topP", "From 0 to 1")),
    h(
      "div.row",
      amount("Output limit", "maxOutputTokens", "Tokens per model call"),
      amount("Step limit", "maxSteps", "Model calls per reply, from 1 to 50", { placeholder: "20" }),
    ),
    field("Reasoning", select("reasoningEffort", EFFORTS, settings.reasoningEffort ?? "")),
    field(
      "Reply format",
      textarea("schema", { value: pretty(settings.responseFormat?.schema), rows: 3, spellcheck: "false" }),
      "A JSON Schema that replies have to fit, for an agent without tools. Leave it empty for text.",
    ),
    checkbox("strict", "yes", "The model's server holds replies to it", Boolean(settings.responseFormat?.strict)),
  ];
}

/** @param {unknown} value */
const pretty = (value) => (value ? JSON.stringify(value, null, 2) : "");

/**
 * The last versions, read when they are asked for.
 * @param {string} id
 * @param {() => unknown} changed
 */
function versionList(id, changed) {
  const list = h("ol.agent-versions");
  const details = h(
    "details",
    h("summary", "Versions"),
    h("p.hint", "The last ten are kept. One that you restore becomes the newest."),
    list,
  );
  /** @param {number} version */
  const restore = async (version) => {
    await call("POST", `/agents/${id}/restore`, { version });
    notify(`Restored version ${version}.`);
    await changed();
  };
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    const { items } = await call("GET", `/agents/${id}/versions`);
    fill(
      list,
      items.map((/** @type {any} */ { version, createdAt, email, agent }, /** @type {number} */ at) =>
        h(
          "li",
          h(
            "span",
            h("strong", `Version ${version}`),
            " ",
            h("span.quiet", moment(createdAt), email && ` by ${email}`),
          ),
          at === 0
            ? h("span.badge", "now")
            : el(
                "button.small",
                { type: "button", "aria-label": `Restore version ${version}`, onclick: () => restore(version) },
                "Restore",
              ),
          h("details.inset", h("summary", "Prompt"), h("p.prompt", agent.systemPrompt || "none")),
        ),
      ),
    );
  });
  return details;
}

/**
 * @param {Api.Agent} agent
 * @param {() => unknown} leave
 */
function removal(agent, leave) {
  const remove = async () => {
    const text = "Its sessions keep their history. This cannot be undone.";
    if (!(await ask(`Delete ${agent.name}?`, text, "Delete agent"))) return;
    await call("DELETE", `/agents/${agent.id}`);
    notify(`Deleted ${agent.name}.`);
    leave();
    location.hash = "#agents";
  };
  return h("p", el("button.small.danger", { type: "button", onclick: remove }, "Delete this agent"));
}

/**
 * What the form says, as the API takes it.
 * @param {any} values
 * @param {Api.Agent | undefined} agent
 * @param {boolean} isAla
 */
function bodyOf(values, agent, isAla) {
  const settings = { ...agent?.settings };
  settings.temperature = numberIn(values, "temperature", 0, 2);
  settings.topP = numberIn(values, "topP", 0, 1);
  settings.maxOutputTokens = numberIn(values, "maxOutputTokens", 1, 1_000_000);
  settings.maxSteps = numberIn(values, "maxSteps", 1, 50);
  settings.reasoningEffort = values.reasoningEffort || undefined;
  settings.toolApproval = values.toolApproval || undefined;
  const schema = jsonIn(values, "schema");
  const before = agent?.settings?.responseFormat;
  settings.responseFormat = schema && {
    name: before?.name ?? "reply",
    schema,
    strict: values.strict.length > 0 || undefined,
  };
  /** @type {Api.AgentPatch} */
  const body = {
    description: values.description,
    avatar: values.avatar.trim() || null,
    systemPrompt: values.systemPrompt,
    allowedTools: allowedTools(values),
    clientTools: jsonIn(values, "clientTools") ?? null,
    settings,
  };
  if (!isAla) {
    if (!values.name.trim()) throw new FieldError("name", "Enter a name.");
    const slug = values.slug.trim() || undefined;
    Object.assign(body, { name: values.name, slug, model: values.model || null });
  }
  // New agents know no null: what is absent is the default.
  return agent ? body : Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

/**
 * @param {any} values
 * @param {string} name
 */
function jsonIn(values, name) {
  if (!values[name].trim()) return undefined;
  try {
    return JSON.parse(values[name]);
  } catch (error) {
    throw new FieldError(name, `This is no JSON: ${error.message}`);
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
