// The test of a provider: each step with its time, or what is wrong.

import { call } from "../../lib/api.js";
import { busy, fill, h } from "../../lib/dom.js";
import { count, duration } from "../../lib/format.js";

/** Room for the result, and `run(button)`, which fills it. */
export function testPanel({ id }) {
  const element = h("div.test", { role: "status" });
  const run = (button) =>
    busy(button, "Testing…", async () => {
      fill(element, h("ol.steps", step("waits", "Asking for its models and a first word…")));
      try {
        show(element, await call("POST", `/providers/${id}/test`));
      } catch (refused) {
        fill(element, h("ol.steps", step("fails", refused.message)));
      }
    });
  return { element, run };
}

const step = (state, text, time) =>
  h(`li.${state}`, h("span", text), time !== undefined && h("span.quiet", duration(time)));

function show(element, { reachMs, modelsMs, models, model, firstTokenMs, replyMs }) {
  const spoke =
    firstTokenMs === null
      ? step("fails", `${model} ended without a word`)
      : step("done", `${model} said its first word`, firstTokenMs);
  fill(
    element,
    h(
      "ol.steps",
      step("done", "It answers", reachMs),
      step("done", `It listed ${count(models.length, "model")}`, modelsMs),
      spoke,
      step("done", "Its reply was complete", replyMs),
    ),
  );
}
