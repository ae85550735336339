// What the pages decide without a browser: folding, files, figures, passwords.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fold, emptyMessage } from "../../src/http/page/files/chat/fold.js";
import { inPlainSight } from "../../src/http/page/files/lib/approval-card.js";
import { csv } from "../../src/http/page/files/lib/csv.js";
import { duration, microcents, money, price } from "../../src/http/page/files/lib/format.js";
import { judge } from "../../src/http/page/files/lib/strength.js";
import { headersIn, secretsIn } from "../../src/http/page/files/sections/tools/headers.js";
import { sample } from "../../src/http/page/files/sections/tools/try.js";

const GOLDEN = new URL("../golden/fold/", import.meta.url);

for (const name of readdirSync(GOLDEN)) {
  test(`${name}: the page holds the parts that the SDK holds`, () => {
    const { before, chunks, parts } = JSON.parse(readFileSync(new URL(name, GOLDEN), "utf8"));
    const message = emptyMessage(structuredClone(before));
    for (const chunk of chunks) fold(message, chunk);
    assert.deepEqual(JSON.parse(JSON.stringify(message.parts)), parts);
  });
}

test("a tool of one's own is a dynamic part, from its first argument to its result", () => {
  const named = { toolCallId: "c", toolName: "create_ticket", dynamic: true };
  const message = emptyMessage();
  const after = (...chunks) => {
    for (const chunk of chunks) fold(message, chunk);
    return message.parts.at(-1);
  };
  fold(message, { type: "start-step" });
  const part = { type: "dynamic-tool", toolName: "create_ticket", toolCallId: "c", title: "Ticket" };
  assert.deepEqual(after({ type: "tool-input-start", ...named, title: "Ticket" }), {
    ...part,
    state: "input-streaming",
  });
  const input = { title: "x" };
  assert.deepEqual(
    after(
      { type: "tool-input-available", ...named, input },
      { type: "tool-approval-request", approvalId: "a", toolCallId: "c" },
    ),
    { ...part, state: "approval-requested", input, approval: { id: "a" } },
  );
  const early = { type: "tool-output-available", toolCallId: "c", output: 1, preliminary: true };
  assert.equal(after(early).preliminary, true);
  assert.deepEqual(after({ type: "tool-output-available", toolCallId: "c", output: 2 }), {
    ...part,
    state: "output-available",
    input,
    approval: { id: "a" },
    output: 2,
  });
  const bad = { type: "tool-input-error", ...named, toolCallId: "d", input: "{", errorText: "no JSON" };
  const failed = { type: "dynamic-tool", toolName: "create_ticket", toolCallId: "d", state: "output-error" };
  assert.deepEqual(after(bad), { ...failed, input: "{", errorText: "no JSON" });
});

test("metadata is merged, and no prototype with it", () => {
  const message = emptyMessage();
  fold(message, { type: "start", messageMetadata: { model: "m", usage: { inputTokens: 1 } } });
  fold(message, JSON.parse('{"type":"finish","messageMetadata":{"usage":{"outputTokens":2},"__proto__":{"x":1}}}'));
  assert.deepEqual(message.metadata, { model: "m", usage: { inputTokens: 1, outputTokens: 2 } });
  assert.equal({}.x, undefined);
});

test("a cell is quoted where it must be, and never a formula", () => {
  assert.equal(
    csv([["a", -1, 'say "x", now', "=1+1", "+1", "-1", "@x", "a\nb"]]),
    `a,-1,"say ""x"", now",'=1+1,'+1,'-1,'@x,"a\nb"\r\n`,
  );
});

test("dollars are whole microcents, or nothing", () => {
  const cases = {
    10: 10_000_000,
    "2.50": 2_500_000,
    "0,25": 250_000,
    "$ 1": 1_000_000,
    0.000001: 1,
    ten: undefined,
    "-1": undefined,
    "1.2.3": undefined,
    "0.0000001": undefined,
    "": undefined,
  };
  for (const [text, amount] of Object.entries(cases)) assert.equal(microcents(text), amount, text);
});

test("figures are read as people write them", () => {
  assert.equal(money(12_500_000), "$12.50");
  assert.equal(money(1_234), "$0.001234");
  assert.equal(money(0), "$0.00");
  assert.equal(duration(340), "340 ms");
  assert.equal(duration(1_530), "1.5 s");
  const paid = (inputPerMillion, outputPerMillion) => price({ pricing: { inputPerMillion, outputPerMillion } });
  assert.equal(paid("0.25", "2"), "$0.25 in, $2.00 out");
  assert.equal(paid("0", "0"), "free");
  assert.equal(price({ local: true }), "local");
  assert.equal(price({ paidElsewhere: true }), "paid elsewhere");
  assert.equal(price({}), "no price set");
});

test("what cannot be seen in an input is spelled out, and what can be seen is left alone", () => {
  assert.equal(
    inPlainSight("a\u202eb\u200bc\u00add\ufeff\u{e0041}"),
    '"a\\u{202e}b\\u{200b}c\\u{ad}d\\u{feff}\\u{e0041}"',
  );
  assert.equal(inPlainSight("\\u{202e}\n<b>"), '"\\\\u{202e}\\n<b>"');
  for (const plain of ["é", "שלום", "👨‍👩‍👧", "می‌خواهم", "日本 語"]) assert.equal(inPlainSight(plain), `"${plain}"`);
  assert.equal(inPlainSight({ "\u2066k": [1] }), '{\n  "\\u{2066}k": [\n    1\n  ]\n}');
  assert.equal(inPlainSight(undefined), "null");
});

test("headers are written one a line", () => {
  const text = " Accept: application/json \n\nX-Team:a: b\n";
  assert.deepEqual(headersIn("headers", text), { accept: "application/json", "x-team": "a: b" });
  assert.deepEqual(secretsIn("Authorization: Bearer x"), { authorization: { value: "Bearer x" } });
  assert.equal(secretsIn(" \n"), undefined);
  for (const wrong of ["no header", ": x", "a b: c"]) assert.throws(() => headersIn("headers", wrong), /Name: value/);
});

test("an input to try a tool with has what is required", () => {
  const properties = {
    title: { type: "string" },
    size: { enum: ["small", "large"] },
    tries: { type: ["integer", "null"] },
    sure: { type: "boolean", default: true },
    at: { type: "object", properties: { x: { type: "number" } }, required: ["x"] },
    more: { type: "string" },
  };
  const required = ["title", "size", "tries", "sure", "at"];
  assert.deepEqual(sample({ type: "object", properties, required }), {
    title: "",
    size: "small",
    tries: 0,
    sure: true,
    at: { x: 0 },
  });
  assert.deepEqual(sample(undefined), {});
});

test("length makes a password strong; repetition, runs and habits do not", () => {
  const levels = {
    "": 0,
    short: 0,
    aaaaaaaaaaaaaaaa: 1,
    abcdefghijklmnop: 1,
    password2026: 1,
    "Tr0ub4dor&3": 3,
    "correct horse battery staple": 3,
    zufallswort: 1,
  };
  for (const [password, level] of Object.entries(levels)) assert.equal(judge(password)[0], level, password);
});

test("every script of ours is type-checked", () => {
  for (const folder of ["page", "docs"]) {
    const files = new URL(`../../src/http/${folder}/files/`, import.meta.url);
    const scripts = readdirSync(files, { recursive: true }).filter((name) =>
      /^(?!.*(marked|swagger-ui)).*\.js$/.test(name),
    );
    assert.ok(scripts.length > 2);
    for (const name of scripts) assert.match(readFileSync(new URL(name, files), "utf8"), /^\/\/ @ts-check\n/, name);
  }
});
