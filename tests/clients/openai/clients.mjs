// The clients, and what each is put through; docs/clients.md shows this table.
//
// Rule: a client is as its registry has it, in the version of the lock file, and told a base URL, a key and a model, nothing else.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIChatCompletionsModel, OpenAIResponsesModel } from "@openai/agents";
import OpenAI from "openai";
import OpenAI4 from "openai-4";

import { agents } from "./drivers/agents.mjs";
import { ai } from "./drivers/ai.mjs";
import { messages } from "./drivers/anthropic.mjs";
import { js } from "./drivers/js.mjs";
import { langchain } from "./drivers/langchain.mjs";
import { chat, responses } from "./drivers/openai.mjs";
import { aider, claudeCode, codex, llm, opencode } from "./drivers/plans.mjs";
import { program } from "./drivers/program.mjs";
import { python } from "./drivers/python.mjs";

const CHAT = "/v1/chat/completions";
const RESPONSES = "/v1/responses";
const MESSAGES = "/v1/messages";

/** What most are put through: see expectations.mjs. */
const ALL = ["chat", "stream", "tool", "stop", "halfway", "unknown", "refused", "poor", "long", "busy"];
/** A kept response goes on when its client has gone. */
const KEPT = ALL.filter((does) => does !== "stop");
/** A program streams what it prints, or does not: that is its own affair. */
const PROGRAM = ALL.filter((does) => does !== "stream");
/** It asks once, whatever comes. */
const ONCE = PROGRAM.filter((does) => does !== "busy");
/** It tries again for minutes where a reply breaks off. */
const UNBROKEN = PROGRAM.filter((does) => does !== "halfway");
/** It tries again for minutes, with an empty balance too. */
const PATIENT = ["chat", "tool", "stop", "unknown", "refused", "long"];
const MODELS = ["models", ...ALL];
/** It asks for a title as well, of the same words. */
const TITLED = { asks: { long: 2 } };
/** It repeats every 429 twice, whatever the head says. */
const THRICE = { asks: { poor: 3 } };

const openai = ({ base, key, model }) => createOpenAI({ baseURL: base, apiKey: key })(model);
const openaiChat = ({ base, key, model }) => createOpenAI({ baseURL: base, apiKey: key }).chat(model);
const compatible = ({ base, key, model }) =>
  createOpenAICompatible({ name: "alm", baseURL: base, apiKey: key, includeUsage: true })(model);

/** One client. `pack` is its package in the lock file, which has its version; `path` is what it calls. */
const row = (name, pack, path, client, does = ALL, more) => ({ name, pack, path, client, does, ...more });

export const clients = {
  node: [
    row("openai for Node", "openai", CHAT, js(chat(OpenAI)), MODELS),
    row("openai for Node", "openai", RESPONSES, js(responses(OpenAI)), KEPT),
    row("openai for Node", "openai-4", CHAT, js(chat(OpenAI4)), MODELS),
    row("AI SDK", "@ai-sdk/openai", CHAT, js(ai(openaiChat)), ALL, THRICE),
    row("AI SDK", "@ai-sdk/openai", RESPONSES, js(ai(openai)), KEPT, THRICE),
    row("AI SDK", "@ai-sdk/openai-compatible", CHAT, js(ai(compatible)), ALL, THRICE),
    row("LangChain for JavaScript", "@langchain/openai", CHAT, js(langchain(false))),
    row("LangChain for JavaScript", "@langchain/openai", RESPONSES, js(langchain(true)), KEPT),
    row("Agents SDK for JavaScript", "@openai/agents", CHAT, js(agents(OpenAIChatCompletionsModel))),
    row("Agents SDK for JavaScript", "@openai/agents", RESPONSES, js(agents(OpenAIResponsesModel)), KEPT),
    row("Anthropic's SDK for Node", "@anthropic-ai/sdk", MESSAGES, js(messages), MODELS),
  ],
  python: [
    row("openai for Python", "openai", CHAT, python("newest", "openai_sdk", "Chat"), MODELS),
    row("openai for Python", "openai", RESPONSES, python("newest", "openai_sdk", "Responses"), KEPT),
    row("openai for Python", "openai", CHAT, python("first", "openai_sdk", "Chat"), MODELS, { list: "first" }),
    row("LangChain for Python", "langchain-openai", CHAT, python("newest", "langchain_sdk", "Chat")),
    row("LangChain for Python", "langchain-openai", RESPONSES, python("newest", "langchain_sdk", "Responses"), KEPT),
    row("Agents SDK for Python", "openai-agents", CHAT, python("newest", "agents_sdk", "Chat")),
    row("Agents SDK for Python", "openai-agents", RESPONSES, python("newest", "agents_sdk", "Responses"), KEPT),
    row("LiteLLM", "litellm", CHAT, python("newest", "litellm_sdk", "Chat")),
    row("Anthropic's SDK for Python", "anthropic", MESSAGES, python("anthropic", "anthropic_sdk", "Messages"), MODELS, {
      list: "anthropic",
    }),
    row("llm", "llm", CHAT, program(llm), ONCE),
    row("aider", "aider-chat", CHAT, program(aider), ["chat", "tool", "unknown", "refused", "long"], { list: "aider" }),
  ],
  programs: [
    row("Codex", "@openai/codex", RESPONSES, program(codex), PROGRAM, { asks: { refused: 6 } }),
    row("Claude Code", "@anthropic-ai/claude-code", MESSAGES, program(claudeCode), UNBROKEN, {
      says: { unknown: /issue with the selected model/ },
    }),
    row("opencode", `opencode-linux-${process.arch}`, CHAT, program(opencode), PATIENT, TITLED),
  ],
};
