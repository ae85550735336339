// @ts-check

// Connecting a provider.

import { call } from "../../lib/api.js";
import { dialog } from "../../lib/dialog.js";
import { el, h } from "../../lib/dom.js";
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
export const keyField = (label) =>
  field(
    label,
    input("apiKey", { type: "password", autocomplete: "off", spellcheck: "false" }),
    "Servers on this machine usually need none. It is stored encrypted and never shown again.",
  );
