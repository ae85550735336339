// OpenAI's own SDK for Node, over chat completions and over responses. `at` is where to: `{ base, key, model }`.

/** Chat completions. `runTools` is where it has been: in `beta` before version 5. */
export const chat = (OpenAI) => {
  const client = ({ base, key }) => new OpenAI({ baseURL: base, apiKey: key });
  const ask = ({ model }, content) => ({ model, messages: [{ role: "user", content }] });
  return {
    models: (at) => modelsOf(client(at), at),
    async chat(at, prompt) {
      const { choices, usage } = await client(at).chat.completions.create(ask(at, prompt));
      return { text: choices[0].message.content, finish: choices[0].finish_reason, tokens: usage.total_tokens };
    },
    async *stream(at, prompt, signal) {
      const body = { ...ask(at, prompt), stream: true, stream_options: { include_usage: true } };
      for await (const { choices } of await client(at).chat.completions.create(body, { signal }))
        yield choices[0]?.delta.content;
    },
    async tool(at, prompt, tool) {
      const { chat, beta } = client(at);
      const run = chat.completions.runTools ? chat.completions : beta.chat.completions;
      const { name, description, parameters, call } = tool;
      const offered = { name, description, parameters, parse: JSON.parse, function: call };
      const runner = run.runTools({
        ...ask(at, prompt),
        stream: true,
        tools: [{ type: "function", function: offered }],
      });
      return { text: await runner.finalContent() };
    },
  };
};

/** Responses, kept by the server: the second request names the first. */
export const responses = (OpenAI) => {
  const client = ({ base, key }) => new OpenAI({ baseURL: base, apiKey: key }).responses;
  return {
    async chat(at, input) {
      const response = await client(at).create({ model: at.model, input });
      return { text: response.output_text, finish: response.status, tokens: response.usage.total_tokens };
    },
    async *stream(at, input, signal) {
      for await (const event of client(at).stream({ model: at.model, input }, { signal }))
        if (event.type === "response.output_text.delta") yield event.delta;
    },
    async tool(at, input, { name, description, parameters, call }) {
      const { model } = at;
      const tools = [{ type: "function", name, description, parameters, strict: false }];
      const first = await client(at).create({ model, input, tools });
      const { call_id, arguments: given } = first.output.find((item) => item.type === "function_call");
      const output = [{ type: "function_call_output", call_id, output: call(JSON.parse(given)) }];
      const next = { model, input: output, tools, previous_response_id: first.id };
      return { text: (await client(at).create(next)).output_text };
    },
  };
};

async function modelsOf(client, { model }) {
  const ids = [];
  for await (const { id } of client.models.list()) ids.push(id);
  return { ids, found: (await client.models.retrieve(model)).id };
}
