// A server-sent event reader of our own: what a person writes who does not use the AI SDK. It is strict where the SDK is lax.

import assert from "node:assert/strict";

/** Reads a stream's bytes as they come: `{comment}`, `{chunk}` or `{done: true}` for every event. */
export async function* events(body) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  for await (const bytes of body) {
    text += decoder.decode(bytes, { stream: true });
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) yield event(block);
  }
  decoder.decode();
  assert.equal(text, "", "the body ends with a whole event");
}

function event(block) {
  assert.ok(!block.includes("\n") && !block.includes("\r"), `one line an event, not ${JSON.stringify(block)}`);
  if (block.startsWith(":")) return { comment: block.slice(1).trim() };
  assert.ok(block.startsWith("data: "), `a data line, not ${JSON.stringify(block)}`);
  const payload = block.slice("data: ".length);
  if (payload === "[DONE]") return { done: true };
  const chunk = JSON.parse(payload);
  assert.ok(payload.startsWith('{"type":"'), `compact JSON, its type first, not ${payload.slice(0, 80)}`);
  return { chunk, payload };
}

/** Reads a whole stream, and checks what is true of every one: `[DONE]` once, at the end. */
export async function readStream(response) {
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  const all = [];
  for await (const one of events(response.body)) all.push(one);
  assert.equal(all.filter((one) => one.done).length, 1, "one [DONE]");
  assert.ok(all.at(-1).done, "[DONE] comes last");
  return new Stream(response, all);
}

/** A stream that has ended. */
class Stream {
  constructor(response, all) {
    this.response = response;
    this.comments = all.filter((one) => one.comment !== undefined).map((one) => one.comment);
    this.payloads = all.filter((one) => one.chunk).map((one) => one.payload);
    this.chunks = all.filter((one) => one.chunk).map((one) => one.chunk);
    this.types = this.chunks.map((chunk) => chunk.type);
  }

  /** The chunks of one type. */
  of(type) {
    return this.chunks.filter((chunk) => chunk.type === type);
  }

  /** The only chunk of one type. */
  only(type) {
    const found = this.of(type);
    assert.equal(found.length, 1, `one ${type} in ${this.types.join(" ")}`);
    return found[0];
  }

  get messageId() {
    return this.only("start").messageId;
  }

  get sessionId() {
    return this.only("start").messageMetadata.sessionId;
  }

  get text() {
    return this.of("text-delta")
      .map((chunk) => chunk.delta)
      .join("");
  }
}
