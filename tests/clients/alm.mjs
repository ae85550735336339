// The real server, for one test file: a temporary data folder, the binary on a free port, organizations to call it as.
//
// Rule: everything goes through the command line and HTTP, as it does for a stranger. Every test makes its own organization
// with `app.org()`, because a person may ask for 60 replies a minute, and because tests must not see each other.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startFakeUpstream } from "./fake-upstream.mjs";
import { readStream } from "./sse.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const BINARY = resolve(process.env.ALM_BIN ?? join(here, "../../target/debug/alm"));
const STOP_MS_MAX = 10_000;
const LOG_CHARS_MAX = 20_000;
const POLLS_MAX = 200;
const POLL_PAUSE_MS = 50;

/** Starts a server and a fake upstream for it. Call `stop()` in `after`. */
export async function startAlm() {
  const folder = await mkdtemp(join(tmpdir(), "alm-clients-"));
  const passwordFile = join(folder, "password");
  await writeFile(passwordFile, "correct horse battery staple\n", { mode: 0o600 });
  const data = join(folder, "data");
  const upstream = await startFakeUpstream();
  const env = cleanEnvironment();
  const run = promisify(execFile);
  // What comes after "--" is another program's.
  const cli = async (...args) => {
    const end = args.includes("--") ? args.indexOf("--") : args.length;
    const whole = args.toSpliced(end, 0, "--data-dir", data);
    return (await run(BINARY, whole, { env })).stdout.trim();
  };

  // The first organization exists before the server does: an empty data folder would make it print a setup link.
  let orgs = 0;
  const createOrg = async () => {
    const slug = `acme-${++orgs}`;
    await cli("org", "create", slug, "--owner", `a${orgs}@example.com`, "--password-file", passwordFile);
    return slug;
  };
  const spare = [await createOrg()];
  const server = await serve(data, env);

  return {
    base: server.base,
    pid: server.pid,
    cli,
    /** A fresh organization with a key. `upstream` is the script of its model `fake/m`; `price` its price, as `IN/OUT`. */
    async org({ upstream: replies, price } = {}) {
      const slug = spare.pop() ?? (await createOrg());
      const key = await cli("keys", "create", "--org", slug, "--name", "test");
      const endpoint = replies && upstream.endpoint(replies);
      if (endpoint) {
        const priced = price ? ["--price", price] : [];
        await cli(
          "providers",
          "add",
          "--org",
          slug,
          "--slug",
          "fake",
          "--base-url",
          endpoint.baseUrl,
          "--model",
          "m",
          ...priced,
        );
      }
      return new Org({ base: server.base, slug, key, upstream: endpoint });
    },
    /** Gives an organization an HTTP tool, as its operator does: such a tool may call an address of this machine. */
    async tool(org, tool) {
      const file = join(folder, `${org.slug}-${tool.name}.json`);
      await writeFile(file, JSON.stringify(tool));
      await cli("tools", "add", file, "--org", org.slug);
    },
    async stop() {
      await server.stop();
      await upstream.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a server on an empty folder, with these flags; `link` is what it prints for whoever sets it up. */
export async function startEmpty(flags = []) {
  const folder = await mkdtemp(join(tmpdir(), "alm-empty-"));
  const data = join(folder, "data");
  let server = await serve(data, cleanEnvironment(), { flags });
  return {
    base: server.base,
    link: await server.logged(/http:\S+\/setup#\S+/),
    /** Ends it as a power cut would, and starts it again where it was. */
    async crash() {
      await server.kill();
      server = await serve(data, cleanEnvironment(), { flags, listen: new URL(server.base).host });
    },
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** One organization, and the caller who holds its key. */
class Org {
  constructor(fields) {
    Object.assign(this, fields);
    this.headers = { authorization: `Bearer ${this.key}`, "x-alumia-org": this.slug };
    this.api = `${this.base}/api/v1`;
    /** A model by its full name, or nothing for the built-in one. */
    this.model = this.upstream && "fake/m";
  }

  /** Any call; answers the Response. */
  request(method, path, body, headers = {}) {
    const json = body === undefined ? {} : { "content-type": "application/json" };
    return fetch(this.api + path, {
      method,
      headers: { ...this.headers, ...json, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }

  /** A call that must succeed; answers `data` of the envelope. */
  async data(method, path, body) {
    const response = await this.request(method, path, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text).data;
  }

  /** A new session, optionally of an agent with these settings. */
  async session(settings) {
    const agent = settings && (await this.data("POST", "/agents", { name: "Tester", settings }));
    return this.data("POST", "/sessions", { label: "test", agentId: agent?.id ?? "ala" });
  }

  /** A chat call as a Response. A string stands for one user message. */
  chat(body, headers) {
    const full = typeof body === "string" ? { messages: [{ role: "user", content: body }] } : body;
    return this.request("POST", "/chat", { model: this.model, ...full }, headers);
  }

  /** A chat call whose stream must come, read to its end. */
  async reply(body, headers) {
    return readStream(await this.chat(body, headers));
  }

  /** What is read at a path, as soon as `ready` accepts it. */
  async dataWhen(path, ready) {
    let data;
    for (let poll = 0; poll < POLLS_MAX; poll++) {
      data = await this.data("GET", path);
      if (ready(data)) return data;
      await sleep(POLL_PAUSE_MS);
    }
    throw new Error(`not within ${POLLS_MAX} polls; the last of ${path} was ${JSON.stringify(data)}`);
  }

  /** The stored history, oldest first. */
  async history(sessionId) {
    return (await this.data("GET", `/sessions/${sessionId}/messages?pageSize=500`)).items;
  }

  /** The history as soon as `ready` accepts it. */
  async historyWhen(sessionId, ready) {
    let items = [];
    for (let poll = 0; poll < POLLS_MAX; poll++) {
      items = await this.history(sessionId);
      if (ready(items)) return items;
      await sleep(POLL_PAUSE_MS);
    }
    throw new Error(`not within ${POLLS_MAX} polls; the last history was ${JSON.stringify(items)}`);
  }
}

/** Runs `alm serve` and waits for the line that names its address. */
async function serve(data, env, { flags = [], listen = "127.0.0.1:0" } = {}) {
  const child = spawn(BINARY, ["serve", "--data-dir", data, "--listen", listen, ...flags], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (bytes) => (log = (log + bytes).slice(-LOG_CHARS_MAX)));
  const exited = once(child, "exit");
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      const found = line.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (found) return found[0];
    }
  })();
  const base = await Promise.race([ready, exited.then(() => undefined)]);
  if (!base) throw new Error(`${BINARY} serve ended before it was ready:\n${log}`);
  child.stdout.resume();
  return {
    base,
    pid: child.pid,
    /** What matches in the log, as soon as it is there. */
    async logged(pattern) {
      for (; !pattern.test(log); await once(child.stderr, "data")) {
        if (child.exitCode !== null) throw new Error(`it ended without ${pattern}:\n${log}`);
      }
      return pattern.exec(log)[0];
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
    async stop() {
      const killed = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGTERM");
        await exited;
      }
      clearTimeout(killed);
      if (process.env.ALM_LOG) process.stderr.write(log);
    },
  };
}

/** The environment without what would add models or change defaults. */
function cleanEnvironment() {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(ALM_|OPENAI_|OLLAMA_)|_proxy$/i.test(name)) delete env[name];
  return env;
}
