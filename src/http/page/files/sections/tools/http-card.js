// @ts-check

// One HTTP tool: what it calls, whether it asks, and what can be done with it.

import { call } from "../../lib/api.js";
import { ask } from "../../lib/dialog.js";
import { el, h, notify } from "../../lib/dom.js";
import { number } from "../../lib/format.js";
import { editHttpTool } from "./http-form.js";
import { onSwitch, policyOf, policyText } from "./tool-table.js";
import { tryTool } from "./try.js";

/**
 * @param {Api.Tool} tool
 * @param {ToolContext} context
 */
export function httpCard(tool, { page, reload }) {
  const { name, description, approval, isOn, fault, estimatedTokens } = tool;
  const path = `/tools/${encodeURIComponent(name)}`;
  /**
   * @param {string} text
   * @param {(event: any) => unknown} onclick
   * @param {boolean} [danger]
   */
  const button = (text, onclick, danger) =>
    el(
      danger ? "button.small.danger" : "button.small",
      { type: "button", onclick, "aria-label": `${text} ${name}` },
      text,
    );
  const edit = async () => {
    if (await editHttpTool(await call("GET", path))) await reload();
  };
  const remove = async () => {
    if (!(await ask(`Remove ${name}?`, "Agents lose it. Calls that wait for an answer will not run.", "Remove")))
      return;
    await call("DELETE", path);
    notify(`Removed ${name}.`);
    await reload();
  };
  return [
    h(
      "div.card-head",
      h("h3", h("code", name)),
      !isOn && h("span.badge.off", "off"),
      page.isOwner &&
        h(
          "div.card-actions",
          button("Try", () => tryTool(tool)),
          button("Edit", edit),
          button("Remove", remove, true),
        ),
    ),
    description && h("p.brief", description),
    fault && h("p.bad", fault),
    h(
      "dl.facts",
      fact("On", page.isOwner ? onSwitch(tool, reload) : isOn ? "on" : "off"),
      fact("Approval", page.isOwner ? policyOf(tool, reload) : policyText(approval)),
      fact("Tokens", `about ${number(estimatedTokens)}`),
    ),
  ];
}

/**
 * @param {string} term
 * @param {Child} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", value));
