// @ts-check

// Changing a provider: where it is, which of its models chats may ask, and what they cost.
//
// Rule: a provider may have thousands of models, and the page holds the fields of a few: what is entered is kept beside them.

import { call } from "../../lib/api.js";
import { dialog } from "../../lib/dialog.js";
import { el, fill, h, notify } from "../../lib/dom.js";
import { checkbox, field, form, input } from "../../lib/form.js";
import { number } from "../../lib/format.js";
import { keyField } from "./providers.js";

/** How many models are shown at once. */
const ROWS_MAX = 30;

/** @typedef {{ id: string, isNew: boolean, offered: boolean, into: string, out: string, cached?: string, window: string }} Draft */

/**
 * Changes a provider; whether it was changed. With `asks` it was just connected, and only what its models cost is asked.
 * @param {Api.Provider} provider
 * @param {{ asks?: boolean }} [options]
 */
export function editProvider(provider, { asks = false } = {}) {
  const drafts = provider.models.map(draftOf);
  const address = () => [
    field("Base URL", input("baseUrl", { value: provider.baseUrl, inputmode: "url", spellcheck: "false" })),
    keyField(provider.hasApiKey ? "New API key (leave empty to keep the current one)" : "API key"),
  ];
  return dialog(
    asks ? `What do the models of ${provider.slug} cost?` : `Edit ${provider.slug}`,
    (close) =>
      form({
        content: [
          asks &&
            h(
              "p",
              "They answer elsewhere, and no price is set. With prices their use is counted and taken from the balance.",
            ),
          !asks && !provider.cassette && address(),
          !provider.local && checkbox("paidElsewhere", "yes", "I pay elsewhere", provider.paidElsewhere),
          modelTable(drafts),
        ],
        submit: "Save",
        cancel: close,
        send: async ({ baseUrl, apiKey, paidElsewhere }) => {
          const body = {
            // A cassette has neither.
            baseUrl: baseUrl?.trim(),
            apiKey: apiKey?.trim() || undefined,
            paidElsewhere: paidElsewhere && paidElsewhere.length > 0,
            models: drafts.map(modelOf).filter(Boolean),
          };
          await call("PATCH", `/providers/${provider.id}`, body);
          notify(`Saved ${provider.slug}.`);
          close(true);
        },
      }),
    { wide: true },
  );
}

/**
 * @param {Partial<Api.ListedModel>} model
 * @returns {Draft}
 */
const draftOf = ({ id, pricing, contextWindow, offered }) => ({
  id: id ?? "",
  isNew: id === undefined,
  offered: offered ?? true,
  into: pricing?.inputPerMillion ?? "",
  out: pricing?.outputPerMillion ?? "",
  cached: pricing?.cachedInputPerMillion,
  window: String(contextWindow ?? ""),
});

/** @param {Draft} draft */
function modelOf({ id, offered, into, out, cached, window }) {
  const [name, inPrice, outPrice, tokens] = [id, into, out, window].map((text) => text.trim().replace(",", "."));
  if (!name) return undefined;
  const isPriced = inPrice !== "" || outPrice !== "";
  const pricing = isPriced
    ? {
        inputPerMillion: inPrice || "0",
        outputPerMillion: outPrice || "0",
        ...(cached && { cachedInputPerMillion: cached }),
      }
    : undefined;
  const contextWindow = tokens === "" ? undefined : Number(tokens);
  if (contextWindow !== undefined && !Number.isInteger(contextWindow))
    throw new Error(`The context window of ${name} must be a whole number of tokens, or empty.`);
  return { id: id.trim(), pricing, contextWindow, offered };
}

/**
 * The models, of which a few are shown; what is entered goes into `drafts`.
 * @param {Draft[]} drafts
 */
function modelTable(drafts) {
  const rows = h("tbody");
  const shown = el("p.hint", { role: "status" });
  const filter = el("input", {
    type: "search",
    "aria-label": "Filter models",
    placeholder: "Filter",
    autocomplete: "off",
  });
  const all = el("input", { type: "checkbox", "aria-label": "Offer all that the filter finds" });
  const found = () =>
    drafts.filter(({ id, isNew }) => isNew || id.toLowerCase().includes(filter.value.trim().toLowerCase()));
  const show = () => {
    const models = found();
    // New ones stand first, where they were added.
    models.sort((a, b) => Number(b.isNew) - Number(a.isNew));
    fill(
      rows,
      models
        .slice(0, ROWS_MAX)
        .map((draft) => row(draft, () => drafts.splice(drafts.indexOf(draft), 1) && show(), mark)),
    );
    shown.textContent =
      models.length > ROWS_MAX ? `${ROWS_MAX} of ${number(models.length)} are shown. Filter to find the others.` : "";
    mark();
  };
  const mark = () => {
    const models = found();
    all.checked = models.length > 0 && models.every(({ offered }) => offered);
    all.indeterminate = !all.checked && models.some(({ offered }) => offered);
  };
  const add = () => {
    drafts.push(draftOf({}));
    show();
    /** @type {HTMLElement | null} */ (rows.querySelector(".wide-cell"))?.focus();
  };
  filter.addEventListener("input", show);
  all.addEventListener("change", () => {
    for (const draft of found()) draft.offered = all.checked;
    show();
  });
  show();
  const titles = ["Model", "Input", "Output", "Context window"];
  return [
    h("h3", "Models and prices"),
    h(
      "p.hint",
      "Prices are in US dollars per million tokens; empty: none is set, and nothing is counted. The context window is in tokens.",
    ),
    drafts.length > ROWS_MAX / 2 && filter,
    el(
      "div.scrolls",
      { tabindex: "0", role: "region", "aria-label": "Models and prices" },
      h(
        "table.edit",
        h(
          "thead",
          h(
            "tr",
            el("th", { scope: "col" }, all),
            titles.map((title) => el("th", { scope: "col" }, title)),
            h("td"),
          ),
        ),
        rows,
      ),
    ),
    shown,
    h("p", el("button.small", { type: "button", onclick: add }, "Add model")),
  ];
}

/**
 * @param {Draft} draft
 * @param {() => unknown} remove
 * @param {() => void} changed
 */
function row(draft, remove, changed) {
  const name = draft.id || "this model";
  /**
   * @param {"id" | "into" | "out" | "window"} key
   * @param {string} label
   * @param {Attributes} attributes
   */
  const cell = (key, label, attributes) => {
    /** @param {any} event */
    const oninput = ({ target }) => (draft[key] = target.value);
    return el("input", {
      "aria-label": label,
      value: draft[key],
      type: "text",
      autocomplete: "off",
      oninput,
      ...attributes,
    });
  };
  const offer = el("input", { type: "checkbox", "aria-label": `Offer ${name}`, checked: draft.offered });
  offer.addEventListener("change", () => {
    draft.offered = offer.checked;
    changed();
  });
  const id = draft.isNew
    ? h("td", cell("id", "Model", { class: "wide-cell", spellcheck: "false" }))
    : el("th", { scope: "row" }, h("code", draft.id));
  return h(
    "tr",
    h("td", offer),
    id,
    h("td", cell("into", "Input price", { inputmode: "decimal" })),
    h("td", cell("out", "Output price", { inputmode: "decimal" })),
    h("td", cell("window", "Context window", { inputmode: "numeric" })),
    h("td", el("button.small", { type: "button", "aria-label": `Remove ${name}`, onclick: remove }, "×")),
  );
}
