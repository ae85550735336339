// What the live panel of /docs makes of an event stream; needs no browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { emptyReply, withEvent } from "../../src/http/docs/files/reply.js";
import { eventSplitter } from "../../src/http/page/files/chat/sse.js";

const STREAM =
  ': hello\n\nid: 1\ndata: {"type":"text-delta","delta":"one\\n"}\r\n\r\ndata:two\ndata: lines\n\ndata: [DONE]\n\n';
const EVENTS = ['{"type":"text-delta","delta":"one\\n"}', "two\nlines", "[DONE]"];

test("events are the same wherever the stream is cut", () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    const seen = [];
    const splitter = eventSplitter((data) => seen.push(data));
    splitter.feed(STREAM.slice(0, cut));
    splitter.feed(STREAM.slice(cut));
    assert.deepEqual(seen, EVENTS, `cut at ${cut}`);
  }
});

test("a reply is its text deltas, and ends as its last chunk says", () => {
  const text = '{"type":"text-delta","delta":"hi"}';
  const states = { "": "complete", '{"type":"abort"}': "stopped", '{"type":"error","errorText":"no"}': "failed" };
  for (const [last, state] of Object.entries(states)) {
    const reply = [text, text, last, "[DONE]"].reduce(withEvent, emptyReply);
    assert.equal(reply.state, state, last);
    assert.ok(reply.text.startsWith("hihi"));
  }
});
