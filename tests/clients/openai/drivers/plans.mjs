// How each program is run: set up as `alm clients` says where it says so, with whatever asks home switched off.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { pythonOf } from "./python.mjs";

const modules = join(dirname(fileURLToPath(import.meta.url)), "../node_modules");
const cpu = process.arch;

/** Its file is what `alm clients codex` says. */
export const codex = async (at, prompt) => ({
  file: process.execPath,
  args: [
    join(modules, "@openai/codex/bin/codex.js"),
    ...["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"],
    ...["-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false", prompt],
  ],
  env: { ALM_KEY: at.key },
  files: { ".codex/config.toml": await at.setUp("codex", at) },
});

/** Its shell is what `alm clients claude-code` says: variables, and the command as its last line. */
export const claudeCode = async (at, prompt) => ({
  file: "sh",
  args: ["-c", `${await at.setUp("claude-code", at)} --print --allowedTools=Bash "$0"`, prompt],
  env: {
    PATH: `${join(modules, `@anthropic-ai/claude-code-linux-${cpu}`)}:${process.env.PATH}`,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    DISABLE_AUTOUPDATER: "1",
  },
});

/** A provider of its AI SDK. */
export const opencode = (at, prompt) => {
  const options = { baseURL: at.base, apiKey: at.key };
  const provider = { alm: { npm: "@ai-sdk/openai-compatible", name: "alm", options, models: { [at.model]: {} } } };
  return {
    file: join(modules, `opencode-linux-${cpu}/bin/opencode`),
    args: ["run", "--pure", "--auto", "--title", "A test", "--model", `alm/${at.model}`, prompt],
    env: {
      OPENCODE_CONFIG_CONTENT: JSON.stringify({ provider, autoupdate: false, share: "disabled" }),
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
      OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
      // It would install plug-ins meanwhile, and wait for that in the end.
      NO_PROXY: undefined,
    },
  };
};

/** The command `llm`, with a tool in Python. */
export const llm = async (at, prompt, home) => {
  const model = { model_id: "alm", model_name: at.model, api_base: at.base, api_key_name: "alm", supports_tools: true };
  return {
    file: await pythonOf("newest"),
    args: ["-m", "llm", "--model", "alm", "--key", at.key, "--functions", WEATHER, "--no-log", prompt],
    env: { LLM_USER_PATH: join(home, "llm") },
    // JSON is YAML.
    files: { "llm/extra-openai-models.yaml": JSON.stringify([model]) },
  };
};
const WEATHER = `
def get_weather(city: str) -> str:
    "The weather in a city"
    return "sunny, 21 degrees"
`;

/** aider calls no tool: it writes what the model's text says. */
export const aider = async (at, prompt) => ({
  file: await pythonOf("aider"),
  fails: /^litellm\.\w+/m,
  args: [
    ...["-m", "aider", "--model", `openai/${at.model}`, "--openai-api-base", at.base, "--openai-api-key", at.key],
    ...[
      "--no-git",
      "--yes-always",
      "--no-pretty",
      "--no-fancy-input",
      "--no-detect-urls",
      "--no-suggest-shell-commands",
    ],
    ...[
      "--no-check-update",
      "--no-show-release-notes",
      "--no-show-model-warnings",
      "--analytics-disable",
      "--map-tokens",
      "0",
    ],
    ...["--message", prompt],
  ],
});
