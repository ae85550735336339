// LangChain's chat model.

import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as define } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";

/** Over responses where `useResponsesApi` says so. */
export const langchain = (useResponsesApi) => {
  const model = ({ base, key, model }) =>
    new ChatOpenAI({ model, apiKey: key, configuration: { baseURL: base }, useResponsesApi });
  return {
    async chat(at, prompt) {
      const { text, usage_metadata } = await model(at).invoke(prompt);
      return { text, tokens: usage_metadata.total_tokens };
    },
    async *stream(at, prompt, signal) {
      for await (const { text } of await model(at).stream(prompt, { signal })) yield text;
    },
    async tool(at, prompt, { name, description, parameters, call }) {
      const bound = model(at).bindTools([define(call, { name, description, schema: parameters })]);
      const messages = [new HumanMessage(prompt)];
      messages.push(await bound.invoke(messages));
      for (const { id, args } of messages.at(-1).tool_calls)
        messages.push(new ToolMessage({ content: call(args), tool_call_id: id }));
      return { text: (await bound.invoke(messages)).text };
    },
  };
};
