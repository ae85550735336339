// @ts-check

// Tools: what agents may do besides talk. MCP servers, HTTP tools, and what is built in.

import { call, caller, pages } from "../../lib/api.js";
import { copyButton, el, fill, h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { loading, nothing } from "../../lib/states.js";
import { httpCard } from "./http-card.js";
import { editHttpTool } from "./http-form.js";
import { serverCard } from "./server-card.js";
import { serverTest } from "./server-test.js";
import { addServer } from "./server-form.js";
import { toolTable } from "./tool-table.js";

/**
 * What survives a look at the servers: which one to test at once, the results of tests, and what is folded out.
 * @typedef {ToolContext & { tested?: string, tests: Map<string, ReturnType<typeof serverTest>>, opened: Set<string> }} ServerContext
 */

/**
 * Shows the section.
 * @param {Page} page
 */
export async function tools(page) {
  const servers = h("div", loading(2));
  const http = h("div", loading(2));
  const others = h("div");
  /** @type {Map<string, ReturnType<typeof serverTest>>} */
  const tests = new Map();
  /** @param {string} [tested] the slug of a server to test at once */
  const reload = async (tested) => {
    const [list, all] = await Promise.all([call("GET", "/mcp/servers", undefined, page), every(page)]);
    /** @param {string} origin */
    const of = (origin) => all.filter((tool) => tool.origin === origin);
    const open = [...servers.querySelectorAll("details[open]")];
    const opened = new Set(open.map((details) => details.getAttribute("data-key") ?? ""));
    const context = { page, reload };
    showServers(servers, list.items, of("mcp"), { ...context, tested, tests, opened });
    showHttp(http, of("http"), context);
    showOthers(
      others,
      all.filter(({ origin }) => origin !== "mcp" && origin !== "http"),
      context,
    );
  };
  const add = () => addServer().then((made) => made && reload(made.slug));
  const declare = () => editHttpTool().then((done) => done && reload());
  fill(
    page.main,
    h("h1", "Tools"),
    h(
      "p.lead",
      "What agents may do besides talk. A tool runs at once, asks a person before each call, asks an owner, or is off; an agent may be stricter.",
    ),
    h(
      "div.head",
      h("h2", "MCP servers"),
      page.isOwner && el("button.primary", { type: "button", onclick: add }, "Add a server"),
    ),
    servers,
    page.isOwner && commandLine(),
    h(
      "div.head",
      h("h2", "HTTP tools"),
      page.isOwner && el("button.primary", { type: "button", onclick: declare }, "Add a tool"),
    ),
    http,
    others,
  );
  await reload();
}

/** @param {Page} page */
async function every(page) {
  /** @type {Api.Tool[]} */
  const all = [];
  for await (const items of pages("/tools")) {
    page.signal.throwIfAborted();
    all.push(...items);
  }
  return all;
}

/**
 * @param {HTMLElement} element
 * @param {Api.McpServer[]} servers
 * @param {Api.Tool[]} tools
 * @param {ServerContext} context
 */
function showServers(element, servers, tools, context) {
  if (servers.length === 0)
    return fill(
      element,
      nothing(
        "No MCP server yet",
        "Add one by its address, or on the machine by its command. Its tools ask before each call until you say otherwise.",
      ),
    );
  /** @param {Api.McpServer} server */
  const card = (server) =>
    h(
      "li.card",
      serverCard(
        server,
        tools.filter((tool) => tool.server === server.slug),
        context,
      ),
    );
  return fill(element, h("ul.cards", servers.map(card)));
}

/** A command runs as the server's user, so it is added where that user is. */
function commandLine() {
  const line = `alm mcp add NAME --org ${caller.org} -- COMMAND ARGUMENTS…`;
  return h(
    "details.aside",
    h("summary", "A server that is a command"),
    h(
      "div",
      h(
        "p",
        "Such a server is a program on the machine of alm, and only the command line adds or changes one. Run there:",
      ),
      h(
        "div.copyable",
        el("pre", { tabindex: "0", role: "region", "aria-label": "Command" }, line),
        copyButton(() => line, "Copy command"),
      ),
      h("p", "To take over the servers of another program: ", h("code", `alm mcp import mcp.json --org ${caller.org}`)),
    ),
  );
}

/**
 * @param {HTMLElement} element
 * @param {Api.Tool[]} tools
 * @param {ToolContext} context
 */
function showHttp(element, tools, context) {
  if (tools.length === 0)
    return fill(
      element,
      nothing(
        "No HTTP tool yet",
        "An HTTP tool is one request of an API: a name, what it is for, its input, an address.",
      ),
    );
  return fill(
    element,
    h(
      "ul.cards",
      tools.map((tool) => h("li.card", httpCard(tool, context))),
    ),
  );
}

/**
 * @param {HTMLElement} element
 * @param {Api.Tool[]} tools
 * @param {ToolContext} context
 */
function showOthers(element, tools, context) {
  if (tools.length === 0) return fill(element);
  return fill(
    element,
    h("h2.after", "Built in"),
    h("p.quiet", `${count(tools.length, "tool")} of alm itself and of the program it is part of.`),
    toolTable("Built-in tools", tools, context),
  );
}
