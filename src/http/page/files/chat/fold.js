// @ts-check

// A reply as it arrives: chunks in, the parts of the message out, as the AI SDK's client holds them.

import { duration } from "../lib/format.js";

/**
 * A message of which nothing has come yet.
 * @param {any[]} [parts]
 * @returns {Arriving}
 */
export const emptyMessage = (parts = []) => ({
  id: null,
  parts,
  metadata: {},
  state: "arriving",
  error: null,
  waits: null,
  open: new Map(),
});

/**
 * Takes one chunk into the message.
 * @param {Arriving} message
 * @param {any} chunk
 */
export function fold(message, chunk) {
  const { type } = chunk;
  message.waits = null;
  if (chunk.messageMetadata) message.metadata = merged(message.metadata, chunk.messageMetadata);
  if (type === "start") message.id = chunk.messageId ?? message.id;
  else if (type === "start-step") message.parts.push({ type: "step-start" });
  else if (type === "finish-step") message.open.clear();
  else if (/^(text|reasoning)-(start|delta|end)$/.test(type)) foldText(message, chunk);
  else if (type.startsWith("tool-")) foldTool(message, chunk);
  else if (type.startsWith("source-") || type === "file") message.parts.push({ ...chunk });
  else if (type === "data-error") message.error = chunk.data;
  else if (type === "data-model") message.waits = waitText(chunk.data ?? {});
  else if (type.startsWith("data-") && !chunk.transient) foldData(message, chunk);
  else if (type === "error")
    Object.assign(message, { state: "failed", error: { message: chunk.errorText, ...message.error } });
  else if (type === "abort") message.state = "stopped";
  else if (type === "finish" && message.state === "arriving") message.state = "complete";
}

/**
 * What a reply waits for, in words.
 * @param {any} data
 */
function waitText({ state, sinceMs, position }) {
  if (state === "queued") return `Others are answered first: you are number ${position}…`;
  if (state !== "loading") return null;
  const text = "The model is being loaded…";
  return sinceMs >= 1_000 ? `${text} ${duration(sinceMs)}` : text;
}

/**
 * @param {Arriving} message
 * @param {any} chunk
 */
function foldText(message, chunk) {
  const [kind, what] = chunk.type.split("-");
  const key = `${kind} ${chunk.id}`;
  if (what === "start") {
    const part = { type: kind, ...(kind === "reasoning" && { id: chunk.id }), text: "", state: "streaming" };
    message.open.set(key, part);
    message.parts.push(part);
  } else if (what === "delta") {
    message.open.get(key).text += chunk.delta;
  } else {
    message.open.get(key).state = "done";
    message.open.delete(key);
  }
}

/**
 * @param {Arriving} message
 * @param {any} chunk
 */
function foldTool(message, chunk) {
  const { toolCallId, toolName, input, errorText } = chunk;
  const fresh = () => {
    const part = chunk.dynamic
      ? { type: "dynamic-tool", toolName, toolCallId }
      : { type: `tool-${toolName}`, toolCallId };
    if (chunk.title !== undefined) Object.assign(part, { title: chunk.title });
    message.parts.push(part);
    return part;
  };
  const sinceStep = message.parts.findLastIndex((part) => part.type === "step-start");
  const inStep = message.parts.slice(sinceStep + 1).find((part) => part.toolCallId === toolCallId);
  const known = inStep ?? message.parts.findLast((part) => part.toolCallId === toolCallId);
  /**
   * @param {any} part
   * @param {object} fields
   */
  const become = (part, fields) => Object.assign(part, fields);
  /** @type {Record<string, () => unknown>} */
  const folds = {
    "tool-input-start": () => become(fresh(), { state: "input-streaming" }),
    "tool-input-delta": () => (known.rawInput = (known.rawInput ?? "") + chunk.inputTextDelta),
    "tool-input-available": () => forget(become(inStep ?? fresh(), { state: "input-available", input }), "rawInput"),
    "tool-input-error": () => invalid(inStep ?? fresh(), input, errorText),
    "tool-approval-request": () => become(known, { state: "approval-requested", approval: { id: chunk.approvalId } }),
    "tool-output-available": () => {
      become(known, { state: "output-available", output: chunk.output });
      if (chunk.preliminary) known.preliminary = true;
      else delete known.preliminary;
    },
    "tool-output-error": () => become(known, { state: "output-error", input: known.input ?? null, errorText }),
    "tool-output-denied": () => become(known, { state: "output-denied" }),
  };
  folds[chunk.type]?.();
}

/**
 * Arguments that cannot be used: the part of a dynamic tool keeps them as its input, that of another beside it.
 * @param {any} part
 * @param {any} input
 * @param {string} errorText
 */
function invalid(part, input, errorText) {
  const kept = part.type === "dynamic-tool" ? { input: input ?? null } : { input: null, rawInput: input };
  Object.assign(part, { state: "output-error", errorText, ...kept });
  if (part.type === "dynamic-tool") delete part.rawInput;
}

/**
 * @param {any} part
 * @param {string} key
 */
function forget(part, key) {
  delete part[key];
}

/**
 * @param {Arriving} message
 * @param {any} chunk
 */
function foldData(message, { type, id, data }) {
  const known = id && message.parts.find((part) => part.type === type && part.id === id);
  if (known) known.data = data;
  else message.parts.push({ type, ...(id && { id }), data });
}

const NOT_KEYS = ["__proto__", "constructor", "prototype"];

/**
 * @param {any} old
 * @param {any} added
 * @returns {any}
 */
function merged(old, added) {
  /** @param {any} value */
  const isObject = (value) => value?.constructor === Object;
  if (!isObject(old) || !isObject(added)) return added;
  const result = { ...old };
  for (const key of Object.keys(added).filter((key) => !NOT_KEYS.includes(key)))
    result[key] = merged(old[key], added[key]);
  return result;
}
