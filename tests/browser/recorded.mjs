// A cassette, and an organization that plays it.

import { rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Gives an organization the model `replay/m`, its default from then on, with these recorded answers: questions and their words. */
export async function replaying(alm, org, answers) {
  const folder = await mkdtemp(join(tmpdir(), "alm-cassette-"));
  // It is read until its server has ended.
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "tour.jsonl");
  const lines = [{ almCassette: 1 }, ...Object.entries(answers).map(exchange)];
  await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const how = ["--cassette", file, "--speed", "instant", "--match", "nearest"];
  await alm.cli("providers", "add", "--org", org.slug, "--slug", "replay", ...how);
  await alm.cli("org", "set", org.slug, "--default-model", "replay/m");
}

function exchange([asked, text]) {
  const usage = { prompt_tokens: 10, completion_tokens: 5 };
  const chunks = [
    { choices: [{ index: 0, delta: { content: text } }] },
    { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    { choices: [], usage },
  ];
  const body = [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"].map((data) => [0, `data: ${data}\n\n`]);
  const request = { messages: [{ role: "user", text: asked }] };
  return { kind: "model", model: "m", asked, request, status: 200, type: "text/event-stream", waitMs: 0, body };
}
