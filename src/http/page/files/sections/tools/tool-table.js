// @ts-check

// A table of tools: whether each is on, whether it asks, and what is wrong with it.

import { call } from "../../lib/api.js";
import { el, h, notify } from "../../lib/dom.js";
import { select } from "../../lib/form.js";
import { number } from "../../lib/format.js";
import { reviewChange } from "./changed.js";
import { table } from "../../lib/states.js";

/** Whether a tool runs at once. */
export const POLICIES = [
  ["never", "Runs at once"],
  ["ask", "Asks"],
  ["owner", "Asks an owner"],
  ["off", "Off"],
];

/** @param {string} policy */
export const policyText = (policy) => POLICIES.find(([value]) => value === policy)?.[1] ?? policy;

/**
 * A table of these tools; who may, changes them there.
 * @param {string} label
 * @param {Api.Tool[]} tools
 * @param {ToolContext} context
 */
export const toolTable = (label, tools, context) =>
  table(
    label,
    "table.tools",
    ["On", "Tool", "Approval"],
    ["Tokens"],
    h(
      "tbody",
      tools.map((tool) => row(tool, context)),
    ),
  );

/**
 * @param {Api.Tool} tool
 * @param {ToolContext} context
 */
function row(tool, { page, reload }) {
  const { name, title, description, origin, approval, isOn, state, fault, changed, estimatedTokens } = tool;
  const isFaulty = state === "faulty";
  const mayChange = page.isOwner && origin === "mcp" && !isFaulty;
  const review = () => reviewChange(tool).then((done) => (done ? reload() : undefined));
  return h(
    "tr",
    h("td", mayChange ? onSwitch(tool, reload) : isOn ? "on" : "off"),
    el(
      "th",
      { scope: "row" },
      h("code", name),
      title && ` ${title}`,
      description && h("p.quiet.brief", description),
      fault && h("p.bad", isFaulty && "Set aside: ", fault),
      changed &&
        h(
          "p.warn",
          "Its definition has changed, so it asks. ",
          page.isOwner &&
            el("button.small", { type: "button", "aria-label": `See what changed in ${name}`, onclick: review }, "See"),
        ),
    ),
    h("td.policy", mayChange ? policyOf(tool, reload) : policyText(approval)),
    h("td.amount", number(estimatedTokens), h("span.away", " tokens")),
  );
}

/**
 * A switch that takes effect at once, and goes back if it does not.
 * @param {Api.Tool} tool
 * @param {() => unknown} reload
 */
export function onSwitch(tool, reload) {
  const control = el("input", {
    type: "checkbox",
    role: "switch",
    "aria-label": `${tool.name} is on`,
    checked: tool.isOn,
  });
  control.addEventListener("change", () =>
    change(tool, { isOn: control.checked }, reload, () => {
      control.checked = tool.isOn;
    }),
  );
  return control;
}

/**
 * @param {Api.Tool} tool
 * @param {() => unknown} reload
 */
export function policyOf(tool, reload) {
  const control = select("approval", POLICIES, tool.approval, { "aria-label": `Approval of ${tool.name}` });
  control.addEventListener("change", () =>
    change(tool, { approval: control.value }, reload, () => {
      control.value = tool.approval;
    }),
  );
  return control;
}

/**
 * @param {Api.Tool} tool
 * @param {object} patch
 * @param {() => unknown} reload
 * @param {() => void} undo
 */
async function change(tool, patch, reload, undo) {
  try {
    await call("PATCH", `/tools/${encodeURIComponent(tool.name)}`, patch);
    notify(`Saved ${tool.name}.`);
    await reload();
  } catch (error) {
    undo();
    notify(error.message);
  }
}
