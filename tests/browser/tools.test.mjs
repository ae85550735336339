// The section of tools: MCP servers and HTTP tools, as their owner adds, tests, tries, switches and accepts them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startCounting } from "../clients/counting.mjs";
import { startFakeMcp } from "../clients/fake-mcp.mjs";
import { HOSTILE, assertHarmless, asPerson, open, startOwned } from "./person.mjs";

const SCHEMA = { type: "object", properties: { path: { type: "string" } }, required: ["path"] };

let alm;
let service;
let mcp;

before(async () => {
  service = await startCounting();
  mcp = await startFakeMcp([
    { name: "read", description: "Reads a file.", inputSchema: SCHEMA },
    { name: "remove", description: `Removes a file. ${HOSTILE}`, inputSchema: SCHEMA },
    { name: "broken", description: "No schema.", inputSchema: { type: "string" } },
  ]);
  alm = await startOwned({ flags: ["--tool-allow", "127.0.0.1"] });
});
after(async () => {
  await alm?.stop();
  await service?.stop();
  await mcp?.stop();
});

const card = (page, name) =>
  page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });
const saved = (page, name) => page.getByText(`Saved ${name}.`).first().waitFor();

test("an MCP server is added by its address, tested stage by stage, and its tools are switched", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "tools");
    await page.getByText("No MCP server yet").waitFor();
    await page.getByRole("button", { name: "Add a server" }).click();
    await page.getByLabel("Name").fill("My files");
    assert.equal(await page.getByLabel("Slug").inputValue(), "my-files");
    await page.getByLabel("Slug").fill("files");
    await page.getByLabel("Address").fill(mcp.url);
    await page.getByLabel("Bearer token").fill("not-to-be-shown-0123");
    await page.getByLabel("Other secret headers").fill("no header");
    await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("Write each header as Name: value, one a line.").waitFor();
    await page.getByLabel("Other secret headers").fill("X-Team: not-to-be-shown-4567");
    await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();

    const files = card(page, "My files");
    for (const stage of ["Server reached", "Protocol agreed", "Tools listed"]) await files.getByText(stage).waitFor();
    await files.getByText("set aside").first().waitFor();
    await files.getByText("ready").waitFor();
    await files.getByText("2026-07-28").waitFor();
    await files.getByText("x-team, authorization").waitFor();
    await files.getByText(/2 tools of 3 on, about \d+ tokens in each request · 1 set aside/).click();
    await files.getByText(/^Set aside:/).waitFor();
    await assertHarmless(page);
    assert.ok(!(await page.locator("body").innerText()).includes("not-to-be-shown"));

    await page.getByLabel("Approval of files__read").selectOption("never");
    await saved(page, "files__read");
    await page.getByLabel("files__remove is on").uncheck();
    await saved(page, "files__remove");
    await files.getByText(/1 tool of 3 on/).waitFor();
    const tool = (name) => asPerson(page, "GET", `/tools/${name}`);
    assert.equal((await tool("files__read")).approval, "never");
    assert.equal((await tool("files__remove")).isOn, false);
  });
});

test("a tool that its server changed is shown with both texts until it is accepted", async () => {
  await alm.signedIn(async (page) => {
    mcp.tools = mcp.tools.map((tool) =>
      tool.name === "read" ? { ...tool, description: `Reads any file. ${HOSTILE}` } : tool,
    );
    await open(page, "tools");
    await page.getByRole("button", { name: "Refresh My files" }).click();
    await page.getByText("Refreshed My files.").waitFor();
    await card(page, "My files")
      .getByText(/1 changed/)
      .click();
    await page.getByRole("button", { name: "See what changed in files__read" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Reads a file.", { exact: true }).waitFor();
    await dialog.getByText(/^Reads any file\. <img/).waitFor();
    await assertHarmless(page);
    await dialog.getByRole("button", { name: "Accept" }).click();
    await page.getByText("Accepted files__read.").waitFor();
    assert.equal((await asPerson(page, "GET", "/tools/files__read")).changed, false);
  });
});

test("a change that comes while both texts are read is not accepted with them", async () => {
  await alm.signedIn(async (page) => {
    const become = (description) => {
      mcp.tools = mcp.tools.map((tool) => (tool.name === "read" ? { ...tool, description } : tool));
    };
    become("Reads it, and more.");
    await open(page, "tools");
    await asPerson(page, "POST", "/mcp/servers/files/refresh");
    await open(page, "tools");
    await card(page, "My files")
      .getByText(/1 changed/)
      .click();
    await page.getByRole("button", { name: "See what changed in files__read" }).click();
    await page.getByRole("dialog").getByText("Reads it, and more.").waitFor();
    become("Reads it, and sends it away.");
    await asPerson(page, "POST", "/mcp/servers/files/refresh");
    await page.getByRole("dialog").getByRole("button", { name: "Accept" }).click();
    await page
      .getByRole("dialog")
      .getByRole("alert")
      .getByText(/changed/)
      .waitFor();
    assert.equal((await asPerson(page, "GET", "/tools/files__read")).changed, true);
  });
});

test("a server that is not there says what is wrong; one is switched off, changed and removed", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "tools");
    await page.getByRole("button", { name: "Add a server" }).click();
    await page.getByLabel("Name").fill("Nowhere");
    await page.getByLabel("Address").fill("http://127.0.0.1:1/mcp");
    await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
    const nowhere = card(page, "Nowhere");
    await nowhere.locator(".fails").first().waitFor();

    await page.getByRole("button", { name: "Switch off Nowhere" }).click();
    await page.getByRole("button", { name: "Switch on Nowhere" }).waitFor();
    await page.getByRole("button", { name: "Edit Nowhere" }).click();
    await page.getByLabel("Name").fill("Somewhere");
    await page.getByLabel("Time-out").fill("2.5");
    await page.getByRole("button", { name: "Save" }).click();
    await card(page, "Somewhere").waitFor();
    assert.equal((await asPerson(page, "GET", "/mcp/servers/nowhere")).timeoutMs, 2_500);
    await page.getByRole("button", { name: "Remove Somewhere" }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await card(page, "Somewhere").waitFor({ state: "detached" });
  });
});

