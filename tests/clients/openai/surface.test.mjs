// What the SDKs can do beyond a chat: kept responses and conversations, resumed streams, schemas, vectors, counts.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { NotFoundError } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { startAlm } from "../alm.mjs";
import { chunks, status, usage } from "../fake-upstream.mjs";
import { HELLO, PROMPTS, scriptedModel } from "./model.mjs";

const VECTORS = [
  [0.5, -0.25, 1],
  [0, 2, -1.5],
];
const POLLS_MAX = 200;
const Weather = z.object({ city: z.string(), degrees: z.number(), windy: z.boolean() });
const input = PROMPTS.hello;
const model = "fake/m";

let app;
let org;
let client;
let scripted;
before(async () => {
  app = await startAlm();
  const reply = async (reply, request) => {
    if (request.path.endsWith("embeddings")) {
      const data = VECTORS.map((embedding, index) => ({ object: "embedding", index, embedding }));
      return status(200, {}, { object: "list", data, model: "m", usage: { prompt_tokens: 4, total_tokens: 4 } })(reply);
    }
    if (request.body.prompt) {
      const said = { id: "cmpl-1", object: "text_completion", created: 1, model: "m" };
      const text = { ...said, choices: [{ index: 0, text: " is blue", logprobs: null, finish_reason: "stop" }] };
      return chunks(text, { ...usage(), ...said })(reply);
    }
    return scripted.reply(reply, request);
  };
  org = await app.org({ upstream: [reply] });
  client = new OpenAI({ baseURL: `${org.base}/v1`, apiKey: org.key });
});
test.beforeEach(() => (scripted = scriptedModel()));
after(() => app?.stop());

/** The response as soon as it is over. */
async function over({ id }) {
  for (let poll = 0; poll < POLLS_MAX; poll++) {
    const response = await client.responses.retrieve(id);
    if (!["queued", "in_progress"].includes(response.status)) return response;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${id} did not end within ${POLLS_MAX} polls`);
}

test("a response is read again as it was answered, with its input, until it is deleted", async () => {
  const made = await client.responses.create({ model, input, metadata: { topic: "greeting" } });
  const read = await client.responses.retrieve(made.id);
  assert.deepEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(made)));
  const { data } = await client.responses.inputItems.list(made.id);
  assert.deepEqual([data.length, data[0].role, data[0].content[0].text], [1, "user", input]);
  await client.responses.delete(made.id);
  await assert.rejects(client.responses.retrieve(made.id), NotFoundError);
});

test("a response in the background is over some time later, and one that is cancelled at once", async () => {
  const made = await client.responses.create({ model, input, background: true });
  assert.ok(["queued", "in_progress"].includes(made.status));
  assert.equal((await over(made)).output_text, HELLO.join(""));
  const endless = await client.responses.create({ model, input: PROMPTS.story, background: true });
  await scripted.begun;
  await client.responses.cancel(endless.id);
  assert.equal((await over(endless)).status, "cancelled");
  await scripted.hungUp;
});

test("a stream that was lost is taken up where it broke off", async () => {
  const stream = await client.responses.create({ model, input, background: true, stream: true });
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (event.type === "response.output_item.added") break;
  }
  const { id } = events[0].response;
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: events.at(-1).sequence_number });
  for await (const event of rest) events.push(event);
  assert.equal(events.at(-1).type, "response.completed");
  assert.equal(events.at(-1).response.output[0].content[0].text, HELLO.join(""));
  const numbers = events.map((event) => event.sequence_number);
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    numbers,
  );
});

test("a conversation is a session", async () => {
  const conversation = await client.conversations.create();
  for (const _ of [1, 2]) await client.responses.create({ model, input, conversation: conversation.id });
  const history = await org.history(conversation.id.replace("conv_", ""));
  assert.deepEqual(
    history.map(({ role }) => role),
    ["user", "assistant", "user", "assistant"],
  );
  await client.conversations.delete(conversation.id);
  await assert.rejects(client.conversations.retrieve(conversation.id), NotFoundError);
});

test("a schema comes back filled, from chat completions and from responses", async () => {
  const messages = [{ role: "user", content: "What is the weather?" }];
  const format = zodResponseFormat(Weather, "weather");
  const completion = await client.chat.completions.parse({ model: "ala", messages, response_format: format });
  assert.ok(Weather.safeParse(completion.choices[0].message.parsed).success);
  const text = { format: zodTextFormat(Weather, "weather") };
  const response = await client.responses.parse({ model: "ala", input, text });
  assert.ok(Weather.safeParse(response.output_parsed).success);
});

test("vectors arrive as they were made, whether as numbers or in base64", async () => {
  for (const encoding_format of [undefined, "base64", "float"]) {
    const { data, usage } = await client.embeddings.create({ model, input: ["one", "two"], encoding_format });
    assert.equal(usage.total_tokens, 4);
    for (const { index, embedding } of data)
      assert.deepEqual(typeof embedding === "string" ? floats(embedding) : embedding, VECTORS[index]);
  }
});

const floats = (base64) => {
  const bytes = Buffer.from(base64, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4));
};

test("a text is completed, at once and streamed", async () => {
  const ask = { model, prompt: "The sky" };
  assert.equal((await client.completions.create(ask)).choices[0].text, " is blue");
  let text = "";
  for await (const { choices } of await client.completions.create({ ...ask, stream: true }))
    text += choices[0]?.text ?? "";
  assert.equal(text, " is blue");
});

test("tokens are counted for Anthropic's SDK", async () => {
  const anthropic = new Anthropic({ baseURL: org.base, apiKey: org.key });
  const count = (content) => anthropic.messages.countTokens({ model, messages: [{ role: "user", content }] });
  const [short, long] = [await count("Hello"), await count("Hello ".repeat(100))];
  assert.ok(short.input_tokens > 0 && long.input_tokens > short.input_tokens);
});
