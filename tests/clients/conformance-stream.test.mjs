// What is true of every stream, whatever the model did: framing, schema, order and content, checked on the whole corpus.
//
// Rule: a numbered test is a numbered item of the conformance list that the protocol was read into; the numbers are kept so that
// a missing item shows.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startAlm } from "./alm.mjs";
import { collect } from "./corpus.mjs";
import { SECRET } from "./fake-upstream.mjs";
import { complaint, fold, newest, plain, sdks } from "./sdks.mjs";

let app;
let corpus;
before(async () => {
  app = await startAlm();
  corpus = await collect(app);
});
after(() => app?.stop());

/** One test over every stream of the corpus that `fits`; it names all streams that break the rule, not only the first. */
function everyStream(rule, check, fits = () => true) {
  test(rule, async () => {
    const broken = [];
    let checked = 0;
    for (const one of corpus.filter((one) => one.stream && fits(one))) {
      checked += 1;
      try {
        await check(one.stream, one);
      } catch (error) {
        broken.push(`${one.name}: ${error.message}\n    ${JSON.stringify(one.stream.chunks).slice(0, 1500)}`);
      }
    }
    assert.ok(checked > 0, "no stream to check");
    assert.equal(broken.length, 0, `\n${broken.join("\n")}`);
  });
}

test("every reply, however it went, is a whole stream", () => {
  const broken = corpus.filter((one) => one.problem).map((one) => `${one.name}: ${one.problem.message}`);
  assert.equal(broken.length, 0, `\n${broken.join("\n")}`);
});

const CONTENT = /^(text|reasoning|tool|source)-|^file$/;
const failed = (one) => one.finish === "error";

everyStream("a reply says what the model said and ends as the model ended", (stream, one) => {
  if (one.says) assert.ok(stream.text.includes(one.says), stream.text);
  if (one.thinks)
    assert.equal(
      stream
        .of("reasoning-delta")
        .map((chunk) => chunk.delta)
        .join(""),
      one.thinks,
    );
  if (one.calls) assert.equal(stream.of("tool-output-available").length, one.calls);
  if (one.fails) assert.equal(stream.of("tool-output-error").length, one.fails);
  if (one.finish && !failed(one)) assert.equal(stream.only("finish").finishReason, one.finish);
  if (failed(one)) assert.ok(stream.types.includes("error"));
});

everyStream("6 the stream begins with a comment and is framed as one data line an event", (stream) => {
  assert.equal(stream.comments[0], "stream-open");
  assert.ok(stream.payloads.every((payload) => !payload.includes("\n")));
});

everyStream("7 no JSON value holds a key that the SDK takes for an attack", (stream) => {
  for (const payload of stream.payloads) {
    JSON.parse(payload, (key, value) => {
      assert.notEqual(key, "__proto__", payload);
      if (key === "constructor" && value && typeof value === "object")
        assert.ok(!Object.hasOwn(value, "prototype"), payload);
      return value;
    });
  }
});

everyStream("8 ids are strings, keys are camelCase and no optional key is null", (stream) => {
  const mayBeNull = new Set(["input", "output", "data", "messageMetadata"]);
  for (const chunk of stream.chunks) {
    for (const [key, value] of Object.entries(chunk)) {
      assert.match(key, /^[a-z][a-zA-Z]*$/);
      if (!mayBeNull.has(key)) assert.notEqual(value, null, JSON.stringify(chunk));
      if (/id$/i.test(key)) assert.equal(typeof value, "string", JSON.stringify(chunk));
    }
    for (const key of Object.keys(chunk.messageMetadata ?? {})) assert.match(key, /^[a-z][a-zA-Z]*$/);
  }
});

for (const { name, sdk } of sdks) {
  everyStream(`9 every chunk passes the schema of ${name}`, async (stream) => {
    for (const chunk of stream.chunks) assert.equal(await complaint(sdk, chunk), undefined, JSON.stringify(chunk));
  });
}

everyStream("10 input, output, data and messageMetadata are always there", (stream) => {
  const needs = {
    start: "messageMetadata",
    finish: "messageMetadata",
    "tool-input-available": "input",
    "tool-input-error": "input",
    "tool-output-available": "output",
    "data-error": "data",
  };
  for (const chunk of stream.chunks)
    if (needs[chunk.type]) assert.ok(needs[chunk.type] in chunk, JSON.stringify(chunk));
});

everyStream("11 a finish reason is one of the six", (stream) => {
  const six = ["stop", "length", "content-filter", "tool-calls", "error", "other"];
  for (const chunk of stream.of("finish")) assert.ok(six.includes(chunk.finishReason), chunk.finishReason);
});

