// @ts-check

// Connecting a provider, and changing one.

import { call } from "../../lib/api.js";
import { dialog } from "../../lib/dialog.js";
import { el, h, notify } from "../../lib/dom.js";
import { field, form, input, FieldError } from "../../lib/form.js";

const KIND = "openai-compatible";

/**
 * Asks where the models are; returns the provider that was created.
 * @returns {Promise<Api.Provider | undefined>}
 */
export async function connect() {
  const presets = (await call("GET", "/providers/presets")).items;
  return dialog(
    "Connect a provider",
    (close) => {
      const slug = input("slug", { maxlength: "64", spellcheck: "false", autocapitalize: "none" });
      const baseUrl = input("baseUrl", {
        inputmode: "url",
        spellcheck: "false",
        placeholder: "http://127.0.0.1:8000/v1",
      });
      const key = keyField("API key");
      /** @param {Api.ProviderPreset | undefined} preset */
      const choose = (preset) => {
        slug.value = preset?.slug ?? "";
        baseUrl.value = preset?.baseUrl ?? "";
        (preset ? key.querySelector("input") : slug)?.focus();
      };
      return form({
        content: [
          presetChoice(presets, choose),
          h(
            "div.row",
            field("Slug", slug, "Its models are named slug/model."),
            field("Base URL", baseUrl, "The API's base URL, such as http://127.0.0.1:11434/v1."),
          ),
          key,
        ],
        submit: "Connect",
        working: "Connecting…",
        cancel: close,
        send: async ({ slug, baseUrl, apiKey }) => {
          if (!slug.trim()) throw new FieldError("slug", "Enter a slug, such as local.");
          const body = {
            slug: slug.trim(),
            kind: KIND,
            baseUrl: baseUrl.trim() || undefined,
            apiKey: apiKey.trim() || undefined,
            models: [],
          };
          const made = await call("POST", "/providers", body);
          // It is connected either way; the test that follows says what is wrong.
          close(await call("POST", `/providers/${made.id}/refresh`).catch(() => made));
        },
      });
    },
    { wide: true },
  );
}

/**
 * @param {Api.ProviderPreset[]} presets
 * @param {(preset: Api.ProviderPreset | undefined) => void} choose
 */
function presetChoice(presets, choose) {
  /**
   * @param {string} text
   * @param {Api.ProviderPreset | undefined} preset
   */
  const button = (text, preset) => {
    const element = el(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onclick: () => {
          for (const other of element.parentElement?.children ?? [])
            other.setAttribute("aria-pressed", String(other === element));
          choose(preset);
        },
      },
      text,
    );
    return element;
  };
  return h(
    "fieldset",
    h("legend", "Kind of server"),
    h(
      "div.presets",
      presets.map((preset) => button(preset.name ?? preset.slug, preset)),
      button("Other", undefined),
    ),
  );
}

/** @param {string} label */
const keyField = (label) =>
  field(
    label,
    input("apiKey", { type: "password", autocomplete: "off", spellcheck: "false" }),
    "Servers on this machine usually need none. It is stored encrypted and never shown again.",
  );

/**
 * Changes a provider; whether it was changed.
 * @param {Api.Provider} provider
 */
export function editProvider(provider) {
  const rows = h("tbody", provider.models.map(modelRow));
  const add = () => {
    const row = modelRow();
    rows.append(row);
    row.querySelector("input")?.focus();
  };
  return dialog(
    `Edit ${provider.slug}`,
    (close) =>
      form({
        content: [
          provider.cassette
            ? null
            : [
                field("Base URL", input("baseUrl", { value: provider.baseUrl, inputmode: "url", spellcheck: "false" })),
                keyField(provider.hasApiKey ? "New API key (leave empty to keep the current one)" : "API key"),
              ],
          h("h3", "Models and prices"),
          h(
            "p.hint",
            "Prices are in US dollars per million tokens; empty means free. The context window is in tokens.",
          ),
          el(
            "div.scrolls",
            { tabindex: "0", role: "region", "aria-label": "Models and prices" },
            h(
              "table.edit",
              h(
                "thead",
                h(
                  "tr",
                  ["Model", "Input", "Output", "Context window"].map((title) => el("th", { scope: "col" }, title)),
                  h("td"),
                ),
              ),
              rows,
            ),
          ),
          h("p", el("button.small", { type: "button", onclick: add }, "Add model")),
        ],
        submit: "Save",
        cancel: close,
        send: async ({ baseUrl, apiKey }) => {
          const body = {
            // A cassette has neither.
            baseUrl: baseUrl?.trim(),
            apiKey: apiKey?.trim() || undefined,
            models: [...rows.rows].map(readRow).filter(Boolean),
          };
          await call("PATCH", `/providers/${provider.id}`, body);
          notify(`Saved ${provider.slug}.`);
          close(true);
        },
      }),
    { wide: true },
  );
}

/** @param {Api.ListedModel} [model] */
function modelRow(model) {
  /**
   * @param {string} label
   * @param {string | number | null | undefined} value
   * @param {Attributes} attributes
   */
  const cell = (label, value, attributes) =>
    h("td", el("input", { "aria-label": label, value: value ?? "", type: "text", autocomplete: "off", ...attributes }));
  /** @type {HTMLTableRowElement & { cached?: string }} */
  const row = h(
    "tr",
    cell("Model", model?.id, { class: "wide-cell", spellcheck: "false" }),
    cell("Input price", model?.pricing?.inputPerMillion, { inputmode: "decimal" }),
    cell("Output price", model?.pricing?.outputPerMillion, { inputmode: "decimal" }),
    cell("Context window", model?.contextWindow, { inputmode: "numeric" }),
    h(
      "td",
      el(
        "button.small",
        { type: "button", "aria-label": `Remove ${model?.id ?? "this model"}`, onclick: () => row.remove() },
        "×",
      ),
    ),
  );
  row.cached = model?.pricing?.cachedInputPerMillion;
  return row;
}

/** @param {HTMLTableRowElement & { cached?: string }} row */
function readRow(row) {
  const [id, inPrice, outPrice, window] = [...row.querySelectorAll("input")].map((cell) =>
    cell.value.trim().replace(",", "."),
  );
  if (!id) return undefined;
  const isPriced = inPrice !== "" || outPrice !== "";
  const pricing = isPriced
    ? {
        inputPerMillion: inPrice || "0",
        outputPerMillion: outPrice || "0",
        ...(row.cached && { cachedInputPerMillion: row.cached }),
      }
    : undefined;
  const contextWindow = window === "" ? undefined : Number(window);
  if (contextWindow !== undefined && !Number.isInteger(contextWindow))
    throw new Error(`The context window of ${id} must be a whole number of tokens, or empty.`);
  return { id, pricing, contextWindow };
}
