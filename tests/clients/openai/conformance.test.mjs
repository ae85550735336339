// What others say that these APIs are: the tests of llm-comply, which come with the schemas of Open Responses, of OpenAI and of
// Anthropic, against the server with its built-in model.
//
// Rule: what it skips has not passed, so its tests of reasoning are run too: it skips them by the model's name.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { startAlm } from "../alm.mjs";
import { reasoning } from "../fake-upstream.mjs";
import { quiet } from "./drivers/program.mjs";
import { pythonOf } from "./drivers/python.mjs";

/** Thoughts in Anthropic's form, which the built-in model has none of. */
const THOUGHTS = "anth-thinking-display";
/** Each API, and an agent with a name of a model that reasons; `only` is one test of it, and `but` one that another line has. */
const APIS = [
  { format: "open-responses", agent: "gpt-5", tests: 13 },
  { format: "openai-chat", agent: "gpt-5", tests: 9 },
  { format: "anthropic", agent: "gpt-5", but: THOUGHTS, tests: 8 },
  { format: "anthropic", agent: "claude-opus", only: THOUGHTS, tests: 1 },
];

let app;
let org;
before(async () => {
  app = await startAlm();
  org = await app.org({ upstream: [reasoning("15 * 37 is 15 * 30 and 15 * 7.", "It is 555.")] });
  await org.data("POST", "/agents", { name: "gpt-5", slug: "gpt-5" });
  await org.data("POST", "/agents", { name: "claude-opus", slug: "claude-opus", model: "fake/m" });
});
after(() => app?.stop());

for (const { format, agent, only, but, tests } of APIS) {
  test(only ? `${format}: ${only}` : format, async (t) => {
    const at = ["--base-url", `${app.base}/v1`, "--api-key", org.key, "--model", agent];
    const filter = only ? ["--filter", only] : [];
    const args = ["-m", "llm_comply.cli", ...at, "--format", format, ...filter, "--json"];
    // It fails where a test does; which one, it says.
    const run = promisify(execFile)(await pythonOf("newest"), args, { env: quiet() });
    const { stdout } = await run.catch((error) => (error.stdout ? error : Promise.reject(error)));
    const { results } = JSON.parse(stdout);
    const here = results.filter(({ id }) => id !== but);
    for (const { id, status, errors } of here)
      await t.test(id, () => assert.equal(status, "passed", JSON.stringify(errors)));
    assert.equal(here.length, tests);
  });
}
