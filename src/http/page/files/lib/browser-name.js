// @ts-check

// A browser as people call it. What it sends of itself names half of all others, so the first sign that is found counts.

import { el } from "./dom.js";

const PROGRAMS = { Firefox: "Firefox", "Edg/": "Edge", "OPR/": "Opera", Chrome: "Chrome", Safari: "Safari" };
const SYSTEMS = {
  iPhone: "iPhone",
  iPad: "iPad",
  Android: "Android",
  Windows: "Windows",
  "Mac OS X": "macOS",
  CrOS: "ChromeOS",
  Linux: "Linux",
};

/**
 * `Firefox on Linux`; what it sends is shown on hover, or where it is none of these.
 * @param {string} agent
 */
export function browserName(agent) {
  /** @param {Record<string, string>} known */
  const of = (known) => Object.entries(known).find(([sign]) => agent.includes(sign))?.[1];
  const [program, system] = [of(PROGRAMS), of(SYSTEMS)];
  return program && system ? el("span", { title: agent }, `${program} on ${system}`) : agent;
}
