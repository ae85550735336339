// docs/clients.md: its table is the one of clients.mjs with the versions of the lock files, and its settings are those that
// `alm clients` prints. UPDATE=1 writes both anew. What is printed works as it stands.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import connect from "../../../src/http/page/files/lib/clients.json" with { type: "json" };
import { startAlm } from "../alm.mjs";
import { clients } from "./clients.mjs";
import { quiet } from "./drivers/program.mjs";
import { pythonOf } from "./drivers/python.mjs";
import lock from "./package-lock.json" with { type: "json" };

const here = dirname(fileURLToPath(import.meta.url));
const file = join(here, "../../../docs/clients.md");
const HEAD = ["client", "package", "asks", "list", "empty balance", "too long", "busy"];

let app;
let folder;
before(async () => {
  app = await startAlm();
  folder = await mkdtemp(join(tmpdir(), "alm-connect-"));
  await symlink(join(here, "node_modules"), join(folder, "node_modules"));
});
after(async () => {
  await app?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The version that is installed. */
async function version({ pack, list = "newest" }, kind) {
  if (kind !== "python") return lock.packages[`node_modules/${pack}`].version;
  const text = await readFile(join(here, "python", `${list}.txt`), "utf8");
  return text.match(new RegExp(`^${pack}==(.*)$`, "m"))[1];
}

async function tried() {
  const rows = [HEAD, HEAD.map(() => "---")];
  for (const [kind, list] of Object.entries(clients))
    for (const row of list) {
      const { name, pack, path, does, asks } = row;
      const count = (name) => (does.includes(name) ? (asks?.[name] ?? (name === "busy" ? 2 : 1)) : "");
      const models = does.includes("models") ? "yes" : "";
      const named = `${pack.replace(/^openai-4$/, "openai")} ${await version(row, kind)}`;
      rows.push([name, named, `\`${path}\``, models, count("poor"), count("long"), count("busy")]);
    }
  return rows.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function settings() {
  const values = { baseUrl: "http://HOST:2560/v1", origin: "http://HOST:2560", key: "alm_live_…", model: "ala" };
  const kinds = { py: "python", mjs: "js", toml: "toml" };
  return connect
    .map(({ name, file, text }) => {
      const filled = text.join("\n").replace(/\{(\w+)\}/g, (whole, value) => values[value] ?? whole);
      return `${name}: ${file.includes(".") ? `\`${file}\`` : file}\n\n\`\`\`${kinds[file.split(".").at(-1)] ?? "sh"}\n${filled}\n\`\`\``;
    })
    .join("\n\n");
}

test("docs/clients.md says what is tried here, in which versions, and what `alm clients` says", async () => {
  let text = await readFile(file, "utf8");
  const before = text;
  for (const [mark, made] of [
    ["tried", await tried()],
    ["connect", settings()],
  ])
    text = text.replace(
      new RegExp(`(<!-- ${mark} -->\n)[^]*?(<!-- /${mark} -->)`),
      (_, start, end) => `${start}\n${made}\n\n${end}`,
    );
  if (process.env.UPDATE) await writeFile(file, text);
  else assert.equal(before, text, "UPDATE=1 writes it anew");
});

// Codex and Claude Code are set up by it in programs.test.mjs.
for (const slug of ["python", "node", "ai-sdk"]) {
  test(`what \`alm clients ${slug}\` prints answers as it stands`, async () => {
    const { key } = await app.org();
    const text = (await app.cli("clients", slug, "--url", app.base)).replace("alm_live_YOUR_KEY", key);
    const script = join(folder, slug === "python" ? "ask.py" : `${slug}.mjs`);
    await writeFile(script, text);
    const run = slug === "python" ? await pythonOf("newest") : process.execPath;
    assert.match((await promisify(execFile)(run, [script], { env: quiet() })).stdout, /^Hello/);
  });
}