test("of a server that is a command the page has the line to run", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "tools");
    await page.getByText("A server that is a command").click();
    await page.getByText("alm mcp add NAME --org acme -- COMMAND ARGUMENTS…").waitFor();
  });
});

test("an HTTP tool is declared, tried with an input, changed and removed", async () => {
  await alm.signedIn(async (page) => {
    const tickets = service.endpoint(() => ({ id: 7, said: HOSTILE }));
    await open(page, "tools");
    await page.getByRole("button", { name: "Add a tool" }).click();
    await page.getByLabel("Name").fill("create_ticket");
    await page.getByLabel("Description").fill(`Opens a ticket. ${HOSTILE}`);
    await page.getByLabel("Method").selectOption("POST");
    await page.getByLabel("Address").fill(`${tickets.url}/{project}`);
    await page.getByLabel("Input", { exact: true }).fill("{");
    await page.getByLabel("Secret headers").fill("Authorization: Bearer not-to-be-shown-0123");
    await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText(/This is no JSON/).waitFor();
    const properties = { project: { type: "string" }, title: { type: "string" } };
    const schema = { type: "object", properties, required: ["project", "title"] };
    await page.getByLabel("Input", { exact: true }).fill(JSON.stringify(schema));
    await page.getByText("More", { exact: true }).click();
    await page.getByLabel("Price of a call").fill("0.01");
    await page.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
    await saved(page, "create_ticket");
    const ticket = card(page, "create_ticket");
    await ticket.waitFor();
    assert.equal(await page.getByLabel("Approval of create_ticket").inputValue(), "ask");
    await assertHarmless(page);

    await page.getByRole("button", { name: "Try create_ticket" }).click();
    const dialog = page.getByRole("dialog");
    assert.deepEqual(JSON.parse(await dialog.getByLabel("Input").inputValue()), { project: "", title: "" });
    await dialog.getByLabel("Input").fill(JSON.stringify({ project: "it", title: HOSTILE }));
    await dialog.getByRole("button", { name: "Call it" }).click();
    await dialog.getByText(/^Done · HTTP 200 · /).waitFor();
    await dialog.getByText(/^POST http:.*\/tickets\/it$/).waitFor();
    await dialog.getByText(/Headers: .*authorization/).waitFor();
    await assertHarmless(page);
    assert.deepEqual(
      tickets.calls.map(({ body }) => body),
      [{ title: HOSTILE }],
    );
    await page.keyboard.press("Escape");

    await page.getByRole("button", { name: "Edit create_ticket" }).click();
    await dialog.getByText("Stored: authorization.").waitFor();
    await dialog.getByLabel("Description").fill("Opens one.");
    await dialog.getByRole("button", { name: "Save" }).click();
    await ticket.getByText("Opens one.").waitFor();
    const kept = await asPerson(page, "GET", "/tools/create_ticket");
    assert.deepEqual([kept.secretHeaders, kept.pricePerCall], [["authorization"], "0.01"]);
    assert.ok(!(await page.locator("body").innerText()).includes("not-to-be-shown"));

    await page.getByLabel("create_ticket is on").uncheck();
    await ticket.getByText("off", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Remove create_ticket" }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await ticket.waitFor({ state: "detached" });
  });
});

test("an agent has every tool, single ones or a whole server, and may be stricter", async () => {
  await alm.signedIn(async (page) => {
    await open(page, "agents");
    await page.getByRole("link", { name: "Create agent" }).click();
    await page.getByLabel("Name", { exact: true }).fill("Archivist");
    await page.locator("summary", { hasText: "Tools" }).first().click();
    await page.getByLabel("Tell the time").uncheck();
    assert.equal(await page.getByLabel("Every tool that is on").isChecked(), false);
    await page.getByLabel("Approval").selectOption("owner");
    await page.getByRole("button", { name: "Create agent" }).click();
    await page.getByRole("heading", { name: "Archivist", level: 1 }).waitFor();
    const made = await asPerson(page, "GET", "/agents/archivist");
    assert.ok(made.allowedTools.includes("files__*") && !made.allowedTools.includes("current_time"));
    assert.equal(made.settings.toolApproval, "owner");

    await page.getByRole("button", { name: "Save" }).waitFor();
    await page.locator("summary", { hasText: "Tools" }).first().click();
    await page.getByLabel("Every tool that is on").check();
    assert.equal(await page.getByLabel("Tell the time").isChecked(), true);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved Archivist.").waitFor();
    assert.equal((await asPerson(page, "GET", "/agents/archivist")).allowedTools, null);
    await page.getByRole("link", { name: "All agents" }).click();
    await card(page, "Archivist").getByText("all", { exact: true }).waitFor();
  });
});
