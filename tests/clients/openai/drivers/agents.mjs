// OpenAI's agents SDK.

import { Agent, run, setTracingDisabled, tool as define } from "@openai/agents";
import OpenAI from "openai";

setTracingDisabled(true);

/** `Model` is one of its two, for chat completions or for responses. */
export const agents = (Model) => {
  const agent = ({ base, key, model }, tools = []) =>
    new Agent({ name: "Tester", model: new Model(new OpenAI({ baseURL: base, apiKey: key }), model), tools });
  return {
    async chat(at, prompt) {
      const { finalOutput, state } = await run(agent(at), prompt);
      return { text: finalOutput, tokens: state.usage.totalTokens };
    },
    async *stream(at, prompt, signal) {
      const result = await run(agent(at), prompt, { stream: true, signal });
      yield* result.toTextStream();
      await result.completed;
    },
    async tool(at, prompt, { name, description, parameters, call }) {
      const offered = define({ name, description, parameters, strict: false, execute: call });
      const result = await run(agent(at, [offered]), prompt, { stream: true });
      await result.completed;
      return { text: result.finalOutput };
    },
  };
};
