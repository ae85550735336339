// The states of the pages, by name: each is reached as a person reaches it, on a server where something has happened.

import { errorObject, gated, reasoning, refusal, text, toolCalls } from "../clients/fake-upstream.mjs";
import { ask, chatWith, replies, written } from "./chats.mjs";
import { EMAIL, ORG, PASSWORD, asPerson, chosen, open } from "./person.mjs";

const RICH = `A reply with all that there is.

1. **Bold**, *italic*, \`code\`, and [a link](https://example.com).
2. A_word_that_is_very_long_and_has_no_place_at_all_where_a_browser_would_like_to_break_it_in_two.

> Somebody said this.

| Element | Symbol | Atomic weight | Found by |
| --- | :-: | --: | --- |
| Hydrogen | H | 1.008 | Henry Cavendish |
| Helium | He | 4.0026 | Pierre Janssen, Norman Lockyer |

\`\`\`rust
// Says "hi", in a line that is longer than any screen of a phone is wide.
fn main() { let answer = 0x2a; println!("{answer} is the answer to the question"); }
\`\`\`

The sum is $\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}$, and

$$\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}$$`;

const MODELS = [{ id: "llama3.2:3b", contextWindow: 131_072 }, { id: "qwen3:8b" }];
const PRICED = {
  id: "gpt-5-mini",
  pricing: { inputPerMillion: "0.25", outputPerMillion: "2" },
  contextWindow: 400_000,
};
const TOOL = {
  name: "create_ticket",
  description: "Opens a ticket. Use it when a person reports that something is broken.",
  inputSchema: { type: "object", properties: { title: { type: "string" } }, required: ["title"] },
  method: "POST",
  url: "https://api.example.com/v1/tickets",
};

/** Something in every section; answers the id of a session. */
export async function fillIn(page) {
  await open(page, "keys");
  const make = (path, body) => asPerson(page, "POST", path, body);
  await make("/api-keys", { name: "My back end" });
  await make("/api-keys", { name: "CI", env: "test", scopes: ["read"], expiresAt: "2030-01-01T00:00:00.000Z" });
  await make("/providers", { slug: "ollama", kind: "openai-compatible", models: MODELS });
  await make("/providers", { slug: "openai", kind: "openai-compatible", models: [PRICED] });
  await make("/billing/deposit", { amountMicrocents: 10_000_000, note: "November" });
  await make("/agents", {
    name: "Release notes",
    description: "Turns a list of changes into release notes.",
    avatar: "📝",
    model: "openai/gpt-5-mini",
  });
  await make("/tools", TOOL);
  await make("/mcp/servers", { slug: "files", name: "Files", url: "http://127.0.0.1:1/mcp" });
  const headers = { origin: new URL(page.url()).origin, "x-alumia-org": ORG };
  const messages = [{ role: "user", content: "How long is a day, on a day that is as long as this one?" }];
  const reply = await page.request.post("/api/v1/chat", { data: { messages }, headers });
  await make("/invitations", { email: "friend@example.com", role: "member" });
  return reply.headers()["x-alm-session-id"];
}

const click = (page, name) => page.getByRole("button", { name }).filter({ visible: true }).first().click();
const heading = (page, name) => page.getByRole("heading", { name }).first().waitFor();
const dialog = (page) => page.getByRole("dialog").waitFor();

const section = (name) => async (page) => {
  await open(page, name);
  await page.locator(".loading").first().waitFor({ state: "detached" });
};
const opened =
  (name, ...buttons) =>
  async (page) => {
    await section(name)(page);
    for (const button of buttons) await click(page, button);
    await dialog(page);
  };
const door = (path, title) => async (page) => {
  await page.goto(path);
  await heading(page, title);
};

/** A chat whose model says this, up to the end of its reply. */
const answered = (script, question, after) => async (page, world) => {
  await chatWith(world.alm, page, script);
  await ask(page, question);
  await replies(page).locator(".foot").first().waitFor();
  await written(page);
  await after?.(page, world);
};
/** A chat whose model has begun, and says no more until the browser is closed. */
const begun = (words) => async (page, world) => {
  const never = new Promise((resolve) => world.ends.push(resolve));
  await chatWith(world.alm, page, [gated([Promise.resolve(), words], [never, "."])]);
  await ask(page, "Count.");
  await replies(page).getByText(words).waitFor();
};
/** A session that there is. */
const inSession = (act) => async (page, world) => {
  await open(page, `sessions/${world.session}`);
  await replies(page).locator(".foot").first().waitFor();
  await act(page);
};
const attached = async (page) => {
  const dots = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  await page.locator("input[type=file]").setInputFiles([
    { name: "picture.png", mimeType: "image/png", buffer: Buffer.from(dots, "base64") },
    {
      name: "a-long-name-of-a-file-that-somebody-has-exported.csv",
      mimeType: "text/csv",
      buffer: Buffer.from("a,b\n"),
    },
  ]);
  await page.getByRole("button", { name: /^Remove a-long/ }).waitFor();
};

