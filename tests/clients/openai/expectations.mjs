// What every client is put through, and what its user is to see: one list, so that a client is a row of a table.
//
// Rule: a client is asked as its documentation says and left as it comes: what it repeats, it repeats by itself.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { startAlm } from "../alm.mjs";
import { clients } from "./clients.mjs";
import { HELLO, OUTPUT, PROMPTS, scriptedModel } from "./model.mjs";
import { startRelay } from "./relay.mjs";

const hello = HELLO.join("");
/** A program takes its time to start, and one waits in the end for what it would have fetched. */
const TEST_MS_MAX = 180_000;

/** The client's own tool, which nobody else has. */
const WEATHER = {
  name: "get_weather",
  description: "The weather in a city",
  parameters: {
    type: "object",
    properties: { city: { type: "string", description: "The city" } },
    required: ["city"],
    additionalProperties: false,
  },
  call: () => OUTPUT,
};

/**
 * `lab` is where all is: `rich` and `poor` are places to ask, `asked()` counts the requests that came since the test began.
 * `failure(work)` is what its user reads when it fails.
 */
export const EXPECTATIONS = {
  async models({ rich }, { client }) {
    const { ids, found } = await client.models(rich);
    assert.equal(ids[0], "ala");
    assert.ok(ids.includes(rich.model) && found === rich.model, `${found} of ${ids}`);
  },
  async chat({ rich, asked }, { client }) {
    const { text, tokens } = await client.chat(rich, PROMPTS.hello);
    assert.ok(text.includes(hello), text);
    assert.ok(tokens === undefined || tokens > 0);
    assert.ok(asked() >= 1);
  },
  async stream({ rich }, { client }) {
    const { pieces } = await client.stream(rich, PROMPTS.hello);
    assert.deepEqual([pieces.join(""), pieces.length > 1], [hello, true], pieces.join("|"));
  },
  async tool({ rich, model }, { client }) {
    const { text, written } = await client.tool(rich, PROMPTS.weather, WEATHER);
    assert.ok(text.includes(`They say: `) && text.includes(OUTPUT), text);
    // What a program was told to write it has written; else the output of the call has been given back.
    if (written) assert.equal(written.trim(), OUTPUT);
    else assert.equal(model.asked("weather"), 2);
  },
  async stop({ rich, model }, { client }) {
    await Promise.all([client.stop(rich, PROMPTS.story, model.begun), model.hungUp]);
  },
  async halfway({ rich }, { client }) {
    const said = await failure(client.stream ?? client.chat, rich, PROMPTS.halfway);
    assert.match(said, /broke in the middle of the reply/);
  },
  async unknown({ rich }, { client, says = {} }) {
    const said = await failure(client.chat, { ...rich, model: "nobody" }, PROMPTS.hello);
    assert.match(said, says.unknown ?? /no model called nobody/);
  },
  async refused({ rich, asked }, { client, asks = {} }) {
    const said = await failure(client.chat, { ...rich, key: `alm_live_${"0".repeat(48)}` }, PROMPTS.hello);
    assert.match(said, /API key|401/i);
    assert.equal(asked(), asks.refused ?? 1, said);
  },
  async poor({ poor, asked }, { client, asks = {} }) {
    const said = await failure(client.chat, poor, PROMPTS.hello);
    assert.match(said, /balance|quota/i);
    assert.equal(asked(), asks.poor ?? 1, said);
  },
  async long({ rich, asked }, { client, asks = {} }) {
    const said = await failure(client.chat, rich, PROMPTS.long);
    assert.match(said, /too long|context/i);
    assert.equal(asked(), asks.long ?? 1, said);
  },
  async busy({ rich, asked }, { client, asks = {} }) {
    const { text } = await client.chat(rich, PROMPTS.busy);
    assert.ok(text.includes(hello), text);
    assert.equal(asked(), asks.busy ?? 2, "asked again, by itself");
  },
};

/** What the user reads, whether it is thrown or printed. */
async function failure(work, ...args) {
  const said = await work(...args).catch((error) => String(error?.message ?? error));
  assert.equal(typeof said, "string", `it did not fail: ${JSON.stringify(said)}`);
  return said;
}

/** Puts the clients of one kind through all of it. */
export function suite(kind) {
  let lab;
  before(async () => (lab = await startLab()));
  after(async () => {
    for (const { client } of clients[kind]) await client.end?.();
    await lab?.stop();
  });
  for (const row of clients[kind]) {
    describe(`${row.name} (${[row.list, row.pack].filter(Boolean).join(" ")}), ${row.path}`, () => {
      for (const name of row.does)
        test(name, { timeout: TEST_MS_MAX }, async () => EXPECTATIONS[name](lab.anew(row), row));
    });
  }
}

/** A server with two organizations: one may ask a scripted model, the other cannot pay for it. */
async function startLab() {
  const app = await startAlm();
  let model;
  const upstream = [(reply, request) => model.reply(reply, request)];
  const [rich, poor] = [await app.org({ upstream }), await app.org({ upstream, price: "1/1" })];
  const relay = await startRelay(app.base);
  const at = ({ key }) => ({ base: `${relay.base}/v1`, key, model: "fake/m", setUp });
  /** What `alm clients` says of a client, with the key filled in. */
  const setUp = async (client, { base, key, model }) => {
    const text = await app.cli("clients", client, "--url", base, "--agent", model);
    return text.replaceAll("alm_live_YOUR_KEY", key);
  };
  return {
    anew({ path }) {
      relay.seen.length = 0;
      const asked = () => relay.seen.filter((request) => request.method === "POST" && request.path === path).length;
      // alm itself asks a busy server again, so that one is busy until the client has.
      model = scriptedModel(asked);
      return { rich: at(rich), poor: at(poor), model, asked };
    },
    async stop() {
      await relay.stop();
      await app.stop();
    },
  };
}
