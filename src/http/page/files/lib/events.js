// @ts-check

// What happens in the organization, as it happens: sessions, requests, calls that wait.
//
// One tab reads `/events` for all of them: it holds a lock, and tells the others by a channel. Where a browser has no locks (plain HTTP
// on a network), each tab that can be seen looks every 5 seconds instead. Rule: `resync` means that anything may be otherwise.

import { numberedEvents } from "../chat/sse.js";
import { caller, request } from "./api.js";

const LOOK_MS = 5_000;
const PAUSE_FIRST_MS = 1_000;
const PAUSE_MAX_MS = 30_000;

/** @typedef {{ type: "session" | "request" | "approvals" | "resync" } & Record<string, any>} Happening */

/** @type {Set<(event: Happening) => unknown>} */
const listeners = new Set();
let begun = false;
/** The last event that any tab heard of. */
let last = "";

/**
 * Tells `listener` what happens, until `signal` ends it.
 * @param {(event: Happening) => unknown} listener
 * @param {AbortSignal} signal
 */
export function happenings(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (!begun) begin();
  begun = true;
}

function begin() {
  if (!navigator.locks) return look();
  const name = `alm events ${caller.org}`;
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => tell(data.event, data.id);
  const { locks } = navigator;
  const isFirst = locks.request(name, { ifAvailable: true }, (lock) => lock !== null && read(channel));
  const succeed = () => {
    // What happened since the tab before was closed is not known to one that has heard nothing from it.
    if (!last) tell({ type: "resync" }, "");
    return read(channel);
  };
  isFirst.then(() => locks.request(name, succeed)).catch(look);
}

/**
 * @param {Happening} event
 * @param {string} id
 */
function tell(event, id) {
  last = id || last;
  for (const listener of listeners) listener(event);
}

/** Looks again and again, as long as the page can be seen. */
function look() {
  const again = () => document.hidden || tell({ type: "resync" }, "");
  document.addEventListener("visibilitychange", again);
  setInterval(again, LOOK_MS);
}

/**
 * Reads for all tabs, for as long as this one is there; ends where there is nothing to read.
 * @param {BroadcastChannel} channel
 */
async function read(channel) {
  for (let pause = PAUSE_FIRST_MS; ; pause = Math.min(2 * pause, PAUSE_MAX_MS)) {
    try {
      /** @type {Record<string, string>} */
      const headers = last ? { "Last-Event-ID": last } : {};
      const response = await request("GET", "/events", undefined, { asks: false, headers });
      for await (const [data, id] of numberedEvents(response)) {
        pause = PAUSE_FIRST_MS;
        const event = JSON.parse(data);
        tell(event, id);
        channel.postMessage({ event, id });
      }
    } catch (error) {
      // Whoever may not read here is not let in by asking again.
      if (error.status === 403 || error.status === 404) throw error;
    }
    await rest(pause);
  }
}

/**
 * Waits that long, or until the network is back.
 * @param {number} ms
 */
const rest = (ms) =>
  new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve(undefined);
    }
  });
