// The section of tools: MCP servers and HTTP tools, as their owner adds, tests, tries, switches and accepts them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startCounting } from "../clients/counting.mjs";
import { HOSTILE, assertHarmless, asPerson, open, startOwned } from "./person.mjs";

let alm;
let service;

before(async () => {
  service = await startCounting();
  alm = await startOwned();
});
after(async () => {
  await alm?.stop();
  await service?.stop();
});

const card = (page, name) =>
  page.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });
const saved = (page, name) => page.getByText(`Saved ${name}.`).first().waitFor();

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

    const dialog = page.getByRole("dialog");
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
