// A Node program that carries alm inside: starts it, learns where it is from one line, asks, and takes it along when it goes.
//
//   ALM=./alm node node.mjs "What can you do?"

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";

const [, , question = "Hello", folder = "data"] = process.argv;

// Its standard input is a pipe of ours. When we are gone, however that came, the pipe ends, and alm drains and goes as well.
const flags = ["serve", "--sidecar", "--data-dir", folder, "--provision", "-"];
const alm = spawn(process.env.ALM ?? "alm", flags, { stdio: ["pipe", "pipe", "inherit"] });
alm.on("error", (error) => fail(`alm cannot be started: ${error.message}`));

// What there should be: an organization, and a key that is made anew at each start.
alm.stdin.write(`${JSON.stringify({ org: "acme", key: { name: "app" } })}\n`);

for await (const line of createInterface(alm.stdout)) {
  const said = JSON.parse(line);
  if (said.alm !== "ready") fail(said.message);
  await ask(said);
  break;
}
alm.stdin.end();
await once(alm, "exit");

/** Asks the built-in agent, and shows the answer as it comes. */
async function ask({ url, org, key }) {
  const response = await fetch(`${url}/api/v1/chat`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "x-alumia-org": org, "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content: question }] }),
  });
  if (!response.ok) fail((await response.json()).error.message);
  for await (const line of createInterface(Readable.fromWeb(response.body))) {
    if (!line.startsWith("data: {")) continue;
    const chunk = JSON.parse(line.slice("data: ".length));
    if (chunk.type === "text-delta") process.stdout.write(chunk.delta);
    if (chunk.type === "error") fail(chunk.errorText);
  }
  process.stdout.write("\n");
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
