// @ts-check

// The models that the server runs itself: how each one is, and what its owner can do with it.

import { call } from "../../lib/api.js";
import { ask, dialog } from "../../lib/dialog.js";
import { busy, copyButton, el, fill, h, notify } from "../../lib/dom.js";
import { count, moment, number, size } from "../../lib/format.js";

/** How often is looked again: while something happens, and while nothing does. */
const MOVING_MS = 2_000;
const RESTING_MS = 10_000;

/** @type {Record<Api.LocalModelState, [string, string]>} each state with the badge's look and its word */
const STATES = {
  checking: ["off", "checking…"],
  starting: ["off", "starting…"],
  loading: ["off", "loading…"],
  ready: ["live", "ready"],
  idle: ["off", "idle"],
  failed: ["down", "failed"],
  stopping: ["off", "stopping…"],
};

/** @typedef {Api.LocalModel & Partial<Api.LocalModelDetails>} Shown owners know more */

/**
 * What the server knows of its models; of each, to owners, also why it is as it is.
 * @param {Page} page
 * @returns {Promise<Shown[]>}
 */
export async function localModels(page) {
  const { items } = await call("GET", "/local-models", undefined, page);
  return page.isOwner ? Promise.all(items.map((/** @type {Shown} */ { name }) => details(name, page))) : items;
}

/**
 * @param {string} name
 * @param {CallOptions} [options]
 */
const details = (name, options) => call("GET", `/local-models/${encodeURIComponent(name)}`, undefined, options);

/**
 * Shows them, and what becomes of them, until it is told to stop or the section is left.
 * @param {HTMLElement} element
 * @param {Shown[]} models
 * @param {Page} page
 */
export function showLocalModels(element, models, page) {
  let shown = "";
  let isOver = models.length === 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @param {Shown[]} models */
  const show = (models) => {
    const now = JSON.stringify(models);
    if (now !== shown)
      fill(
        element,
        h(
          "ul.cards",
          models.map((model) => h("li.card", card(model, look, page))),
        ),
      );
    shown = now;
    const moves = models.some(({ state, queue }) => STATES[state]?.[1].endsWith("…") || queue > 0);
    clearTimeout(timer);
    timer = setTimeout(look, moves ? MOVING_MS : RESTING_MS);
  };
  const look = async () => {
    // What cannot be had now is looked for again.
    const found = await localModels(page).catch(() => models);
    if (isOver || page.signal.aborted) return;
    models = found;
    show(models);
  };
  const stop = () => {
    isOver = true;
    clearTimeout(timer);
  };
  page.signal.addEventListener("abort", stop);
  if (!isOver) show(models);
  return stop;
}

/**
 * @param {Shown} model
 * @param {() => Promise<void>} look
 * @param {Page} page
 */
function card(model, look, page) {
  const { id, state, reason } = model;
  const [badge, word] = STATES[state] ?? ["off", state];
  const why = reason ?? (state === "failed" && "Why, its owner can see here.");
  return [
    h("div.card-head", h("h2", id), h(`span.badge.${badge}`, word), page.isOwner && actions(model, look)),
    why && h(state === "failed" ? "p.bad" : "p.quiet", why),
    facts(model),
  ];
}

/** @param {Shown} model */
function facts(model) {
  const { since, contextWindow, trainedContextWindow, slots, bytes, residentBytes, tokensPerSecond } = model;
  const { queue, answering, restarts, tools } = model;
  const tokens = contextWindow ? count(contextWindow, "token") : `at most ${count(trainedContextWindow, "token")}`;
  return h(
    "dl.facts",
    fact("Since", moment(since)),
    fact("Window", slots > 1 ? `${tokens}, ${number(slots)} at a time` : tokens),
    fact("Size", [size(bytes), model.quantisation].filter(Boolean).join(", ")),
    fact("Memory", residentBytes ? size(residentBytes) : "none"),
    fact("Speed", tokensPerSecond ? `${number(Math.round(tokensPerSecond))} tokens a second` : "not known yet"),
    fact("Tools", tools ? "yes" : "no"),
    fact("Answers", `${number(answering)} now, ${number(queue)} waiting`),
    restarts > 0 && fact("Restarts", number(restarts)),
  );
}

/**
 * @param {string} term
 * @param {Child} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", value));

/**
 * @param {Shown} model
 * @param {() => Promise<void>} look
 */
function actions({ id, name, state, answering }, look) {
  /**
   * @param {string} text
   * @param {(event: any) => unknown} onclick
   */
  const button = (text, onclick) =>
    el("button.small", { type: "button", onclick, "aria-label": `${text} ${id}` }, text);
  /**
   * @param {"start" | "stop" | "restart"} verb
   * @param {string} text
   */
  const doing = (verb, text) =>
    button(text, async ({ target }) => {
      const ends = `The answers that it is writing end with it: ${number(answering)}, whoever asked.`;
      if (verb !== "start" && answering > 0 && !(await ask(`${text} ${id}?`, ends, text))) return;
      await busy(target, `${text}…`, () => call("POST", `/local-models/${encodeURIComponent(name)}/${verb}`));
      await look();
    });
  const rests = state === "idle" || state === "failed";
  return h(
    "div.card-actions",
    button("What it says", () => showLines(id, name).catch((error) => notify(error.message))),
    rests ? doing("start", "Start") : [doing("restart", "Restart"), doing("stop", "Stop")],
  );
}

/**
 * The last lines of its process.
 * @param {string} id
 * @param {string} name
 */
async function showLines(id, name) {
  const { lastLines } = await details(name);
  const text = lastLines.join("\n");
  await dialog(
    `What ${id} says`,
    (close) => [
      text
        ? h(
            "div.copyable",
            el("pre", { tabindex: "0", role: "region", "aria-label": "Its last lines" }, text),
            copyButton(() => text),
          )
        : h("p", "It has said nothing."),
      h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "Close")),
    ],
    { wide: true },
  );
}