/** Of whoever is signed in to an organization where something has happened. */
export const STATES = {
  keys: section("keys"),
  "key-create": opened("keys", "Create key"),
  "key-refused": async (page) => {
    await opened("keys", "Create key")(page);
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    await page.getByText("Enter a name.").waitFor();
  },
  "key-created": async (page) => {
    await opened("keys", "Create key")(page);
    await page.getByLabel("Name").fill("Once");
    await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
    await page.getByRole("button", { name: "I have stored it" }).waitFor();
  },
  "key-edit": opened("keys", "Edit CI"),
  "key-rotate": opened("keys", "Rotate CI"),
  "key-revoke": opened("keys", "Revoke CI"),
  models: section("models"),
  "provider-connect": opened("models", "Connect a provider"),
  "provider-other": opened("models", "Connect a provider", "Other"),
  "provider-edit": opened("models", "Edit openai"),
  "provider-remove": opened("models", "Remove openai"),
  "model-picker": async (page) => {
    await section("models")(page);
    await page.getByRole("combobox", { name: "Used when" }).click();
    await page.getByRole("listbox").waitFor();
  },
  agents: section("agents"),
  "agent-connect": opened("agents", "Connect to Ala"),
  "agent-deactivate": opened("agents", "Deactivate Release notes"),
  "agent-new": section("agents/new"),
  "agent-edit": async (page) => {
    await section("agents/release-notes")(page);
    for (const summary of await page.locator(".editing summary").all()) await summary.click();
  },
  "agent-leave": async (page) => {
    await section("agents/release-notes")(page);
    await page.getByLabel("System prompt").fill("Changed.");
    await page.getByRole("link", { name: "All agents" }).click();
    await dialog(page);
  },
  tools: section("tools"),
  "server-add": opened("tools", "Add a server"),
  "server-edit": opened("tools", "Edit Files"),
  "tool-add": opened("tools", "Add a tool"),
  "tool-try": opened("tools", "Try create_ticket"),
  "tool-remove": opened("tools", "Remove create_ticket"),
  requests: section("requests"),
  "request-open": async (page) => {
    await section("requests")(page);
    await page.locator("tbody button").first().click();
    await dialog(page);
  },
  usage: section("usage"),
  "usage-by-model": async (page) => {
    await section("usage")(page);
    await page.getByRole("button", { name: "Model", exact: true }).click();
    await page.locator(".bars").waitFor();
  },
  deposit: opened("usage", "Add to balance"),
  people: section("people"),
  invite: opened("people", "Invite"),
  invited: async (page) => {
    await opened("people", "Invite")(page);
    await page.getByLabel("E-mail").fill("one@example.com");
    await page.getByRole("button", { name: "Create link" }).click();
    await page.getByRole("button", { name: "Copy link" }).waitFor();
  },
  audit: section("audit"),
  account: section("account"),
  palette: async (page) => {
    await section("keys")(page);
    await page.keyboard.press("Control+k");
    await dialog(page);
  },
  "keys-shown": async (page) => {
    await section("keys")(page);
    await page.keyboard.press("?");
    await dialog(page);
  },
  "section-away": async (page) => {
    await section("keys")(page);
    await page.context().setOffline(true);
    await page.getByRole("link", { name: "Usage" }).click();
    await page.getByRole("alert").waitFor();
    await page.context().setOffline(false);
  },
  "no-access": door("/somebody-else/settings", "No access to this organization"),
  "chat-new": section("sessions/new"),
  "chat-gone": async (page) => {
    await section("sessions/00000000-0000-7000-8000-000000000000")(page);
    await page.getByRole("link", { name: "All sessions" }).waitFor();
  },
  "chat-rich": answered([text(RICH)], "Show me all of it."),
  "chat-thinking": answered([reasoning("First this, then that.", "221 is 13 times 17.")], "Is 221 prime?", (page) =>
    page.getByText(/^Thought/).click(),
  ),
  "chat-running": begun("One, two, three"),
  "chat-refused": answered([refusal("I would rather not.")], "Do it."),
  "chat-failed": answered([errorObject("Half of a reply")], "Go on."),
  "chat-stopped": async (page, world) => {
    await begun("One, two, three")(page, world);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await written(page);
  },
  "chat-unstopped": async (page, world) => {
    await begun("One, two, three")(page, world);
    await page.context().setOffline(true);
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByText("The reply will be stopped as soon as", { exact: false }).waitFor();
    await page.context().setOffline(false);
  },
  "chat-waiting": async (page, world) => {
    await chatWith(world.alm, page, [toolCalls(["create_ticket", { title: "The printer is on fire" }])]);
    await ask(page, "Open a ticket.");
    await page.getByRole("button", { name: "Allow create_ticket" }).waitFor();
  },
  approvals: section("approvals"),
  "approval-deny": async (page) => {
    await section("approvals")(page);
    await click(page, "Deny… create_ticket");
    await page.getByLabel("Reason").waitFor();
  },
  "chat-edit": inSession(async (page) => {
    await page.locator(".mine").hover();
    await page.getByRole("button", { name: "Edit", exact: true }).click();
    await page.getByRole("textbox", { name: "Edit message" }).waitFor();
  }),
  "chat-versions": answered([text("One."), text("Two.")], "Say a number.", async (page) => {
    await replies(page).getByRole("button", { name: "Again", exact: true }).click();
    await page.getByText("2/2").waitFor();
    await written(page);
    await page.getByRole("button", { name: "Version before" }).click();
    await page.getByText("An earlier version.").filter({ visible: true }).waitFor();
  }),
  "chat-again": inSession(async (page) => {
    await page.getByRole("button", { name: "Again with another model" }).click();
    await dialog(page);
  }),
  "chat-files": async (page) => {
    await section("sessions/new")(page);
    await attached(page);
  },
  "chat-menu": inSession(async (page) => {
    await click(page, "Session actions");
    await page.getByRole("group", { name: "Session actions" }).waitFor();
  }),
  "chat-curl": inSession(async (page) => {
    await chosen(page, "Show as curl");
    await dialog(page);
  }),
  "chat-raw": inSession(async (page) => {
    await chosen(page, "Raw stream");
    await page.getByRole("region", { name: "Raw stream" }).waitFor();
  }),
  "chat-rename": inSession(async (page) => {
    await chosen(page, "Rename");
    await dialog(page);
  }),
  "chat-delete": inSession(async (page) => {
    await chosen(page, "Delete");
    await dialog(page);
  }),
  sessions: section("sessions"),
  "session-found": async (page) => {
    await section("sessions")(page);
    await page.getByRole("searchbox").fill("hydrogen");
    await page.locator(".snippet").first().click();
    await page.locator(".hits").waitFor();
  },
  "session-unfound": async (page) => {
    await section("sessions")(page);
    await page.getByRole("searchbox").fill("nobody wrote this");
    await page.getByText("No matches.").waitFor();
  },
  docs: async (page) => {
    await page.goto("/docs");
    await page.locator(".opblock").first().waitFor();
  },
  "docs-open": async (page) => {
    await page.goto("/docs");
    await page
      .locator(".opblock-post", { has: page.locator('[data-path="/api/v1/chat"]') })
      .locator("button")
      .first()
      .click();
    await page.getByRole("button", { name: "Try it out" }).waitFor();
  },
  "set-up-already": door("/setup", "This server is set up"),
  "nothing-here": door("/nothing/here", "There is nothing here"),
  "invitation-closed": door("/invite#0", "This invitation no longer works"),
};

/** Of an organization that was made a moment ago. */
export const FIRST = Object.fromEntries(
  ["keys", "models", "agents", "tools", "approvals", "requests", "usage", "people", "audit", "sessions"].map((name) => [
    `first-${name}`,
    section(name),
  ]),
);

/** Of whoever is not signed in: on a server that is set up, then on one that is not. */
export const DOORS = {
  login: door("/login", "Sign in"),
  "login-refused": async (page) => {
    await door("/login", "Sign in")(page);
    await page.getByLabel("E-mail").fill(EMAIL);
    await page.getByLabel("Password").fill(`not ${PASSWORD}`);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
  },
};
export const EMPTY = {
  setup: door("/setup", "Welcome"),
  "setup-weak": async (page) => {
    await door("/setup#code", "Welcome")(page);
    await page.getByLabel("Organization").fill("acme");
    await page.getByRole("textbox", { name: "Password" }).fill("password1");
    await page.getByText(/^Weak/).waitFor();
  },
};
