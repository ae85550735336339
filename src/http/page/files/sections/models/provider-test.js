// @ts-check

// The test of a provider: each step with its time, or what is wrong.

import { call } from "../../lib/api.js";
import { busy, el, fill, h } from "../../lib/dom.js";
import { field } from "../../lib/form.js";
import { count, duration } from "../../lib/format.js";
import { modelPicker } from "../../lib/picker.js";

/**
 * Room for the result, `run(button)`, which fills it, and `ask(button)`, which lets choose among several models first.
 * @param {Api.Provider} provider
 */
export function testPanel({ id, slug, models, local, paidElsewhere }) {
  const result = el("div", { role: "status" });
  const choice = h("div.row");
  const element = h("div.test", choice, result);
  const names = models.filter(({ offered }) => offered !== false).map(({ id }) => id);
  let model = names[0];
  /** @param {HTMLElement} button */
  const run = (button) =>
    busy(button, "Testing…", async () => {
      fill(result, h("ol.steps", step("waits", "Listing its models and requesting a reply…")));
      try {
        const asked = model === undefined ? "" : `?model=${encodeURIComponent(model)}`;
        show(result, await call("POST", `/providers/${id}/test${asked}`));
      } catch (error) {
        fill(result, failure(error, slug));
      }
    });
  /** @param {HTMLElement} button */
  const ask = (button) => {
    if (names.length < 2) return run(button);
    if (choice.firstChild) return choice.querySelector("input")?.focus();
    const offered = models.filter(({ id }) => names.includes(id));
    const known = offered.map((model) => ({ name: model.id, provider: slug, local, paidElsewhere, ...model }));
    const changed = (/** @type {string} */ id) => (model = id);
    const picker = modelPicker("model", /** @type {any} */ ({ models: known, recent: [] }), { chosen: model, changed });
    /** @type {HTMLElement} */
    const go = el("button.primary", { type: "button", onclick: () => run(go) }, "Run test");
    fill(choice, field("Model to ask", picker.control), go);
    return picker.control.focus();
  };
  return { element, run, ask };
}

/**
 * What is wrong, of which model, and what the provider said, which its owner alone is told.
 * @param {any} error
 * @param {string} slug
 */
function failure({ message, details }, slug) {
  const { model, upstreamSaid } = details ?? {};
  return [
    h("ol.steps", step("fails", model ? `${slug}/${model}: ${message}` : message)),
    upstreamSaid && [h("p.quiet", "What it said"), el("blockquote.said", { dir: "auto" }, upstreamSaid)],
  ];
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
