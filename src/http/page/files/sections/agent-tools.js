// @ts-check

// The tools of an agent in its form: every one that is on, or those that are ticked.

import { h } from "../lib/dom.js";
import { checkbox, field, select } from "../lib/form.js";

/** What the built-in tools are for, as people say it. */
const BUILT_IN = {
  current_time: "Tell the time",
  search_history: "Search earlier sessions",
  ask_agent: "Ask other agents",
};
/** Never meant by "every tool": it is given by name alone. */
const BY_NAME = ["ask_agent"];

/** What an agent may add to a tool's own policy. */
const APPROVALS = [
  ["", "As each tool says"],
  ["ask", "Each call asks, at least"],
  ["owner", "Each call asks an owner"],
  ["off", "No tools"],
];

/**
 * The fieldset, with names in `tools`, and `everyTool` while none is left out.
 * @param {Api.Tool[]} all
 * @param {string[] | null | undefined} allowed
 */
export function toolChoice(all, allowed) {
  const servers = [...new Set(all.map(({ server }) => server).filter((slug) => slug))];
  /** @param {string} name */
  const isTicked = (name) => (allowed ? allowed.includes(name) : !BY_NAME.includes(name));
  /**
   * @param {string} name
   * @param {string} text
   */
  const box = (name, text) => checkbox("tools", name, text, isTicked(name));
  const own = all.filter(({ server }) => !server);
  const offered = new Set([...all.map(({ name }) => name), ...servers.map((slug) => `${slug}__*`)]);
  const gone = (allowed ?? []).filter((name) => !offered.has(name));
  const every = checkbox("everyTool", "yes", "Every tool that is on, also one added later", !allowed);
  const fieldset = h(
    "fieldset",
    h("legend", "Tools"),
    every,
    own.map(({ name }) => box(name, BUILT_IN[/** @type {keyof BUILT_IN} */ (name)] ?? name)),
    servers.map((slug) => [
      box(`${slug}__*`, `All of ${slug}`),
      h(
        "details.inset",
        h("summary", `Single tools of ${slug}`),
        all
          .filter(({ server }) => server === slug)
          .map(({ name }) => checkbox("tools", name, name, Boolean(allowed?.includes(name)))),
      ),
    ]),
    gone.map((name) => box(name, `${name} (not there)`)),
  );
  fieldset.addEventListener("change", ({ target }) => {
    const changed = /** @type {HTMLInputElement} */ (target);
    const everyTool = /** @type {HTMLInputElement} */ (every.querySelector("input"));
    if (changed === everyTool) {
      if (!everyTool.checked) return;
      for (const one of fieldset.querySelectorAll("input"))
        if (one.name === "tools" && !one.closest("details.inset")) one.checked = !BY_NAME.includes(one.value);
    } else if (!changed.checked || BY_NAME.includes(changed.value)) everyTool.checked = false;
  });
  return fieldset;
}

/** @param {string | null | undefined} chosen */
export const approvalChoice = (chosen) =>
  field(
    "Approval",
    select("toolApproval", APPROVALS, chosen ?? ""),
    "It can be stricter than a tool's own setting, never laxer.",
  );

/**
 * What the form says of tools: `null` for every one.
 * @param {{ everyTool: string[], tools: string[] }} values
 */
export const allowedTools = ({ everyTool, tools }) => (everyTool.length > 0 ? null : tools);
