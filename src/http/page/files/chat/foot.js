// @ts-check

// The line below a reply: how it ended, what it cost, and what the model was not given.

import { h } from "../lib/dom.js";
import { sentence } from "../lib/form.js";
import { count, duration, money, moment, number } from "../lib/format.js";

/** @type {Record<string, string>} */
const ENDINGS = { stopped: "Stopped", interrupted: "Interrupted", error: "Failed", failed: "Failed" };
/** Most names that are listed. */
const NAMES_MAX = 20;
/** A shorter reply says nothing of a model's pace. */
const PACE_S_MIN = 0.5;

/** @param {unknown} value */
const isNumber = (value) => typeof value === "number";

/**
 * Names in a list, as text; what is no list of names is none. Whoever appends a message says in its metadata what they like.
 * @param {unknown} value
 */
const names = (value) =>
  Array.isArray(value)
    ? value
        .filter((name) => typeof name === "string")
        .slice(0, NAMES_MAX)
        .join(", ")
    : "";

/** @param {any} metadata */
function leftOut(metadata) {
  const { fieldsOmitted, droppedMessages, truncatedByServer, toolsLeftOut, toolsUnavailable, structured } = metadata;
  return [
    names(fieldsOmitted) && `sent without ${names(fieldsOmitted)}, which the model refuses`,
    isNumber(droppedMessages) && droppedMessages > 0 && `${count(droppedMessages, "earlier message")} left out`,
    truncatedByServer === true && "its server read only a part of the conversation",
    isNumber(toolsLeftOut) && toolsLeftOut > 0 && `${count(toolsLeftOut, "tool")} left out`,
    names(toolsUnavailable) && `without the tools of ${names(toolsUnavailable)}, which cannot be reached`,
    structured?.valid === false && `not in the format of the agent: ${structured.error}`,
  ];
}

/**
 * Tokens a second while it was written; where tools ran in between nobody knows.
 * @param {any} metadata
 * @param {any[]} parts
 */
function pace({ usage, durationMs, timeToFirstTokenMs }, parts) {
  const seconds = (durationMs - timeToFirstTokenMs) / 1_000;
  if (!(seconds >= PACE_S_MIN && isNumber(usage?.outputTokens)) || parts.some(({ toolCallId }) => toolCallId))
    return "";
  return `, ${number(Math.round(usage.outputTokens / seconds))} a second`;
}

/** @param {ShownMessage} message */
export function footOf({ role, parts, metadata, status, state, createdAt, error, waits }) {
  const said = metadata ?? {};
  const at = createdAt ?? said.createdAt;
  const when = typeof at === "string" && moment(at);
  if (role === "user") return when ? [h("span", when)] : [];
  const ending = ENDINGS[status ?? state ?? ""];
  const { usage, costMicrocents, toolCostMicrocents, durationMs, timeToFirstTokenMs, model } = said;
  const why = error ?? said.error;
  const facts = [
    ending && h(`strong.badge${ending === "Stopped" ? "" : ending === "Failed" ? ".down" : ".test"}`, ending),
    typeof why?.message === "string" && h("span.bad", sentence(why.message)),
    waits,
    typeof model === "string" && model,
    isNumber(usage?.totalTokens) && `${number(usage.totalTokens)} tokens${pace(said, parts)}`,
    isNumber(costMicrocents) && costMicrocents > 0 && money(costMicrocents),
    isNumber(toolCostMicrocents) && toolCostMicrocents > 0 && `of that ${money(toolCostMicrocents)} for tools`,
    isNumber(timeToFirstTokenMs) &&
      isNumber(durationMs) &&
      `first token after ${duration(timeToFirstTokenMs)}, done in ${duration(durationMs)}`,
    ...leftOut(said),
    when,
  ];
  return facts.filter(Boolean).map((fact) => h("span", fact));
}
