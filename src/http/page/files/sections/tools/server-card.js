// @ts-check

// One MCP server: how it is, what it offers, and what can be done with it.

import { call } from "../../lib/api.js";
import { ask } from "../../lib/dialog.js";
import { busy, el, fill, h, notify } from "../../lib/dom.js";
import { count, moment, number } from "../../lib/format.js";
import { editServer } from "./server-form.js";
import { serverTest } from "./server-test.js";
import { policyText, toolTable } from "./tool-table.js";

/** @type {Record<string, [string, string]>} each state with the badge's look and its word */
const STATES = {
  idle: ["off", "idle"],
  connecting: ["off", "connecting…"],
  ready: ["live", "ready"],
  down: ["down", "down"],
  failed: ["down", "failed"],
  auth_failed: ["down", "refused its credentials"],
  off: ["off", "off"],
};

/**
 * @param {Api.McpServer} server
 * @param {Api.Tool[]} tools
 * @param {import("./tools.js").ServerContext} context
 */
export function serverCard(server, tools, context) {
  const { slug, name, state, lastError } = server;
  const { reload, tests, opened } = context;
  const test = tests.get(slug) ?? serverTest(slug, () => reload());
  tests.set(slug, test);
  const [look, word] = STATES[state] ?? ["off", state];
  return [
    h(
      "div.card-head",
      h("h3", name),
      h(`span.badge.${look}`, word),
      context.page.isOwner && actions(server, test, context),
    ),
    facts(server, tools),
    lastError && h("p.bad", lastError),
    server.transport === "stdio" && h("p.quiet", "One process of it serves everybody in this organization."),
    test.element,
    tools.length > 0
      ? foldable(`tools ${slug}`, opened, h("summary", summary(tools)), toolTable(`Tools of ${name}`, tools, context))
      : h("p.quiet", state === "ready" ? "It lists no tools." : "No tools are known of it."),
    log(slug, opened),
  ];
}

/** @param {Api.Tool[]} tools */
function summary(tools) {
  const on = tools.filter(({ isOn, state }) => isOn && state !== "faulty");
  const changed = tools.filter((tool) => tool.changed).length;
  const aside = tools.filter(({ state }) => state === "faulty").length;
  const tokens = on.reduce((sum, { estimatedTokens }) => sum + estimatedTokens, 0);
  return [
    `${count(on.length, "tool")} of ${number(tools.length)} on, about ${count(tokens, "token")} in each request`,
    changed > 0 && `${number(changed)} changed`,
    aside > 0 && `${number(aside)} set aside`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/**
 * @param {Api.McpServer} server
 * @param {Api.Tool[]} tools
 */
function facts(
  { slug, transport, url, command, args, era, serverInfo, approval, listedAt, pid, secretHeaders },
  tools,
) {
  const at = transport === "stdio" ? [command, ...(args ?? [])].join(" ") : url;
  const said = [serverInfo?.name, serverInfo?.version].filter(Boolean).join(" ");
  return h(
    "dl.facts",
    fact(transport === "stdio" ? "Command" : "Address", h("code", at ?? "")),
    fact("Slug", h("code", slug)),
    fact("Protocol", era ?? "not known yet"),
    said && fact("Calls itself", said),
    fact("Tools", number(tools.length)),
    fact("Approval", approval === "hints" ? "By its hints" : policyText(approval)),
    secretHeaders?.length > 0 && fact("Secrets", secretHeaders.join(", ")),
    fact("Listed", moment(listedAt)),
    pid && fact("Process", String(pid)),
  );
}

/**
 * @param {string} term
 * @param {Child} value
 */
const fact = (term, value) => h("div", h("dt", term), h("dd", value));

/**
 * @param {Api.McpServer} server
 * @param {ReturnType<typeof serverTest>} test
 * @param {import("./tools.js").ServerContext} context
 */
function actions(server, test, { reload, tested }) {
  const { slug, name, transport, isActive } = server;
  const path = `/mcp/servers/${encodeURIComponent(slug)}`;
  /**
   * @param {string} text
   * @param {(event: any) => unknown} onclick
   * @param {boolean} [danger]
   */
  const button = (text, onclick, danger) =>
    el(
      danger ? "button.small.danger" : "button.small",
      { type: "button", onclick, "aria-label": `${text} ${name}` },
      text,
    );
  /**
   * @param {string} working
   * @param {string} done
   * @param {() => Promise<unknown>} work
   */
  const doing =
    (working, done, work) =>
    (/** @type {any} */ { target }) =>
      busy(target, working, async () => {
        await work();
        notify(`${done} ${name}.`);
        await reload();
      });
  const remove = async () => {
    if (!(await ask(`Remove ${name}?`, "Agents lose its tools. Calls that wait for an answer will not run.", "Remove")))
      return;
    await call("DELETE", path);
    notify(`Removed ${name}.`);
    await reload();
  };
  const testButton = button("Test", () => test.run(testButton));
  // One that was just added is tested at once.
  if (tested === slug) queueMicrotask(() => test.run(testButton));
  return h(
    "div.card-actions",
    testButton,
    button(
      "Refresh",
      doing("Refreshing…", "Refreshed", () => call("POST", `${path}/refresh`)),
    ),
    transport === "stdio" &&
      button(
        "Restart",
        doing("Restarting…", "Restarted", () => call("POST", `${path}/restart`)),
      ),
    button(
      isActive ? "Switch off" : "Switch on",
      doing("Saving…", isActive ? "Switched off" : "Switched on", () => call("PATCH", path, { isActive: !isActive })),
    ),
    button("Edit", () => editServer(server).then((done) => done && reload())),
    button("Remove", remove, true),
  );
}

/**
 * What it has written, asked for when it is opened.
 * @param {string} slug
 * @param {Set<string>} opened
 */
function log(slug, opened) {
  const text = el("pre.input", { tabindex: "0", role: "region", "aria-label": `Log of ${slug}` }, "Loading…");
  const details = foldable(`log ${slug}`, opened, h("summary", "Log"), text);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const { log } = await call("GET", `/mcp/servers/${encodeURIComponent(slug)}`);
      fill(text, log || "It has written nothing.");
    } catch (error) {
      fill(text, error.message);
    }
  });
  return details;
}

/**
 * Details that stay open over a look at the servers.
 * @param {string} key
 * @param {Set<string>} opened
 * @param {...Child} content
 */
const foldable = (key, opened, ...content) => el("details", { "data-key": key, open: opened.has(key) }, content);
