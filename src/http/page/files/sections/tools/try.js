// @ts-check

// Trying a tool: one call with an input that a person wrote. The click is the approval.

import { call } from "../../lib/api.js";
import { inPlainSight } from "../../lib/approval-card.js";
import { dialog } from "../../lib/dialog.js";
import { el, fill, h } from "../../lib/dom.js";
import { field, form, textarea, FieldError } from "../../lib/form.js";
import { duration } from "../../lib/format.js";

/** @param {Api.Tool} tool */
export function tryTool({ name, inputSchema }) {
  const result = el("div", { role: "status" });
  return dialog(
    `Try ${name}`,
    (close) =>
      form({
        content: [
          h("p", "This calls it once, as an agent would, with all that it does."),
          field(
            "Input",
            textarea("input", {
              value: JSON.stringify(sample(inputSchema), null, 2),
              rows: 6,
              class: "mono",
              spellcheck: "false",
              autofocus: true,
            }),
            "A JSON object.",
          ),
          result,
        ],
        submit: "Call it",
        working: "Calling…",
        cancel: () => close(),
        send: async ({ input }) => {
          fill(result);
          fill(result, shown(await call("POST", `/tools/${encodeURIComponent(name)}/test`, { input: parsed(input) })));
        },
      }),
    { wide: true },
  );
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text || "{}");
  } catch (error) {
    throw new FieldError("input", `This is no JSON: ${error.message}`);
  }
}

/**
 * An input to begin with: what is required, empty.
 * @param {any} schema
 * @returns {any}
 */
export function sample(schema) {
  const { type, properties = {}, required = [], enum: values } = schema ?? {};
  if (schema?.default !== undefined) return schema.default;
  if (Array.isArray(values)) return values[0];
  /** @type {Record<string, any>} */
  const plain = { string: "", number: 0, integer: 0, boolean: false, array: [], null: null };
  const one = Array.isArray(type) ? type[0] : type;
  if (one !== undefined && one !== "object") return plain[one] ?? null;
  return Object.fromEntries(
    Object.entries(properties)
      .filter(([name]) => required.includes(name))
      .map(([name, inner]) => [name, sample(inner)]),
  );
}

/** @param {ToolTryResult} result */
function shown({ ok, output, error, status, durationMs, request }) {
  const facts = [ok ? "Done" : "Failed", status && `HTTP ${status}`, duration(durationMs)].filter(Boolean).join(" · ");
  return [
    h("h3", facts),
    request && [
      h("p", h("code", `${request.method} ${request.url}`)),
      request.headerNames.length > 0 && h("p.quiet", `Headers: ${request.headerNames.join(", ")}`),
    ],
    error && h("p.bad", error),
    output !== undefined &&
      output !== null &&
      el(
        "pre.input",
        { tabindex: "0", role: "region", "aria-label": "Output" },
        typeof output === "string" ? output : inPlainSight(output),
      ),
  ];
}
