// Replies of every kind, good and bad, as the upstream makes them. What is true of every stream is checked against all of them.

import * as fake from "./fake-upstream.mjs";

const { chunk, chunks, call, usage, text } = fake;

const fragmented = ['{"utcOff', 'setMinutes"', ": 60}"];
const after = text("It is ", "noon.");
const twoCalls = (...fragments) => chunks(...fragments, chunk({}, "tool_calls"), usage());

/**
 * `replies`: what the upstream says, call by call. `finish`: the expected finish reason; `error` means the turn failed.
 * `settings`: the agent's. `says`: a piece the reply's text must hold.
 */
export const scenarios = {
  "plain text": { replies: [text("Hello", " world")], finish: "stop", says: "Hello world" },
  "CRLF line ends": {
    replies: [fake.bytes(fake.recorded([chunk({ content: "a\r\nb" }), chunk({}, "stop"), usage()], "\r\n"), 7)],
    finish: "stop",
    says: "a\r\nb",
  },
  "comments between events": { replies: [comments], finish: "stop", says: "Hello" },
  "UTF-8 cut at every byte": {
    replies: [fake.bytes(fake.recorded([chunk({ content: "Grüße 👋🏽 日本" }), chunk({}, "stop"), usage()]), 1)],
    finish: "stop",
    says: "Grüße 👋🏽 日本",
  },
  "no [DONE], no last blank line": {
    replies: [fake.bytes(Buffer.from(`data: ${JSON.stringify(chunk({ content: "whole" }, "stop"))}`))],
    finish: "stop",
    says: "whole",
    unmetered: true,
  },
  "no usage": {
    replies: [chunks(chunk({ content: "free" }), chunk({}, "stop"))],
    finish: "stop",
    says: "free",
    unmetered: true,
  },
  "usage on every chunk": {
    replies: [
      chunks({ ...chunk({ content: "a" }), usage: usage(1, 1).usage }, { ...chunk({}, "stop"), usage: usage().usage }),
    ],
    finish: "stop",
    says: "a",
  },
  "an empty reply": {
    replies: [chunks(chunk({ role: "assistant", content: "" }), chunk({}, "stop"), usage())],
    finish: "stop",
  },
  "nulls wherever a field may be null": {
    replies: [
      chunks(
        {
          ...chunk({ role: null, content: "x", tool_calls: null, refusal: null, reasoning_content: null }),
          usage: null,
        },
        { ...chunk({ content: null }, "stop"), usage: null },
        usage(),
      ),
    ],
    finish: "stop",
    says: "x",
  },
  "a choice without a delta": {
    replies: [
      chunks(
        { id: "", model: "", choices: [], prompt_filter_results: [] },
        chunk({ content: "y" }),
        { choices: [{ index: 0, finish_reason: "stop", content_filter_results: {} }] },
        usage(),
      ),
    ],
    finish: "stop",
    says: "y",
  },
  "cut by its cap": {
    replies: [chunks(chunk({ content: "half a" }), chunk({}, "length"), usage())],
    finish: "length",
    says: "half a",
  },
  "cut by a filter": {
    replies: [chunks(chunk({ content: "no" }), chunk({}, "content_filter"), usage())],
    finish: "content-filter",
    says: "no",
  },
  "an unknown finish reason": {
    replies: [chunks(chunk({ content: "z" }), chunk({}, "eos"), usage())],
    finish: "other",
    says: "z",
  },
  "a refusal": {
    replies: [fake.refusal("I would rather not.")],
    finish: "content-filter",
    says: "I would rather not.",
  },
  "reasoning in reasoning_content": {
    replies: [fake.reasoning("Hm.", "Yes.")],
    finish: "stop",
    says: "Yes.",
    thinks: "Hm.",
  },
  "reasoning in reasoning": {
    replies: [fake.reasoning("Hm.", "Yes.", "reasoning")],
    finish: "stop",
    says: "Yes.",
    thinks: "Hm.",
  },
  "content in arrays": {
    replies: [
      chunks(
        chunk({ content: [{ type: "thinking", thinking: [{ type: "text", text: "Well." }] }] }),
        chunk({ content: [{ type: "text", text: "So." }] }),
        chunk({}, "stop"),
        usage(),
      ),
    ],
    finish: "stop",
    says: "So.",
    thinks: "Well.",
  },
  "a source": {
    replies: [
      chunks(
        chunk({
          content: "See there.",
          annotations: [{ type: "url_citation", url_citation: { url: "https://example.com/a", title: "A" } }],
        }),
        chunk({}, "stop"),
        usage(),
      ),
    ],
    finish: "stop",
    says: "See there.",
  },
  "a tool call in fragments": {
    replies: [fake.toolCall("current_time", fragmented), after],
    finish: "stop",
    says: "It is noon.",
    calls: 1,
  },
  "text before a tool call": {
    replies: [
      chunks(
        chunk({ content: "Let me look." }),
        call({ index: 0, id: "c1", name: "current_time", args: "{}" }),
        chunk({}, "tool_calls"),
        usage(),
      ),
      after,
    ],
    finish: "stop",
    says: "It is noon.",
    calls: 1,
  },
  "a tool call finished with stop": {
    replies: [fake.toolCall("current_time", ["{}"], "stop"), after],
    finish: "stop",
    says: "It is noon.",
    calls: 1,
  },
  "a tool call without arguments": {
    replies: [fake.toolCall("current_time", [""]), after],
    finish: "stop",
    says: "It is noon.",
    calls: 1,
  },
  "parallel tool calls": {
    replies: [
      twoCalls(
        call({ index: 0, id: "c1", name: "current_time", args: "" }),
        call({ index: 1, id: "c2", name: "current_time", args: "" }),
        call({ index: 0, args: "{}" }),
        call({ index: 1, args: "{}" }),
      ),
      after,
    ],
    finish: "stop",
    says: "It is noon.",
    calls: 2,
  },
  "tool calls without an index": {
    replies: [
      twoCalls(
        call({ id: "c1", name: "current_time", args: "{}" }),
        call({ id: "c2", name: "current_time", args: "{}" }),
      ),
      after,
    ],
    finish: "stop",
    says: "It is noon.",
    calls: 2,
  },
  "tool calls that reuse an index": {
    replies: [
      twoCalls(
        call({ index: 0, id: "c1", name: "current_time", args: "{}" }),
        call({ index: 0, id: "c2", name: "current_time", args: "{}" }),
      ),
      after,
    ],
    finish: "stop",
    says: "It is noon.",
    calls: 2,
  },
  "tool calls that reuse an id": {
    replies: [
      fake.toolCall("current_time", ["{}"], "tool_calls", "same"),
      fake.toolCall("current_time", ["{}"], "tool_calls", "same"),
      after,
    ],
    finish: "stop",
    says: "It is noon.",
    calls: 2,
  },
  "tool arguments that are not JSON": {
    replies: [fake.toolCall("current_time", ['{"utcOffsetMinutes": sixty}']), after],
    finish: "stop",
    says: "It is noon.",
    fails: 1,
  },
  "an unknown tool": {
    replies: [fake.toolCall("launch_rockets", ['{"count":2}']), after],
    finish: "stop",
    says: "It is noon.",
    fails: 1,
  },
  "tool arguments cut by the cap": {
    replies: [fake.toolCall("current_time", ['{"utcOffsetMinutes": 6'], "length"), after],
    fails: 1,
  },
  "whole tool arguments, but the reply was cut": {
    replies: [fake.toolCall("current_time", ["{}"], "length"), after],
    fails: 1,
  },
  "tool arguments with a prototype": {
    replies: [fake.toolCall("current_time", ['{"__proto__":{"a":1},', '"constructor":{"prototype":{"b":2}}}']), after],
    finish: "stop",
    says: "It is noon.",
  },
  "tools without end": { replies: [fake.toolCall("current_time")], settings: { maxSteps: 3 } },
  "an error object at HTTP 200": {
    replies: [fake.errorObject("So far ", "so good")],
    finish: "error",
    says: "So far so good",
  },
  "an error event after a tool call began": {
    replies: [
      chunks(call({ index: 0, id: "c1", name: "current_time", args: '{"time' }), { error: { message: fake.SECRET } }),
    ],
    finish: "error",
  },
  "cut in the middle of an event": { replies: [fake.cutInEvent("Half ", "an")], finish: "error", says: "Half an" },
  "ended without a finish reason": { replies: [fake.noFinish("Half ", "an")], finish: "error", says: "Half an" },
  "failed in its second step": {
    replies: [fake.toolCall("current_time"), fake.status(500)],
    finish: "error",
    calls: 1,
  },
};

