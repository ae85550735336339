// @ts-check

// The form of an HTTP tool: one request of an API, as an agent may make it.

import { call } from "../../lib/api.js";
import { dialog } from "../../lib/dialog.js";
import { h, notify } from "../../lib/dom.js";
import { checkbox, field, form, input, select, textarea, FieldError } from "../../lib/form.js";
import { headerLines, headersIn, secretsIn } from "./headers.js";
import { POLICIES } from "./tool-table.js";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].map((method) => [method, method]);
const BODIES = [
  ["json", "As a JSON body"],
  ["form", "As a form"],
  ["none", "Nowhere: only in the address"],
];
const SCHEMA = { type: "object", properties: {}, required: [], additionalProperties: false };
const TIMEOUT_MS = 30_000;
const BYTES = 262_144;

/**
 * Declares a tool, or changes one; whether it did.
 * @param {Api.Tool} [tool]
 */
export function editHttpTool(tool) {
  return dialog(
    tool ? `Edit ${tool.name}` : "Add an HTTP tool",
    (close) =>
      form({
        content: [...main(tool), more(tool)],
        submit: tool ? "Save" : "Add",
        cancel: close,
        send: async (values) => {
          const body = bodyOf(values, tool);
          await call(tool ? "PATCH" : "POST", tool ? `/tools/${encodeURIComponent(tool.name)}` : "/tools", body);
          notify(`Saved ${tool?.name ?? values.name}.`);
          close(true);
        },
      }),
    { wide: true },
  );
}

/** @param {Api.Tool} [tool] */
const main = (tool) => [
  !tool &&
    field(
      "Name",
      input("name", {
        maxlength: "64",
        spellcheck: "false",
        autocapitalize: "none",
        autofocus: true,
        placeholder: "create_ticket",
      }),
      "Small letters, digits, - and _.",
    ),
  field(
    "Description",
    textarea("description", { value: tool?.description ?? "", rows: 3, maxlength: "2048" }),
    "What it does and when to use it. The model reads this.",
  ),
  h(
    "div.row",
    field("Method", select("method", METHODS, tool?.method ?? "GET")),
    field(
      "Approval",
      select("approval", [["", "By its method"], ...POLICIES].slice(tool ? 1 : 0), tool?.approval),
      tool ? undefined : "By its method: GET and HEAD run at once, others ask.",
    ),
  ),
  field(
    "Address",
    input("url", {
      value: tool?.url ?? "",
      inputmode: "url",
      spellcheck: "false",
      placeholder: "https://api.example.com/tickets/{id}{?page}",
    }),
    "{name} puts a value of the input into the path, {?a,b} into the query.",
  ),
  field(
    "Input",
    textarea("inputSchema", {
      value: JSON.stringify(tool?.inputSchema ?? SCHEMA, null, 2),
      rows: 8,
      class: "mono",
      spellcheck: "false",
    }),
    "A JSON Schema of an object. What is not in the address goes where you say below.",
  ),
  field(
    "The rest of the input",
    select("body", BODIES, tool?.body ?? "json"),
    "GET, HEAD and DELETE put it into the query.",
  ),
  field(
    "Secret headers",
    textarea("secretHeaders", {
      rows: 2,
      spellcheck: "false",
      autocomplete: "off",
      placeholder: "Authorization: Bearer …",
    }),
    tool?.secretHeaders?.length
      ? `Stored: ${tool.secretHeaders.join(", ")}. Leave it empty to keep them; what you enter replaces all of them.`
      : "One a line. Stored encrypted and never shown again.",
  ),
];

/** @param {Api.Tool} [tool] */
const more = (tool) =>
  h(
    "details",
    h("summary", "More"),
    field(
      "Headers",
      textarea("headers", { value: headerLines(tool?.headers), rows: 2, spellcheck: "false" }),
      "One a line, such as Accept: application/json.",
    ),
    h(
      "div.row",
      field(
        "Time-out",
        input("timeoutSeconds", { value: String((tool?.timeoutMs ?? TIMEOUT_MS) / 1_000), inputmode: "decimal" }),
        "Seconds, up to 600",
      ),
      field(
        "Longest answer",
        input("responseBytesMax", { value: String(tool?.responseBytesMax ?? BYTES), inputmode: "numeric" }),
        "Bytes, up to 4,194,304",
      ),
      field(
        "Price of a call",
        input("pricePerCall", { value: tool?.pricePerCall ?? "", inputmode: "decimal", placeholder: "none" }),
        "In US dollars",
      ),
    ),
    checkbox(
      "idempotent",
      "yes",
      "The same call twice does what one does: after a crash it may be repeated",
      tool?.idempotent ?? false,
    ),
  );

/**
 * @param {any} values
 * @param {Api.Tool | undefined} tool
 */
function bodyOf(values, tool) {
  const price = values.pricePerCall.trim().replace(",", ".");
  return {
    ...(!tool && { name: values.name.trim() }),
    description: values.description,
    method: values.method,
    url: values.url.trim(),
    inputSchema: schemaIn(values.inputSchema),
    body: values.body,
    headers: headersIn("headers", values.headers),
    secretHeaders: secretsIn(values.secretHeaders),
    approval: values.approval || undefined,
    timeoutMs: whole("timeoutSeconds", values.timeoutSeconds, 1_000),
    responseBytesMax: whole("responseBytesMax", values.responseBytesMax, 1),
    pricePerCall: price || (tool ? null : undefined),
    idempotent: values.idempotent.length > 0,
  };
}

/** @param {string} text */
function schemaIn(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FieldError("inputSchema", `This is no JSON: ${error.message}`);
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} unit
 */
function whole(name, text, unit) {
  const value = Number(text.trim().replace(",", "."));
  if (!(value > 0)) throw new FieldError(name, "Enter a number.");
  return Math.round(value * unit);
}
