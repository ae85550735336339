// @ts-check

// The test of a provider: each step with its time, or what is wrong.

import { call } from "../../lib/api.js";
import { busy, el, fill, h } from "../../lib/dom.js";
import { count, duration } from "../../lib/format.js";

/**
 * Room for the result, and `run(button)`, which fills it.
 * @param {Api.Provider} provider
 */
export function testPanel({ id }) {
  const element = el("div.test", { role: "status" });
  /** @param {HTMLElement} button */
  const run = (button) =>
    busy(button, "Testing…", async () => {
      fill(element, h("ol.steps", step("waits", "Listing its models and requesting a reply…")));
      try {
        show(element, await call("POST", `/providers/${id}/test`));
      } catch (error) {
        fill(element, h("ol.steps", step("fails", error.message)));
      }
    });
  return { element, run };
}

/**
 * @param {string} state
 * @param {string} text
 * @param {number} [time]
 */
const step = (state, text, time) =>
  h(`li.${state}`, h("span", text), time !== undefined && h("span.quiet", duration(time)));

/**
 * @param {HTMLElement} element
 * @param {Api.ProviderTest} result
 */
function show(element, { reachMs, modelsMs, models, model, firstTokenMs, replyMs, fieldsOmitted }) {
  const spoke =
    firstTokenMs === null
      ? step("fails", `${model} returned an empty reply`)
      : step("done", `${model} sent its first token`, firstTokenMs);
  const listed =
    modelsMs === null
      ? step("waits", "Lists no models: its models are those that you name")
      : step("done", `Listed ${count(models.length, "model")}`, modelsMs);
  fill(
    element,
    h(
      "ol.steps",
      step("done", "Server reached", reachMs),
      listed,
      spoke,
      fieldsOmitted.length > 0 && step("waits", `Asked without what it refuses: ${fieldsOmitted.join(", ")}`),
      step("done", "Reply complete", replyMs),
    ),
  );
}