/** What the built-in model is asked: a prompt for each kind of part it can show. */
export const demoPrompts = [
  "Summarise the periodic table in 3 sentences.",
  "What can you do?",
  "Think step by step: is 91 prime?",
  "What time is it?",
  "Search my history for gold.",
  "Call a tool with bad arguments.",
  "Call an unknown tool.",
  "Cite a source.",
  "Give me a long answer.",
  "Show me some Rust code.",
  "Show me an error.",
];

/** Has every scenario answered: `{name, org, session, stream, history, …scenario}`, or `{name, problem}` where no whole stream came. */
export async function collect(app) {
  const corpus = [];
  const add = async (name, scenario, org, prompt) => {
    try {
      corpus.push({ ...scenario, name, org, ...(await answer(org, prompt, scenario.settings)) });
    } catch (problem) {
      corpus.push({ name, problem });
    }
  };
  for (const [name, scenario] of Object.entries(scenarios))
    await add(name, scenario, await app.org({ upstream: scenario.replies }), "Go on.");
  const org = await app.org();
  for (const prompt of demoPrompts) await add(`demo/ala: ${prompt}`, {}, org, prompt);
  return corpus;
}

async function answer(org, prompt, settings) {
  const session = await org.session(settings);
  const stream = await org.reply({ sessionId: session.id, messages: [{ role: "user", content: prompt }] });
  return { session, stream, history: await org.history(session.id) };
}

async function comments(reply) {
  await reply.raw(": OPENROUTER PROCESSING\n\n:\n\n");
  await reply.event(chunk({ content: "Hel" }));
  await reply.raw(": ping - 2026-01-01\n\nevent: message\nid: 7\nretry: 10\n");
  await reply.event(chunk({ content: "lo" }));
  await reply.event(chunk({}, "stop"));
  await reply.raw(": keep-alive\n\n");
  await reply.event(usage());
  await reply.event("[DONE]");
  reply.end();
}
