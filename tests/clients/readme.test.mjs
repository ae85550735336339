// The README and the pages of docs/, done as they say: their blocks are run one after the other, by a shell, in an empty home folder, the
// pages in the order in which the README lists them.
//
// Rule: every block of commands is marked `<!-- readme: … -->`, and is run exactly as it stands. Only addresses are put in, because a
// test takes free ports. A block is a `file` to save, a command to `start` in the background, commands to `run`, commands that must be
// `alone` (run on a copy of the data folder, which no server has) or commands to `try`: each is ended once it has printed. What a block
// is said to print it must print. What blocks export, later blocks have. One that is `not run` says why.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { makeLlamaServer } from "../browser/llama-server.mjs";
import * as fake from "./fake-upstream.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const BINARY = resolve(process.env.ALM_BIN ?? join(root, "target/debug/alm"));
const BLOCK = /^(?:<!-- readme: (.*) -->\n)?```(\w*)\n([^]*?)^```$/gm;
const MARK = /^(file|start|run|alone|try)(?:, prints)? (.*)$/;
const NOT_RUN = /^not run, since \w/;
/** What `alm clients` says; openai/docs.test.mjs compares it, and its settings are those that the tests there use. */
const CONNECT = /<!-- connect -->[^]*?<!-- \/connect -->/;
const OUTPUT_BYTES_MAX = 16 << 20;
/** How long a block may take: one starts a server, or streams some replies. */
const PATIENCE_MS = 120_000;
/** Addresses of model servers that the texts only give as examples. */
const MODEL_SERVERS = ["http://127.0.0.1:11434/v1", "http://127.0.0.1:8080/v1", "https://api.openai.com/v1"];

const run = promisify(execFile);
const read = (name) => readFile(join(root, name), "utf8");
const readme = await read("README.md");
const pages = new Map([["README.md", readme]]);
for (const [, name] of readme.matchAll(/\]\((docs\/\w+\.md)/g))
  pages.set(name, (await read(name)).replace(CONNECT, ""));

const blocks = [];
const unmarked = [];
for (const [page, content] of pages) {
  for (const [, mark = "", language, text] of content.matchAll(BLOCK)) {
    const [, kind, what] = mark.match(MARK) ?? [];
    if (kind) blocks.push({ page, kind, what: what.trim(), text });
    else if (mark ? !NOT_RUN.test(mark) : language === "sh") unmarked.push(`${page}: ${mark}\n${text}`);
  }
}

let home;
let env;
let upstream;
let llama;
/** What stands in the texts, and what it is here. */
const addresses = new Map();
const started = [];

before(async () => {
  home = await mkdtemp(join(tmpdir(), "alm-readme-"));
  await mkdir(join(home, "bin"));
  await symlink(BINARY, join(home, "bin/alm"));
  await symlink(join(here, "node_modules"), join(home, "node_modules"));
  // What a checkout has, and where its build is.
  for (const name of ["examples", "install.sh"]) await symlink(join(root, name), join(home, name));
  await mkdir(join(home, "target/release"), { recursive: true });
  await symlink(BINARY, join(home, "target/release/alm"));
  await writeFile(join(home, "exported"), "");
  env = { PATH: `${home}/bin:${dirname(process.execPath)}:${process.env.PATH}`, HOME: home };
  // Nothing is installed outside, and port 0 is any free one.
  env.DESTDIR = join(home, "system");
  Object.assign(env, { ALM_LISTEN: "127.0.0.1:0", PORT: "0", LANG: "C.UTF-8", OPENAI_API_KEY: "example" });
  await standIns();
  upstream = await fake.startFakeUpstream();
  for (const address of MODEL_SERVERS) addresses.set(address, upstream.endpoint([fake.text("Hello")]).baseUrl);
});

after(async () => {
  for (const child of started.toReversed()) await end(child);
  await upstream?.stop();
  await llama?.remove();
  if (home) await rm(home, { recursive: true, force: true });
});

/** What the texts fetch from registries, and a model with what runs it: nothing here is downloaded. */
async function standIns() {
  const program = (name, ...lines) =>
    writeFile(join(home, "bin", name), ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
  const mcp = (name) =>
    `exec "${process.execPath}" "${here}/node_modules/@modelcontextprotocol/server-${name}/dist/index.js"`;
  await program(
    "npx",
    'case "$1 $2" in',
    `"-y @modelcontextprotocol/server-filesystem") ${mcp("filesystem")} "$3" ;;`,
    `"-y mcp-remote") ${mcp("everything")} stdio ;;`,
    "esac",
  );
  await program("uvx", `test "$1" = our-tickets && ${mcp("everything")} stdio`);
  llama = await makeLlamaServer({});
  const [, file, , server] = llama.flags;
  await program("llama-server", `exec "${server}" "$@"`);
  await copyFile(file, join(home, "SmolLM2-135M-Instruct.Q4_1.gguf"));
}

/** Ends the whole group: the shell, and what it started. */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, "SIGTERM");
  await once(child, "exit");
}

