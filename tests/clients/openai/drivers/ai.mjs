// The AI SDK, with whichever of its providers.

import { generateText, isStepCount, jsonSchema, streamText, tool as define } from "ai";

const STEPS_MAX = 3;

/** `model` makes the model of a place. */
export const ai = (model) => ({
  async chat(at, prompt) {
    const { text, finishReason, usage } = await generateText({ model: model(at), prompt });
    return { text, finish: finishReason, tokens: usage.totalTokens };
  },
  async *stream(at, prompt, abortSignal) {
    // By itself it prints an error and ends the text as if all was well.
    let failure;
    const onError = ({ error }) => (failure = error);
    yield* streamText({ model: model(at), prompt, abortSignal, onError }).textStream;
    if (failure) throw failure;
  },
  async tool(at, prompt, { name, description, parameters, call }) {
    const tools = { [name]: define({ description, inputSchema: jsonSchema(parameters), execute: call }) };
    const reply = streamText({ model: model(at), prompt, tools, stopWhen: isStepCount(STEPS_MAX) });
    return { text: await reply.text };
  },
});
