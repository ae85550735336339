// @ts-check

// How the commonest clients are connected to an agent: the texts of `clients.json`, which `alm clients` prints too.
//
// Rule: no key is shown here, only where it goes.

import { dialog } from "./dialog.js";
import { copyButton, el, h } from "./dom.js";

const KEY = "alm_live_YOUR_KEY";

/**
 * Shows how to connect to the model of this name.
 * @param {string} name
 * @param {string} model
 */
export async function connect(name, model) {
  const { origin } = location;
  /** @type {Record<string, string>} */
  const values = { origin, baseUrl: `${origin}/v1`, key: KEY, model };
  /** @type {{ name: string, file: string, text: string[] }[]} */
  const clients = await (await fetch(new URL("clients.json", import.meta.url))).json();
  await dialog(
    `Connect to ${name}`,
    (close) => [
      h("p", "Whatever speaks to OpenAI, or to Anthropic, speaks to this agent, once it is told three things:"),
      h("dl.facts", fact("Base URL", values.baseUrl), fact("API key", KEY), fact("Model", model)),
      h(
        "p",
        "Make a key in ",
        el("a", { href: "#keys", onclick: () => close() }, "API keys"),
        " and put it in the place of this one.",
      ),
      clients.map((client) => section(client.name, client.file, filled(client.text, values))),
      h("div.actions", el("button.primary", { type: "button", onclick: () => close() }, "Close")),
    ],
    { wide: true },
  );
}

/**
 * @param {string[]} lines
 * @param {Record<string, string>} values
 */
const filled = (lines, values) => lines.join("\n").replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

/**
 * @param {string} name
 * @param {string} file
 * @param {string} text
 */
const section = (name, file, text) => [
  h("h3", `${name}: ${file}`),
  h(
    "div.copyable",
    el("pre", { tabindex: "0", role: "region", "aria-label": name }, text),
    copyButton(() => text, "Copy", `Copy for ${name}`),
  ),
];

/**
 * @param {string} term
 * @param {string} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", h("code", value)));
