// The programs of examples/sidecar, as they stand: each starts alm as its child, asks, and takes it along.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const EXAMPLES = new URL("../../examples/sidecar/", import.meta.url).pathname;
const ALM = resolve(process.env.ALM_BIN ?? join(EXAMPLES, "../../target/debug/alm"));

for (const [language, ...command] of [
  ["node", "node", `${EXAMPLES}node.mjs`],
  ["python", "python3", `${EXAMPLES}python.py`],
  ["go", new URL("../../target/tools/sidecar-go", import.meta.url).pathname],
]) {
  test(`a ${language} program carries alm inside`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "alm-sidecar-"));
    try {
      const [program, ...words] = command;
      const env = { ...process.env, ALM };
      // Twice: the second finds what the first has made.
      for (const _ of ["first", "second"]) {
        const { stdout } = await run(program, [...words, "Say hi"], { cwd: folder, env });
        assert.match(stdout, /I am the built-in demo model/);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}
