// @ts-check

// Adding an MCP server by its address, and changing one.

import { call } from "../../lib/api.js";
import { dialog } from "../../lib/dialog.js";
import { h, notify } from "../../lib/dom.js";
import { field, form, input, select, textarea, FieldError } from "../../lib/form.js";
import { secretsIn } from "./headers.js";

/** What its tools do before a person says otherwise. */
const APPROVALS = [
  ["ask", "Ask before each call"],
  ["owner", "Ask an owner before each call"],
  ["hints", "Ask, but for those it calls read-only"],
  ["never", "Run at once"],
];

/** Tools that it lists later than now. */
const NEW_TOOLS = [
  ["off", "Stay off until switched on"],
  ["ask", "Are on, and ask"],
];

/**
 * Asks where the server is; gives the one that was added.
 * @returns {Promise<Api.McpServer | undefined>}
 */
export function addServer() {
  const slug = input("slug", { maxlength: "24", spellcheck: "false", autocapitalize: "none" });
  const name = nameInput("");
  let isOwn = false;
  slug.addEventListener("input", () => (isOwn = slug.value !== ""));
  name.addEventListener("input", () => {
    if (!isOwn) slug.value = slugOf(name.value);
  });
  return dialog(
    "Add an MCP server",
    (close) =>
      form({
        content: [
          h("div.row", field("Name", name), field("Slug", slug, "Its tools are named slug__tool.")),
          address(""),
          secrets([]),
          policies({ approval: "ask", newTools: "off" }),
        ],
        submit: "Add",
        working: "Adding…",
        cancel: close,
        send: async (values) => {
          if (!values.name.trim()) throw new FieldError("name", "Enter a name.");
          const body = { name: values.name.trim(), slug: values.slug.trim(), ...bodyOf(values) };
          close(await call("POST", "/mcp/servers", body));
        },
      }),
    { wide: true },
  );
}

/**
 * Changes a server; whether it was changed. A command is changed on the machine.
 * @param {Api.McpServer} server
 */
export function editServer(server) {
  const { slug, name, url, transport, timeoutMs, useInstructions, secretHeaders } = server;
  const byUrl = transport === "http";
  return dialog(
    `Edit ${name}`,
    (close) =>
      form({
        content: [
          field("Name", nameInput(name)),
          byUrl && [address(url ?? ""), secrets(secretHeaders ?? [])],
          policies(server),
          h(
            "div.row",
            field(
              "Time-out",
              input("timeoutSeconds", { value: String((timeoutMs ?? 60_000) / 1_000), inputmode: "decimal" }),
              "Seconds for a call, up to 600",
            ),
            field(
              "Its instructions",
              select(
                "useInstructions",
                [
                  ["", "Are not given to the model"],
                  ["yes", "Are given to the model"],
                ],
                useInstructions ? "yes" : "",
              ),
            ),
          ),
        ],
        submit: "Save",
        cancel: close,
        send: async (values) => {
          const seconds = Number(values.timeoutSeconds.replace(",", "."));
          if (!(seconds > 0)) throw new FieldError("timeoutSeconds", "Enter seconds, such as 60.");
          await call("PATCH", `/mcp/servers/${encodeURIComponent(slug)}`, {
            name: values.name.trim(),
            ...bodyOf(values, url),
            timeoutMs: Math.round(seconds * 1_000),
            useInstructions: values.useInstructions === "yes",
          });
          notify(`Saved ${name}.`);
          close(true);
        },
      }),
    { wide: true },
  );
}

/** @param {string} value */
const nameInput = (value) => input("name", { value, maxlength: "255", autofocus: true });

/** @param {string} url */
const address = (url) =>
  field(
    "Address",
    input("url", { value: url, inputmode: "url", spellcheck: "false", placeholder: "https://mcp.example.com/mcp" }),
    "Its Streamable HTTP endpoint.",
  );

/** @param {string[]} kept */
const secrets = (kept) => [
  field(
    "Bearer token",
    input("bearer", { type: "password", autocomplete: "off", spellcheck: "false" }),
    "Stored encrypted and never shown again. Leave it empty if the server needs none.",
  ),
  field(
    "Other secret headers",
    textarea("secretHeaders", { rows: 2, spellcheck: "false", autocomplete: "off" }),
    "One a line, such as X-Team: value.",
  ),
  kept.length > 0 &&
    h("p.hint", `Stored: ${kept.join(", ")}. Leave both empty to keep them; what you enter here replaces all of them.`),
];

/** @param {{ approval: string, newTools: string }} policies */
const policies = ({ approval, newTools }) =>
  h(
    "div.row",
    field("Its tools", select("approval", APPROVALS, approval)),
    field("Tools it adds later", select("newTools", NEW_TOOLS, newTools)),
  );

/**
 * @param {any} values
 * @param {string | null} [urlBefore]
 */
function bodyOf({ url, bearer, secretHeaders, approval, newTools }, urlBefore) {
  return {
    url: url === undefined || url.trim() === urlBefore ? undefined : url.trim(),
    bearer: bearer?.trim() ? { value: bearer.trim() } : undefined,
    secretHeaders: secretsIn(secretHeaders ?? ""),
    approval,
    newTools,
  };
}

/** @param {string} name */
const slugOf = (name) =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 24);
