// The types of what the API takes and returns, from its document, so that the pages are checked against it: writes
// `api.d.ts` beside this file, which git does not keep.

import { readFileSync, writeFileSync } from "node:fs";

const DOCUMENT = new URL("../../openapi/openapi.json", import.meta.url);
const TYPES = new URL("api.d.ts", import.meta.url);

const PLAIN = { string: "string", integer: "number", number: "number", boolean: "boolean" };

/** A schema as TypeScript. What the document says nothing of may be anything. */
function type(schema) {
  const bare = bareType(schema);
  return schema.nullable && bare !== "any" ? `${bare} | null` : bare;
}

function bareType({ $ref, allOf, oneOf, enum: values, type: kind, items, properties, required = [] }) {
  if ($ref) return $ref.split("/").at(-1);
  // What has no `$ref` beside one that has is its description.
  if (allOf)
    return allOf
      .filter((schema) => schema.$ref || schema.properties)
      .map(bareType)
      .join(" & ");
  if (oneOf) return oneOf.map(bareType).join(" | ");
  if (values) return values.map((value) => JSON.stringify(value)).join(" | ");
  if (kind === "array") return `Array<${type(items)}>`;
  if (!properties) return PLAIN[kind] ?? "any";
  const fields = Object.entries(properties).map(
    ([name, schema]) => `${JSON.stringify(name)}${required.includes(name) ? "" : "?"}: ${type(schema)};`,
  );
  return `{ ${fields.join(" ")} }`;
}

const { schemas } = JSON.parse(readFileSync(DOCUMENT, "utf8")).components;
const types = Object.entries(schemas).map(([name, schema]) => `  type ${name} = ${type(schema)};\n`);
writeFileSync(TYPES, `declare namespace Api {\n${types.join("")}}\n`);
