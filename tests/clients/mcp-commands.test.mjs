// MCP servers as people have them, started as commands: the reference servers for Node, which speak the old protocol, and those
// for Python, which speak the new one.
//
// Rule: each is added by the command line and used in a chat. What a server did is seen from outside: a file, a process.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startAlm } from "./alm.mjs";
import { call, orgWithServer } from "./mcp-chats.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const run = promisify(execFile);
/** The variables that a command is given of the server's. */
const HANDED_ON = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME"];

let app;
let folder;
let python;
before(async () => {
  app = await startAlm();
  folder = await realpath(await mkdtemp(join(tmpdir(), "alm-mcp-")));
  python = (await run(join(here, "python.sh"))).stdout.trim();
});
after(async () => {
  await app?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** A package of ours for Node, as a command. */
const node = (name, ...args) => [
  process.execPath,
  join(here, `node_modules/@modelcontextprotocol/${name}/dist/index.js`),
  ...args,
];

/** A module for Python, as a command. */
const module = (name, ...args) => [python, "-m", name, ...args];

/** An organization with one server that is a command. */
const orgWith = (slug, command, flags = []) => orgWithServer(app, slug, [...flags, "--", ...command]);

describe("server-everything, of the old protocol", () => {
  let org;
  let names;
  before(async () => ({ org, names } = await orgWith("every", node("server-everything", "stdio"), ["-e", "OWN=a b"])));

  test("its tools are listed under its name, and called", async () => {
    assert.ok(names.includes("every__get-sum") && names.includes("every__echo"), names.join(" "));
    const { stream, told } = await call(org, "every__get-sum", { a: 2, b: 3 });
    assert.equal(told, "The sum of 2 and 3 is 5.");
    assert.equal(stream.only("tool-input-available").dynamic, true);
    assert.deepEqual(stream.only("tool-output-available").output.content, [{ type: "text", text: told }]);
  });

  test("it sees eight variables of the server's and its own, and nothing else", async () => {
    const { told } = await call(org, "every__get-env", {});
    const own = HANDED_ON.filter((name) => process.env[name] !== undefined);
    assert.deepEqual(Object.keys(JSON.parse(told)).toSorted(), [...own, "OWN"].toSorted());
    assert.equal(JSON.parse(told).OWN, "a b");
  });

  test("an image is shown to the person and named to the model", async () => {
    const { stream, told } = await call(org, "every__get-tiny-image", {});
    assert.match(told, /\[image\/png, [\d,]+ bytes: shown to the person\]/);
    assert.ok(!told.includes("iVBOR"), told);
    assert.match(stream.only("file").url, /^data:image\/png;base64,iVBOR/);
  });

  test("a call that tells of its progress is waited for", async () => {
    const { told } = await call(org, "every__trigger-long-running-operation", { duration: 1, steps: 4 });
    assert.match(told, /Long running operation completed/);
  });

  test("a server that is killed in the middle of a conversation is used again by the next chat", async () => {
    const { pid } = await org.data("GET", "/mcp/servers/every");
    process.kill(pid, "SIGKILL");
    await org.dataWhen("/mcp/servers/every", (server) => server.pid !== pid);
    const { told } = await call(org, "every__echo", { message: "again" });
    assert.equal(told, "Echo: again");
  });
});

describe("server-filesystem", () => {
  test("writes where it may, and a refusal of its own is an error that the model reads", async () => {
    const { org } = await orgWith("files", node("server-filesystem", folder));
    const path = join(folder, "note.txt");
    await call(org, "files__write_file", { path, content: "written by a tool" });
    assert.equal(await readFile(path, "utf8"), "written by a tool");
    const { stream, told } = await call(org, "files__read_text_file", { path: "/etc/hostname" });
    assert.match(told, /outside allowed directories/);
    assert.match(stream.only("tool-output-error").errorText, /outside allowed directories/);
  });
});

describe("server-memory", () => {
  test("remembers from one chat to the next", async () => {
    const { org } = await orgWith("memory", node("server-memory"), [
      "-e",
      `MEMORY_FILE_PATH=${join(folder, "memory.jsonl")}`,
    ]);
    const entity = { name: "Ada", entityType: "person", observations: ["wrote the first program"] };
    await call(org, "memory__create_entities", { entities: [entity] });
    const { told } = await call(org, "memory__read_graph", {});
    assert.match(told, /wrote the first program/);
  });
});

describe("the servers for Python, of the new protocol", () => {
  test("mcp-server-time is listed and called, and its row says what it speaks", async () => {
    const { org, names } = await orgWith("time", module("mcp_server_time"));
    assert.deepEqual(names.toSorted(), ["time__convert_time", "time__get_current_time"]);
    const input = { source_timezone: "UTC", time: "12:00", target_timezone: "Asia/Tokyo" };
    assert.match((await call(org, "time__convert_time", input)).told, /T21:00:00\+09:00/);
    assert.equal((await org.data("GET", "/mcp/servers/time")).era, "2026-07-28");
  });

  test("mcp-server-git reads a repository", async () => {
    const repository = join(folder, "repository");
    await run("git", ["init", "--quiet", repository]);
    await writeFile(join(repository, "new.txt"), "new");
    const { org } = await orgWith("git", module("mcp_server_git", "--repository", repository));
    assert.match((await call(org, "git__git_status", { repo_path: repository })).told, /new\.txt/);
  });

  test("mcp-server-fetch reads a page", async () => {
    const page = createServer((request, response) => {
      if (request.url !== "/page") return response.writeHead(404).end();
      response.writeHead(200, { "content-type": "text/html" }).end("<h1>A page</h1><p>for a tool</p>");
    });
    await new Promise((resolve) => page.listen(0, "127.0.0.1", resolve));
    try {
      const { org } = await orgWith("fetch", module("mcp_server_fetch", "--allow-private-ips"));
      const url = `http://127.0.0.1:${page.address().port}/page`;
      assert.match((await call(org, "fetch__fetch", { url })).told, /for a tool/);
    } finally {
      page.closeAllConnections();
      page.close();
    }
  });
});

test("a command that is not there is a sentence with the path that was searched, and its row stays", async () => {
  const org = await app.org();
  const added = app.cli("mcp", "add", "--org", org.slug, "gone", "--yes", "--", "no-such-program");
  await assert.rejects(added, (error) => {
    assert.equal(error.code, 1);
    assert.ok(`${error.stdout}${error.stderr}`.includes(`no-such-program: not found in PATH (${process.env.PATH})`));
    return true;
  });
  assert.equal((await org.data("GET", "/mcp/servers/gone")).command, "no-such-program");
});
