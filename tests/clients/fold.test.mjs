// The golden files of `src/turn/fold`, seen from the other side: the SDK folds the same chunks, and accepts what we store.
//
// UPDATE=1 rewrites `parts` (what the SDK's client holds). `closed` (what we store of a turn cut off there) is written by
// UPDATE=1 cargo test fold, and only validated here.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { readUIMessageStream } from "ai";

import { sdks } from "./sdks.mjs";

const folder = new URL("../golden/fold/", import.meta.url);

async function foldedBySdk(before, chunks) {
  const stream = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  const message = { id: "m1", role: "assistant", parts: structuredClone(before) };
  let last = message;
  for await (const snapshot of readUIMessageStream({ message, stream })) last = snapshot;
  return JSON.parse(JSON.stringify(last.parts)).map(asWeKeepIt);
}

// Of arguments that are still being written the SDK keeps a best-effort parse. We do not: such a part is never stored. Of
// useless ones it keeps an `input` that is undefined, which JSON has no word for and its oldest versions insist on.
function asWeKeepIt(part) {
  if (part.state === "input-streaming") delete part.input;
  if (part.state === "output-error") part.input ??= null;
  return part;
}

for (const name of readdirSync(folder)) {
  const file = new URL(name, folder);
  const golden = JSON.parse(readFileSync(file, "utf8"));

  test(`${name}: the SDK holds these parts`, async () => {
    const parts = await foldedBySdk(golden.before, golden.chunks);
    if (process.env.UPDATE) {
      const { before, chunks, closed } = golden;
      writeFileSync(file, JSON.stringify({ before, chunks, parts, closed }, null, 2) + "\n");
    } else {
      assert.deepEqual(golden.parts, parts);
    }
  });

  test(`${name}: what is stored validates`, async () => {
    assert.notEqual(golden.closed, undefined, "run UPDATE=1 cargo test fold");
    // An answer that said nothing is not stored at all.
    if (golden.closed.length === 0) return;
    const messages = [{ id: "m1", role: "assistant", parts: golden.closed }];
    for (const { sdk } of sdks) await sdk.validateUIMessages({ messages: structuredClone(messages) });
  });
}