const withAddresses = (text) => [...addresses].reduce((text, [written, real]) => text.replaceAll(written, real), text);
// Nobody types: what reads its input reads that it has ended.
const script = (text) => `set -eu; . ./exported; exec </dev/null\n${withAddresses(text)}\nexport -p >exported`;
const shell = (text, more) =>
  run("bash", ["-c", text], { cwd: home, env: { ...env, ...more }, maxBuffer: OUTPUT_BYTES_MAX });

/** Starts a command in a process group of its own; whatever it says is handed to `heard`, line by line, until that is content. */
async function background(text, more, streams, heard) {
  const child = spawn("bash", ["-c", `. ./exported\n${withAddresses(text)}`], {
    cwd: home,
    env: { ...env, ...more },
    stdio: ["ignore", ...streams],
    detached: true,
  });
  started.push(child);
  const said = [];
  const readers = [child.stdout, child.stderr].filter(Boolean).map(async (stream) => {
    for await (const line of createInterface({ input: stream })) if (said.push(line) && heard(line)) return true;
    throw new Error();
  });
  await Promise.any(readers).catch(() =>
    assert.fail(`it ended, and never printed what it should:\n${said.join("\n")}`),
  );
  for (const stream of [child.stdout, child.stderr]) stream?.resume();
  return child;
}

const steps = {
  async file(name, text) {
    await mkdir(dirname(join(home, name)), { recursive: true });
    await writeFile(join(home, name), withAddresses(text));
  },

  async start(prints, text) {
    const written = prints.match(/http:\S+/)[0];
    await background(text, {}, ["pipe", "inherit"], (line) => {
      const real = line.match(/http:\S+/)?.[0];
      if (!real) return false;
      assert.equal(line.replace(real, written), prints);
      addresses.set(written, real);
      return true;
    });
    // What the examples are told, since their own default is the port in the texts.
    if (!prints.startsWith("alm ")) return;
    env.ALM_URL = addresses.get(written);
    addresses.set("https://alm.example.com", env.ALM_URL);
  },

  async run(prints, text, more) {
    const { stdout, stderr } = await shell(script(text), more);
    const said = stdout + stderr;
    assert.ok(said.includes(prints), `${prints}\n  is not in\n${said}`);
  },

  async alone(prints, text) {
    const folder = await mkdtemp(join(home, "alone-"));
    const copy = { ALM_DATA_DIR: join(folder, "data") };
    await shell(`alm backup ${folder}/copy.db`);
    await shell(`alm restore ${folder}/copy.db`, copy);
    await copyFile(join(home, ".local/share/alm/alm.key"), join(copy.ALM_DATA_DIR, "alm.key"));
    const { stdout, stderr } = await shell(`set -eu; . ./exported; exec </dev/null\n${withAddresses(text)}`, copy);
    assert.ok((stdout + stderr).includes(prints), stdout + stderr);
  },

  async try(prints, text) {
    for (const command of text.trim().split("\n")) {
      const ALM_DATA_DIR = await mkdtemp(join(home, "try-"));
      const models = join(home, ".local/share/alm/models");
      if (existsSync(models)) await cp(models, join(ALM_DATA_DIR, "models"), { recursive: true });
      const child = await background(command, { ALM_DATA_DIR }, ["pipe", "pipe"], (line) => line.includes(prints));
      await end(child);
    }
  },
};

test("the texts have blocks to run", () => assert.ok(blocks.length > 45, String(blocks.length)));

test("every block of commands is run, or says why not", () => assert.deepEqual(unmarked, []));

for (const { page, kind, what, text } of blocks) {
  test(`${page}: ${kind} ${what}`, { timeout: PATIENCE_MS }, () => steps[kind](what, text));
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
  const rows = pages.get("docs/configuration.md").split("\n");
  for (const [, flag, variable, value] of flags) {
    const row = rows.find((line) => line.startsWith(`| \`${flag}\` | \`${variable}\` |`));
    assert.ok(row, `no row for ${flag} and ${variable}`);
    // `ALM_LISTEN` is set above, and does not show here: a default is what clap was told.
    if (value) assert.ok(row.includes(`| \`${value}\` |`), `${row} and not ${value}`);
  }
});

test("the names in the table of limits are in the source", async () => {
  const { stdout: source } = await run("grep", ["-rhE", "(const|pub) [A-Za-z0-9_]+:", join(root, "src")], {
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  const names = pages
    .get("docs/limits.md")
    .split("\n")
    .flatMap((row) => [...(row.split("|")[4] ?? "").matchAll(/`(\w+)`/g)]);
  assert.ok(names.length > 30, String(names.length));
  const missing = names
    .map(([, name]) => name)
    .filter((name) => name !== "ALM_CHAT_RATE" && !source.includes(`${name}:`));
  assert.deepEqual(missing, []);
});

test("the files that the texts name are there", async () => {
  const texts = [...pages.values(), ...(await Promise.all(["ARCHITECTURE.md", "CONTRIBUTING.md"].map(read)))];
  for (const text of texts) {
    const named = [...text.matchAll(/`((?:src|tests|benches|scripts|http|turn|model|store|cli)\/[\w./-]+)`/g)];
    const missing = named
      .map(([, path]) => path)
      .filter((path) => !existsSync(join(root, path)) && !existsSync(join(root, "src", path)));
    assert.deepEqual(missing, []);
  }
});
