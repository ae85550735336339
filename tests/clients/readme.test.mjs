// The README, done as it says: its blocks are run one after the other, by a shell, in an empty home folder.
//
// Rule: a block that is marked `<!-- readme: … -->` is run exactly as it stands. Only addresses are put in, because a test
// takes free ports. A block is a `file` to save, a command to `start` in the background, or commands to `run`, and what it is
// said to print it must print. What blocks export, later blocks have.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import * as fake from "./fake-upstream.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const BINARY = resolve(process.env.ALM_BIN ?? join(root, "target/debug/alm"));
const BLOCK = /<!-- readme: (file|start|run)(?:, prints| )(.*?) -->\n```\w+\n(.*?)```/gs;
const OUTPUT_BYTES_MAX = 16 << 20;
/** Addresses of model servers that the README only gives as examples. */
const MODEL_SERVERS = ["http://127.0.0.1:11434/v1", "http://127.0.0.1:8080/v1", "https://api.openai.com/v1"];

const run = promisify(execFile);
const readme = await readFile(join(root, "README.md"), "utf8");
const blocks = [...readme.matchAll(BLOCK)].map(([, kind, what, text]) => ({ kind, what: what.trim(), text }));

let home;
let env;
let upstream;
/** What stands in the README, and what it is here. */
const addresses = new Map();
const started = [];

before(async () => {
  home = await mkdtemp(join(tmpdir(), "alm-readme-"));
  await mkdir(join(home, "bin"));
  await symlink(BINARY, join(home, "bin/alm"));
  await symlink(join(here, "node_modules"), join(home, "node_modules"));
  await writeFile(join(home, "exported"), "");
  env = { PATH: `${home}/bin:${dirname(process.execPath)}:${process.env.PATH}`, HOME: home };
  // Port 0 is any free one.
  Object.assign(env, { ALM_LISTEN: "127.0.0.1:0", PORT: "0", LANG: "C.UTF-8", OPENAI_API_KEY: "example" });
  upstream = await fake.startFakeUpstream();
  for (const address of MODEL_SERVERS) addresses.set(address, upstream.endpoint([fake.text("Hello")]).baseUrl);
});

after(async () => {
  for (const child of started.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    // The whole group: the shell, and what it started.
    process.kill(-child.pid, "SIGTERM");
    await once(child, "exit");
  }
  await upstream?.stop();
  if (home) await rm(home, { recursive: true, force: true });
});

const withAddresses = (text) => [...addresses].reduce((text, [written, real]) => text.replaceAll(written, real), text);
const script = (text) => `set -eu; . ./exported\n${withAddresses(text)}\nexport -p >exported`;

const steps = {
  file: (name, text) => writeFile(join(home, name), withAddresses(text)),

  async start(prints, text) {
    const child = spawn("bash", ["-c", `. ./exported\n${withAddresses(text)}`], {
      cwd: home,
      env: { ...env, ALM_URL: addresses.get("http://127.0.0.1:2560") ?? "" },
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    });
    started.push(child);
    const written = prints.match(/http:\S+/)[0];
    for await (const line of createInterface({ input: child.stdout })) {
      const real = line.match(/http:\S+/)?.[0];
      if (!real) continue;
      assert.equal(line.replace(real, written), prints);
      addresses.set(written, real);
      return;
    }
    assert.fail(`it ended and never printed: ${prints}`);
  },

  async run(prints, text) {
    const { stdout } = await run("bash", ["-c", script(text)], { cwd: home, env, maxBuffer: OUTPUT_BYTES_MAX });
    assert.ok(stdout.includes(prints), `${prints}\n  is not in\n${stdout}`);
  },
};

test("the README has blocks to run", () => assert.ok(blocks.length > 10, String(blocks.length)));

for (const { kind, what, text } of blocks) {
  test(`${kind} ${what}`, { timeout: 30_000 }, () => steps[kind](what, text));
}

test("the page's way through the proxy holds a conversation", async () => {
  const { Chat } = await import("@ai-sdk/react");
  const { DefaultChatTransport } = await import("ai");
  const api = `${addresses.get("http://127.0.0.1:3000")}/api/chat`;
  const chat = new Chat({ id: "readme-chat", transport: new DefaultChatTransport({ api }) });
  await chat.sendMessage({ text: "My name is Kay." });
  await chat.sendMessage({ text: "What is my name?" });
  await chat.resumeStream();
  assert.equal(chat.error, undefined);
  assert.equal(chat.messages.length, 4);
});

test("the table of flags is that of `alm serve --help`", async () => {
  const { stdout } = await run(BINARY, ["serve", "--help"], { env });
  const flags = [...stdout.matchAll(/^ +(--[a-z0-9-]+).*?\[env: (\w+)=.*?\](?: \[default: (\S+)\])?/gm)];
  assert.ok(flags.length > 8, stdout);
  for (const [, flag, variable, value] of flags) {
    const row = readme.split("\n").find((line) => line.startsWith(`| \`${flag}\` | \`${variable}\` |`));
    assert.ok(row, `no row for ${flag} and ${variable}`);
    // `ALM_LISTEN` is set above, and does not show here: a default is what clap was told.
    if (value) assert.ok(row.includes(`| \`${value}\` |`), `${row} and not ${value}`);
  }
});

test("the names in the table of limits are in the source", async () => {
  const { stdout: source } = await run("grep", ["-rhE", "(const|pub) [A-Za-z0-9_]+:", join(root, "src")], {
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  const table = readme.split("## Limits")[1].split("\n## ")[0];
  const names = table.split("\n").flatMap((row) => [...(row.split("|")[4] ?? "").matchAll(/`(\w+)`/g)]);
  assert.ok(names.length > 30, String(names.length));
  const missing = names
    .map(([, name]) => name)
    .filter((name) => name !== "ALM_CHAT_RATE" && !source.includes(`${name}:`));
  assert.deepEqual(missing, []);
});

test("the files that the texts name are there", async () => {
  const texts = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
  for (const text of await Promise.all(texts.map((name) => readFile(join(root, name), "utf8")))) {
    const named = [...text.matchAll(/`((?:src|tests|benches|scripts|http|turn|model|store|cli)\/[\w./-]+)`/g)];
    const missing = named
      .map(([, path]) => path)
      .filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, "src", path)));
    assert.deepEqual(missing, []);
  }
});
