// A client without any SDK: twenty lines that show a reply as it comes, as the quickstart's "your own SSE reader" would.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startAlm } from "./alm.mjs";
import * as fake from "./fake-upstream.mjs";

let app;
before(async () => (app = await startAlm()));
after(() => app?.stop());

/** Shows the text of a reply. */
async function* words(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const lines = buffer.split("\n");
    buffer = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const chunk = JSON.parse(line.slice(6));
      if (chunk.type === "text-delta") yield chunk.delta;
      if (chunk.type === "error") throw new Error(chunk.errorText);
    }
  }
}

async function collect(response) {
  const all = [];
  for await (const word of words(response)) all.push(word);
  return all.join("");
}

test("a reader of twenty lines gets the whole text", async () => {
  const org = await app.org({ upstream: [fake.text("Grüße ", "aus ", "dem ", "Süden 🌞")] });
  assert.equal(await collect(await org.chat("Hello")), "Grüße aus dem Süden 🌞");
});

test("it learns of an error in mid-stream as a sentence", async () => {
  const org = await app.org({ upstream: [fake.errorObject("So far")] });
  await assert.rejects(
    collect(await org.chat("Hello")),
    (error) => error.message.length > 10 && !error.message.includes("sk-"),
  );
});

test("the built-in model needs no provider at all", async () => {
  const org = await app.org();
  assert.ok((await collect(await org.chat("Hello"))).length > 0);
});
