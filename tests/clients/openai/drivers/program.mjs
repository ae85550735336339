// A client that is a program: run as a person would, in a home and a folder of its own. What it prints is what is seen.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

const cache = process.env.ALM_TEST_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "alm-tests");
/** Where nothing answers: what a client asks beyond this machine fails at once. */
const NOWHERE = "http://127.0.0.1:9";

/** An environment that tells a client nothing of this machine, and lets it reach nothing beyond. */
export const quiet = (more) => ({
  PATH: process.env.PATH,
  LANG: "C.UTF-8",
  HTTPS_PROXY: NOWHERE,
  https_proxy: NOWHERE,
  NO_PROXY: "127.0.0.1",
  LITELLM_LOCAL_MODEL_COST_MAP: "True",
  ...more,
});

/**
 * `plan(at, prompt, home)` says how it is run: `{ file, args, env, files, fails }`, files being texts by their place in its home,
 * and `fails` what it prints of a failure, where its exit code does not tell. It works in the folder `work` there.
 */
export function program(plan) {
  const run = async (at, prompt, stop) => {
    // Not in /tmp: Codex puts no program there.
    const home = await mkdtemp(join(cache, "home."));
    try {
      const { file, args, env, files = {}, fails } = await plan(at, prompt, home);
      for (const [name, text] of Object.entries({ ...files, "work/README.md": "A folder to work in.\n" })) {
        await mkdir(dirname(join(home, name)), { recursive: true });
        await writeFile(join(home, name), text);
      }
      const work = join(home, "work");
      const stdio = ["ignore", "pipe", "pipe"];
      const child = spawn(file, args, { cwd: work, env: quiet({ HOME: home, ...env }), stdio, detached: true });
      let text = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (text += bytes));
      // Its whole group, as Ctrl-C does.
      stop?.then(() => process.kill(-child.pid, "SIGINT"));
      const [code] = await once(child, "close");
      const failed = code !== 0 || fails?.test(text);
      return { text, failed, written: await readFile(join(work, "weather.txt"), "utf8").catch(() => undefined) };
    } finally {
      await rm(home, { recursive: true, force: true, maxRetries: 3 });
    }
  };
  return {
    async chat(at, prompt) {
      const said = await run(at, prompt);
      if (said.failed) throw new Error(said.text);
      return said;
    },
    tool: (at, prompt) => run(at, prompt),
    /** `asked` settles once the model has been asked. */
    stop: (at, prompt, asked) => run(at, prompt, asked),
  };
}
