// A scripted model: what it does depends on nothing but what it is asked, so one of it serves every client.
//
// Rule: what the user asked is one of PROMPTS, somewhere in the last message of the user; clients wrap it in words of their own.

import { chunk, cutInEvent, status, text, toolCall } from "../fake-upstream.mjs";

/** What a client can be told to ask, and what is then to be seen. */
export const PROMPTS = {
  hello: "Say hello to the world.",
  weather: "What is the weather in Paris?",
  story: "Tell me a story without an end.",
  halfway: "Break off halfway.",
  long: "Read far too much.",
  busy: "Be busy at first.",
};
export const HELLO = ["Hello, ", "world", "!"];
/** What only the client's own tool knows. */
export const OUTPUT = "sunny, 21 degrees";

/** Tools that a client may offer, and how this model calls each. */
const CALLS = [
  ["get_weather", { city: "Paris" }],
  ["exec_command", { cmd: `echo '${OUTPUT}' | tee weather.txt` }],
  ["Bash", { command: `echo '${OUTPUT}' | tee weather.txt`, description: "Asks for the weather" }],
  ["bash", { command: `echo '${OUTPUT}' | tee weather.txt`, description: "Asks for the weather" }],
];

/**
 * The scripted model of one test; `requests()` says how often the client has asked. `asked(prompt)` counts; `begun` settles when the endless story has begun, `hungUp` when whoever
 * asked for it has gone.
 */
export function scriptedModel(requests = () => 2) {
  const counts = {};
  const [begun, hungUp] = [Promise.withResolvers(), Promise.withResolvers()];
  const scripts = {
    hello: () => text(...HELLO),
    weather,
    story: () => async (reply) => {
      // An old SDK shows an event when the next one comes.
      for (const content of ["Once", " upon", " a time"]) await reply.event(chunk({ content }));
      begun.resolve();
      await reply.gone;
      hungUp.resolve();
    },
    halfway: () => cutInEvent("Half"),
    long: () =>
      status(400, {}, { error: { message: TOO_LONG, type: "invalid_request_error", code: "context_length_exceeded" } }),
    busy: () => (requests() > 1 ? text(...HELLO) : status(429, { "retry-after": "1" })),
  };
  return {
    asked: (name) => counts[name] ?? 0,
    begun: begun.promise,
    hungUp: hungUp.promise,
    reply: async (reply, { body }) => {
      const said = textOf(body.messages.findLast(({ role }) => role === "user"));
      const name = Object.keys(PROMPTS).find((name) => said.includes(PROMPTS[name])) ?? "hello";
      counts[name] = (counts[name] ?? 0) + 1;
      await scripts[name](body)(reply);
    },
  };
}

/** Calls the tool, then says what it said. aider offers none: it writes the files that the text lists. */
function weather({ messages, tools = [] }) {
  if (textOf(messages[0]).includes("*file listing*"))
    return text("They say: see the file.\n\nweather.txt\n```\n", OUTPUT, "\n```\n");
  const output = messages.findLast(({ role }) => role === "tool");
  if (output) return text(`They say: ${textOf(output)}`);
  const names = tools.map((tool) => tool.function.name);
  const [name, input] = CALLS.find(([name]) => names.includes(name)) ?? [];
  return name ? toolCall(name, cut(JSON.stringify(input))) : text("I cannot know.");
}

const TOO_LONG = "This model's maximum context length is 8192 tokens. Please reduce the length of the messages.";

const textOf = ({ content }) =>
  typeof content === "string" ? content : content.map((part) => part.text ?? "").join("");

/** In three fragments, as models send arguments. */
const cut = (json) => [json.slice(0, 3), json.slice(3, 9), json.slice(9)];