everyStream("12 provider metadata has two levels or is absent", (stream) => {
  for (const { providerMetadata = {} } of stream.chunks)
    for (const inner of Object.values(providerMetadata)) assert.equal(typeof inner, "object");
});

everyStream(
  "13 start comes first, once, with the id under which the answer is stored",
  (stream, { session, history }) => {
    assert.equal(stream.types[0], "start");
    assert.equal(stream.sessionId, session.id);
    assert.equal(history.at(-1).role, "assistant");
    assert.equal(stream.messageId, history.at(-1).id);
  },
);

everyStream(
  "start names session, model, agent and time; finish names usage, cost, durations and reason",
  (stream, { session }) => {
    const { messageMetadata: begun } = stream.only("start");
    assert.equal(begun.agentId, session.agentId);
    assert.match(begun.model, /^(fake\/m|demo\/ala)$/);
    assert.match(begun.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    for (const { messageMetadata: ended, finishReason } of stream.of("finish")) {
      assert.ok(Number.isInteger(ended.costMicrocents), "costMicrocents");
      assert.ok(Number.isInteger(ended.durationMs), "durationMs");
      assert.equal(ended.finishReason, finishReason);
    }
    assert.equal(stream.response.headers.get("x-alm-session-id") ?? session.id, session.id);
  },
);

everyStream("14 all content lies inside steps, tool outputs inside the step that called", (stream) => {
  let open = false;
  let called = new Set();
  for (const chunk of stream.chunks) {
    if (chunk.type === "start-step") {
      assert.ok(!open, "a step inside a step");
      open = true;
      called = new Set();
    } else if (chunk.type === "finish-step") {
      assert.ok(open, "a step that did not start");
      open = false;
    } else if (CONTENT.test(chunk.type)) {
      assert.ok(open, `${chunk.type} outside a step`);
      if (chunk.type.startsWith("tool-input")) called.add(chunk.toolCallId);
      if (chunk.type.startsWith("tool-output")) assert.ok(called.has(chunk.toolCallId), "an output in another step");
    }
  }
  assert.ok(!open || stream.types.includes("error"), "the last step is finished");
});

everyStream(
  "15 text and reasoning parts are started, filled and ended before the step is, under ids of their own",
  (stream) => {
    const seen = new Set();
    const open = new Map();
    for (const { type, id, delta } of stream.chunks) {
      const [kind, what] = /^(text|reasoning)-(start|delta|end)$/.exec(type)?.slice(1) ?? [];
      const key = `${kind} ${id}`;
      if (what === "start") {
        assert.ok(!seen.has(id), `the id ${id} twice`);
        seen.add(id);
        open.set(key, "");
      }
      if (what === "delta") {
        assert.ok(open.has(key) && delta !== "", `${type} without a part or without text`);
        open.set(key, open.get(key) + delta);
      }
      if (what === "end") {
        assert.notEqual(open.get(key), "", "an empty part");
        assert.ok(open.delete(key), `${type} without a part`);
      }
      if (type === "finish-step" || type === "finish") assert.equal(open.size, 0, "a part left open");
    }
  },
);

everyStream("16 a tool call starts, gets its input, and gets its outcome; the deltas are the input", (stream) => {
  const calls = new Map();
  for (const chunk of stream.chunks) {
    const { type, toolCallId: id } = chunk;
    if (!type.startsWith("tool-")) continue;
    const call = calls.get(id);
    if (type === "tool-input-start") {
      assert.ok(!call, `the id ${id} twice`);
      calls.set(id, { text: "", dynamic: chunk.dynamic, state: "open" });
    } else if (type === "tool-input-delta") {
      assert.equal(call.state, "open");
      call.text += chunk.inputTextDelta;
    } else if (type === "tool-input-available" || type === "tool-input-error") {
      assert.equal(call?.state ?? "open", "open");
      assert.equal(chunk.dynamic, call?.dynamic);
      if (type === "tool-input-available" && call && !call.text.includes("__proto__"))
        assert.deepEqual(JSON.parse(call.text || "{}"), chunk.input);
      calls.set(id, { ...call, state: type === "tool-input-available" ? "available" : "bad" });
    } else {
      assert.ok(
        type === "tool-output-available" ? call.state === "available" : ["available", "bad"].includes(call.state),
        `${type} in ${call.state}`,
      );
      call.state = "over";
    }
  }
  for (const [id, { state }] of calls)
    assert.ok(state === "over" || stream.types.includes("error"), `${id} is left ${state}`);
});

everyStream("17 there is exactly one ending, and nothing after it", (stream) => {
  const endings = stream.types.filter((type) => ["finish", "error", "abort"].includes(type)).join(" ");
  assert.match(endings, /^(finish|error|error finish|abort)$/);
  if (stream.types.includes("finish")) assert.equal(stream.types.at(-1), "finish");
  if (endings === "error finish") assert.equal(stream.only("finish").finishReason, "error");
  const tail = stream.types.slice(stream.types.indexOf("error") + 1);
  if (endings.startsWith("error"))
    assert.ok(
      tail.every((type) => /-end$|^tool-(input|output)-error$|^finish/.test(type)),
      tail.join(" "),
    );
});

everyStream(
  "20 usage is the sum of all steps; where the upstream gave none, it is absent or says that it is estimated",
  (stream, one) => {
    // Not every step is a model call: an answer that was cut off in a call is closed by the server's own words.
    const steps = one.org.upstream?.requests.length;
    for (const { messageMetadata } of stream.of("finish")) {
      const { usage, estimated } = messageMetadata;
      if (usage) assert.equal(usage.totalTokens, usage.inputTokens + usage.outputTokens);
      if (one.unmetered) assert.ok(!usage || estimated || usage.estimated);
      else if (one.replies && !one.settings && !failed(one)) {
        assert.deepEqual([usage.inputTokens, usage.outputTokens], [10 * steps, 5 * steps]);
      }
    }
  },
);

everyStream(
  "21 nothing an upstream said of an error, and no address of it, reaches the wire or the history",
  (stream, { org, history }) => {
    const all = stream.payloads.join() + JSON.stringify(history);
    for (const secret of [SECRET, "sk-leaked", "10.1.2.3", new URL(org.upstream?.baseUrl ?? "http://none/").host])
      assert.ok(!all.includes(secret), secret);
  },
);

everyStream(
  "22 a reply that was cut or failed is an error on the wire and in the history",
  (stream, { history }) => {
    const error = stream.types.indexOf("error");
    assert.ok(error > 0 && stream.chunks[error].errorText.length > 0);
    const { type, data, transient } = stream.chunks[error - 1];
    assert.deepEqual(
      { type, transient, keys: Object.keys(data).sort() },
      { type: "data-error", transient: true, keys: ["code", "message", "requestId"] },
    );
    assert.notEqual(history.at(-1).status, "complete");
  },
  failed,
);

everyStream(
  "23 truncated or unreadable tool arguments never run",
  (stream) => {
    assert.equal(stream.of("tool-output-available").length, 0);
    assert.equal(stream.of("tool-output-error").length, 1);
  },
  (one) => one.fails,
);

everyStream(
  "24 a refusal is text that ends with content-filter",
  (stream) => {
    assert.equal(stream.only("finish").finishReason, "content-filter");
    assert.equal(stream.text, "I would rather not.");
  },
  (one) => one.name === "a refusal",
);

everyStream(
  "30 the stored history is valid for every SDK and holds no unfinished part",
  async (stream, { history }) => {
    const messages = history.map(({ id, role, parts, metadata }) => ({
      id,
      role,
      parts,
      metadata: metadata ?? undefined,
    }));
    for (const { sdk } of sdks) await sdk.validateUIMessages({ messages: structuredClone(messages) });
    for (const part of history.at(-1).parts)
      assert.ok(!["input-streaming", "input-available", "streaming"].includes(part.state), JSON.stringify(part));
  },
);

everyStream(
  "the message the SDK builds from the wire is the message that is stored",
  async (stream, { history, finish }) => {
    const { message, errors } = await fold(newest, stream.chunks);
    assert.equal(errors.length, finish === "error" || stream.types.includes("error") ? 1 : 0, String(errors));
    const stored = history.at(-1);
    assert.equal(message.id, stored.id);
    if (stream.types.includes("error")) assert.equal(textOf(message.parts), textOf(stored.parts));
    else assert.deepEqual(bare(message.parts), bare(stored.parts));
    assert.equal(stored.content, textOf(stored.parts));
  },
);

everyStream(
  "the stored metadata names model, agent, reason, usage, cost and durations",
  (stream, { history, session }) => {
    const { metadata } = history.at(-1);
    assert.equal(metadata.agentId, session.agentId);
    for (const key of ["model", "finishReason", "costMicrocents", "durationMs"])
      assert.notEqual(metadata[key], undefined, key);
  },
);

function textOf(parts) {
  return parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");
}

/** Parts without what the SDK keeps for itself: a reasoning part's id, which a stored part may lack, and an undefined input. */
function bare(parts) {
  return plain(parts)
    .map(({ id, ...part }) => (part.type === "reasoning" ? part : { id, ...part }))
    .map((part) => (part.state === "output-error" ? { input: null, ...part } : part))
    .map(plain);
}
