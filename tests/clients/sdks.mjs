// The AI SDKs people have: the oldest 6, the last strict 6, the newest 6, and 7.

import { Chat as NewestChat } from "@ai-sdk/react";
import * as newest from "ai";
import * as first from "ai-6-0-0";
import * as strict from "ai-6-0-230";
import * as seven from "ai-7";
import { Chat as FirstChat } from "react-6-0-0";
import { Chat as SevenChat } from "react-7";

/** Every version, with its name, and what `useChat` of its time keeps its messages in. */
export const sdks = [
  { name: "ai 6.0.0", sdk: first, Chat: FirstChat },
  { name: "ai 6.0.230", sdk: strict },
  { name: "ai 6 newest", sdk: newest, Chat: NewestChat },
  { name: "ai 7", sdk: seven, Chat: SevenChat },
];

export { newest };

/** What a version's schema says against a chunk; undefined if it accepts it. */
export async function complaint(sdk, chunk) {
  const result = await sdk.uiMessageChunkSchema().validate(chunk);
  return result.success ? undefined : result.error.message;
}

/** The message that the SDK builds from these chunks, with the errors it reports on the way. */
export async function fold(sdk, chunks, message) {
  const errors = [];
  let last = message;
  const stream = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(structuredClone(chunk));
      controller.close();
    },
  });
  for await (const state of sdk.readUIMessageStream({ stream, message, onError: (error) => errors.push(error) }))
    last = state;
  return { message: plain(last), errors };
}

/** A value as JSON sees it. */
export function plain(value) {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** A `Chat` without a view: the core that `useChat` wraps, keeping its messages in memory. */
export function memoryChat(sdk, { id, api, headers, messages = [], fetch: send, transport, ...options }) {
  const state = {
    status: "ready",
    error: undefined,
    messages,
    pushMessage: (message) => (state.messages = [...state.messages, message]),
    popMessage: () => (state.messages = state.messages.slice(0, -1)),
    replaceMessage: (index, message) => (state.messages = state.messages.with(index, message)),
    snapshot: (value) => structuredClone(value),
  };
  class MemoryChat extends sdk.AbstractChat {}
  return new MemoryChat({
    id,
    state,
    transport: new sdk.DefaultChatTransport({ api, headers, fetch: send, ...transport }),
    ...options,
  });
}
