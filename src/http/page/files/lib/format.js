// @ts-check

// Moments, money and numbers, as people read them.

import { el } from "./dom.js";

/** Microcents in a US dollar. */
export const USD = 1_000_000;

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

const whole = new Intl.NumberFormat("en");
const dollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
const cents = new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumFractionDigits: 6 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const date = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });

/** @param {number} value */
export const number = (value) => whole.format(value);
/**
 * `3 models`, `1 model`.
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;
/** @param {number} value */
export const short = (value) => compact.format(value);

/**
 * Bytes as people say them.
 * @param {number} bytes
 */
export const size = (bytes) =>
  bytes < 1e9 ? `${number(Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

/**
 * Microcents as dollars: whole cents, unless it is less than a dollar and has smaller pieces.
 * @param {number} microcents
 */
export const money = (microcents) =>
  Math.abs(microcents) < USD && microcents % 10_000 !== 0
    ? cents.format(microcents / USD)
    : dollars.format(microcents / USD);

/**
 * Dollars as someone types them, such as `10` or `0.25`, in microcents; undefined when it is no such thing.
 * @param {string} text
 */
export function microcents(text) {
  const match = /^\$?\s*(\d{1,9})(?:[.,](\d{1,6}))?$/.exec(text.trim());
  return match ? Number(match[1]) * USD + Number((match[2] ?? "").padEnd(6, "0")) : undefined;
}

/**
 * Milliseconds as people say them.
 * @param {number} ms
 */
export const duration = (ms) => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);

/**
 * What a model costs, per million tokens. Only an owner can say that a remote one is free.
 * @param {Priced} model
 */
export function price({ pricing, local, paidElsewhere }) {
  if (!pricing) return local ? "local" : paidElsewhere ? "paid elsewhere" : "no price set";
  const [into, out] = [pricing.inputPerMillion, pricing.outputPerMillion].map(Number);
  return into || out ? `${cents.format(into)} in, ${cents.format(out)} out` : "free";
}

/**
 * The same, in amber where nobody has said what it costs.
 * @param {Priced} model
 */
export const priceOf = (model) =>
  el(model.pricing || model.local || model.paidElsewhere ? "span" : "span.warn", {}, price(model));

/**
 * The day of a moment.
 * @param {string} text
 */
export const day = (text) => date.format(new Date(text));

/**
 * A moment: how long ago, and exactly when shown on hover.
 * @param {string | null | undefined} text
 * @param {string} [nothing]
 */
export function moment(text, nothing = "never") {
  if (!text) return nothing;
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return String(text);
  return el("time", { datetime: text, title: exact.format(at) }, ago(at));
}

/** @param {Date} at */
function ago(at) {
  const seconds = (at.getTime() - Date.now()) / 1_000;
  const size = Math.abs(seconds);
  if (size < MINUTE_S) return seconds > 0 ? "in a moment" : "just now";
  if (size < HOUR_S) return relative.format(Math.trunc(seconds / MINUTE_S), "minute");
  if (size < DAY_S) return relative.format(Math.trunc(seconds / HOUR_S), "hour");
  if (size < 7 * DAY_S) return relative.format(Math.trunc(seconds / DAY_S), "day");
  return date.format(at);
}
