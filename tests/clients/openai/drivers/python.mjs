// A driver in Python: drive.py, as a process that answers a line with a line.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { quiet } from "./program.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const LOG_CHARS_MAX = 4_000;

/** The interpreter that has the packages of that list. */
export async function pythonOf(list) {
  const file = join(here, "../python", `${list}.txt`);
  return (await promisify(execFile)(join(here, "../../python.sh"), [file])).stdout.trim();
}

/** A class of a module here, with the packages of that list. It is started when it is first asked. */
export function python(list, module, name) {
  let driver;
  const ask = async (want) => {
    driver ??= start(await pythonOf(list), module, name);
    const { child, lines, log } = driver;
    child.stdin.write(`${JSON.stringify(want)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`${module}.py ended: ${log()}`);
    const said = JSON.parse(value);
    if (said.error) throw new Error(said.error);
    return said;
  };
  return {
    models: (at) => ask({ does: "models", at }),
    chat: (at, prompt) => ask({ does: "chat", at, prompt }),
    stream: (at, prompt) => ask({ does: "stream", at, prompt, stop: false }),
    stop: (at, prompt) => ask({ does: "stream", at, prompt, stop: true }),
    tool: (at, prompt, { call, ...tool }) => ask({ does: "tool", at, prompt, tool, output: call() }),
    async end() {
      if (driver?.child.exitCode !== null) return;
      driver.child.stdin.end();
      await once(driver.child, "exit");
    },
  };
}

function start(file, module, name) {
  const child = spawn(file, [join(here, "drive.py"), module, name], { env: quiet(), stdio: "pipe" });
  let log = "";
  child.stderr.on("data", (bytes) => (log = (log + bytes).slice(-LOG_CHARS_MAX)));
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](), log: () => log };
}
