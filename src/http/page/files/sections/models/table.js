// @ts-check

// All models that chats may ask, in groups by their provider, and those that a filter finds.

import { el, fill, h } from "../../lib/dom.js";
import { count, number, priceOf } from "../../lib/format.js";
import { table } from "../../lib/states.js";

/** How a context window is known. */
const WINDOW_SOURCES = { told: "as entered", read: "says its server", learned: "learned from a refusal" };
/** A longer group is closed until it is opened, or a filter finds something in it. */
const OPEN_MAX = 20;
/** From so many models on there is a filter. */
const FILTER_MIN = 10;

/**
 * @param {HTMLElement} element
 * @param {Api.Model[]} models
 */
export function showModels(element, models) {
  const filter = el("input", {
    type: "search",
    "aria-label": "Filter models",
    placeholder: "Filter",
    autocomplete: "off",
  });
  const said = el("p.away", { role: "status" });
  const groups = el("div.groups", {});
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = models.filter(({ id }) => words.every((word) => id.toLowerCase().includes(word)));
    const providers = Map.groupBy(found, ({ provider }) => provider);
    fill(
      groups,
      [...providers].map(([slug, its]) => group(slug, its, words.length > 0)),
    );
    if (found.length === 0) fill(groups, h("p.quiet", `No model matches “${filter.value.trim()}”.`));
    said.textContent = words.length > 0 ? count(found.length, "model") : "";
  };
  filter.addEventListener("input", show);
  show();
  fill(
    element,
    h("p.quiet", "Prices are in US dollars per million tokens, as you entered them."),
    models.length >= FILTER_MIN && h("div.field", filter),
    said,
    groups,
  );
}

/**
 * @param {string} slug
 * @param {Api.Model[]} models
 * @param {boolean} isSought
 */
const group = (slug, models, isSought) =>
  el(
    "details",
    { open: isSought || models.length <= OPEN_MAX },
    h(
      "summary",
      h("strong", slug),
      ` ${count(models.length, "model")} · ${models[0].local ? "this machine" : "remote"}`,
    ),
    table(`Models of ${slug}`, "table.models", ["Model", "Price", "Context window"], [], h("tbody", models.map(row))),
  );

/** @param {Api.Model} model */
function row(model) {
  const { id, contextWindow, contextWindowSource } = model;
  return h(
    "tr",
    el("th", { scope: "row" }, h("code", id)),
    h("td", priceOf(model)),
    h(
      "td",
      contextWindow ? `${number(contextWindow)} tokens` : "unknown",
      contextWindow && contextWindowSource && h("span.quiet", ` · ${WINDOW_SOURCES[contextWindowSource]}`),
    ),
  );
}
