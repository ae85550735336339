// @ts-check

// The test of an MCP server: each stage with its time, what it lists, what was set aside, and its last words.

import { call } from "../../lib/api.js";
import { busy, el, fill, h } from "../../lib/dom.js";
import { count, duration } from "../../lib/format.js";

/** @type {Record<string, string>} */
const STAGES = { reach: "Server reached", handshake: "Protocol agreed", list: "Tools listed" };

/**
 * Room for the result, and `run(button)`, which fills it and then calls `done`.
 * @param {string} slug
 * @param {() => unknown} done
 */
export function serverTest(slug, done) {
  const element = el("div.test", { role: "status" });
  /** @param {HTMLElement} button */
  const run = (button) =>
    busy(button, "Testing…", async () => {
      fill(element, h("ol.steps", step("waits", "Connecting and listing its tools…")));
      try {
        fill(element, shown(await call("POST", `/mcp/servers/${encodeURIComponent(slug)}/test`)));
      } catch (error) {
        fill(element, h("ol.steps", step("fails", error.message)));
      }
      await done();
    });
  return { element, run };
}

/**
 * @param {string} state
 * @param {Child} text
 * @param {number | null} [time]
 */
const step = (state, text, time) =>
  h(`li.${state}`, h("span", text), typeof time === "number" && h("span.quiet", duration(time)));

/** @param {ServerTestResult} result */
const shown = ({ stages, tools, quarantined, log }) => [
  h(
    "ol.steps",
    stages.map(({ name, error, durationMs }) =>
      error ? step("fails", error, durationMs) : step("done", STAGES[name] ?? name, durationMs),
    ),
    tools && step("done", count(tools.length, "tool")),
    quarantined.map(({ name, fault }) => step("fails", [h("code", name), ` set aside: ${fault}`])),
  ),
  log && h("details", h("summary", "Its last words"), el("pre.input", { tabindex: "0" }, log)),
];
