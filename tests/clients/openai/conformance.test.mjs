// What others say that these APIs are: the tests of llm-comply, which come with the schemas of Open Responses and of OpenAI,
// against the server with its built-in model.
//
// Rule: what it skips has not passed, so its tests of reasoning are run too: it skips them by the model's name.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { startAlm } from "../alm.mjs";
import { quiet } from "./drivers/program.mjs";
import { pythonOf } from "./drivers/python.mjs";

/** Each API, and an agent with a name of a model that reasons. */
const APIS = [
  { format: "open-responses", agent: "gpt-5", tests: 13 },
  { format: "openai-chat", agent: "gpt-5", tests: 9 },
];

let app;
let org;
before(async () => {
  app = await startAlm();
  org = await app.org();
  await org.data("POST", "/agents", { name: "gpt-5", slug: "gpt-5" });
});
after(() => app?.stop());

for (const { format, agent, tests } of APIS) {
  test(format, async (t) => {
    const at = ["--base-url", `${app.base}/v1`, "--api-key", org.key, "--model", agent];
    const args = ["-m", "llm_comply.cli", ...at, "--format", format, "--json"];
    // It fails where a test does; which one, it says.
    const run = promisify(execFile)(await pythonOf("newest"), args, { env: quiet() });
    const { stdout } = await run.catch((error) => (error.stdout ? error : Promise.reject(error)));
    const { results } = JSON.parse(stdout);
    for (const { id, status, errors } of results)
      await t.test(id, () => assert.equal(status, "passed", JSON.stringify(errors)));
    assert.equal(results.length, tests);
  });
}
