// Connecting a provider, and changing one.

import { call } from "../../lib/api.js";
import { dialog } from "../../lib/dialog.js";
import { fill, h, notify } from "../../lib/dom.js";
import { field, form, input, Wrong } from "../../lib/form.js";

const KIND = "openai-compatible";

/** Asks where the models are; answers the provider that was made. */
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
      const choose = (preset) => {
        slug.value = preset?.slug ?? "";
        baseUrl.value = preset?.baseUrl ?? "";
        (preset ? key.querySelector("input") : slug).focus();
      };
      return form({
        content: [
          presetChoice(presets, choose),
          h(
            "div.row",
            field("Slug", slug, "Its models will be slug/model."),
            field("Address", baseUrl, "Up to and without /chat/completions."),
          ),
          key,
        ],
        submit: "Connect",
        working: "Connecting…",
        cancel: close,
        send: async ({ slug, baseUrl, apiKey }) => {
          if (!slug.trim()) throw new Wrong("slug", "Give it a slug, such as local.");
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

function presetChoice(presets, choose) {
  const button = (text, preset) => {
    const element = h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        onclick: () => {
          for (const other of element.parentElement.children)
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
    h("legend", "What is it?"),
    h(
      "div.presets",
      presets.map((preset) => button(preset.name ?? preset.slug, preset)),
      button("Something else", undefined),
    ),
  );
}

const keyField = (label) =>
  field(
    label,
    input("apiKey", { type: "password", autocomplete: "off", spellcheck: "false" }),
    "Servers on this machine mostly need none. It is sealed before it is stored, and never shown again.",
  );

/** Changes a provider; whether it was changed. */
export function editProvider(provider) {
  const rows = h("tbody", provider.models.map(modelRow));
  const add = () => {
    const row = modelRow();
    rows.append(row);
    row.querySelector("input").focus();
  };
  return dialog(
    `Edit ${provider.slug}`,
    (close) =>
      form({
        content: [
          field("Address", input("baseUrl", { value: provider.baseUrl, inputmode: "url", spellcheck: "false" })),
          keyField(provider.hasApiKey ? "New API key (empty: as it is)" : "API key"),
          h("h3", "Models and prices"),
          h("p.hint", "In US dollars per million tokens. Empty prices: free. The window is in tokens."),
          h(
            "div.scrolls",
            { tabindex: "0", role: "region", "aria-label": "Models and prices" },
            h(
              "table.edit",
              h(
                "thead",
                h(
                  "tr",
                  ["Model", "In", "Out", "Window"].map((title) => h("th", { scope: "col" }, title)),
                  h("td"),
                ),
              ),
              rows,
            ),
          ),
          h("p", h("button.small", { type: "button", onclick: add }, "Add a model")),
        ],
        submit: "Save",
        cancel: close,
        send: async ({ baseUrl, apiKey }) => {
          const body = {
            baseUrl: baseUrl.trim(),
            apiKey: apiKey.trim() || undefined,
            models: [...rows.rows].map(readRow).filter(Boolean),
          };
          await call("PATCH", `/providers/${provider.id}`, body);
          notify(`${provider.slug} is saved.`);
          close(true);
        },
      }),
    { wide: true },
  );
}

function modelRow(model) {
  const cell = (label, value, attributes) =>
    h("td", h("input", { "aria-label": label, value: value ?? "", type: "text", autocomplete: "off", ...attributes }));
  const row = h(
    "tr",
    cell("Model", model?.id, { class: "wide-cell", spellcheck: "false" }),
    cell("Price in", model?.pricing?.inputPerMillion, { inputmode: "decimal" }),
    cell("Price out", model?.pricing?.outputPerMillion, { inputmode: "decimal" }),
    cell("Window", model?.contextWindow, { inputmode: "numeric" }),
    h(
      "td",
      h(
        "button.small",
        { type: "button", "aria-label": `Leave out ${model?.id ?? "this model"}`, onclick: () => row.remove() },
        "×",
      ),
    ),
  );
  row.cached = model?.pricing?.cachedInputPerMillion;
  return row;
}

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
    throw new Error(`The window of ${id} is a whole number of tokens, or nothing.`);
  return { id, pricing, contextWindow };
}
