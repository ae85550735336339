// Anthropic's SDK. Its base URL is without `/v1`.

import Anthropic from "@anthropic-ai/sdk";

const MAX_TOKENS = 1_000;
const STEPS_MAX = 3;

const client = ({ base, key }) => new Anthropic({ baseURL: base.replace(/\/v1$/, ""), apiKey: key });
const ask = ({ model }, content) => ({ model, max_tokens: MAX_TOKENS, messages: [{ role: "user", content }] });
const textOf = ({ content }) => content.flatMap((block) => (block.type === "text" ? block.text : [])).join("");

/** Messages. */
export const messages = {
  async models(at) {
    const ids = [];
    for await (const { id } of client(at).models.list()) ids.push(id);
    return { ids, found: (await client(at).models.retrieve(at.model)).id };
  },
  async chat(at, prompt) {
    const message = await client(at).messages.create(ask(at, prompt));
    const { input_tokens, output_tokens } = message.usage;
    return { text: textOf(message), finish: message.stop_reason, tokens: input_tokens + output_tokens };
  },
  async *stream(at, prompt, signal) {
    for await (const event of client(at).messages.stream(ask(at, prompt), { signal }))
      if (event.delta?.type === "text_delta") yield event.delta.text;
  },
  async tool(at, prompt, { name, description, parameters, call }) {
    const body = { ...ask(at, prompt), tools: [{ name, description, input_schema: parameters }] };
    for (let step = 0; step < STEPS_MAX; step++) {
      const message = await client(at).messages.stream(body).finalMessage();
      if (message.stop_reason !== "tool_use") return { text: textOf(message) };
      const calls = message.content.filter(({ type }) => type === "tool_use");
      const results = calls.map(({ id, input }) => ({ type: "tool_result", tool_use_id: id, content: call(input) }));
      body.messages.push({ role: "assistant", content: message.content }, { role: "user", content: results });
    }
    throw new Error(`no answer within ${STEPS_MAX} steps`);
  },
};
