// The way to the API: JSON in and out of the envelope, and a password asked for where the server wants one.
//
// Rule: who is signed in is known by the cookie, which no script can read. Nothing is kept in any storage of the browser.

import { dialog } from "./dialog.js";
import { h } from "./dom.js";
import { field, form, input } from "./form.js";

const PREFIX = "/api/v1";

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, { code = "UNKNOWN", message, requestId, details = {} }) {
    super(message);
    Object.assign(this, { status, code, requestId, details });
  }
}

/** Who calls; set once the page knows. */
export const caller = { org: null, email: "" };

/** A call that answers JSON: `data` of the envelope. */
export async function call(method, path, body, options) {
  const response = await request(method, path, body, options);
  return response.status === 204 ? undefined : (await response.json()).data;
}

/** All items of a list, page by page. */
export async function* pages(path, limit = 100) {
  let cursor = "";
  do {
    const page = await call("GET", `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor}`);
    yield page.items;
    cursor = page.hasMore ? `&cursor=${encodeURIComponent(page.nextCursor)}` : "";
  } while (cursor);
}

/**
 * A call that answers the response, of which only good ones come back. Where the server wants a password first, the person
 * is asked for it and the call made again; `asks: false` leaves that out.
 */
export async function request(method, path, body, { signal, headers, asks = true } = {}) {
  for (;;) {
    const response = await reach(method, path, body, { signal, headers });
    if (response.ok) return response;
    const refused = await refusalOf(response);
    const password = asks && passwordWanted(refused);
    if (!password || !(await once(password))) throw refused;
  }
}

async function reach(method, path, body, { signal, headers }) {
  const init = { method, signal, headers: { ...headers } };
  if (caller.org) init.headers["X-Alumia-Org"] = caller.org;
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  try {
    return await fetch(PREFIX + path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { code: "UNREACHABLE", message: "The server does not answer. Nothing is lost: try again." });
  }
}

async function refusalOf(response) {
  try {
    return new Refused(response.status, (await response.json()).error);
  } catch {
    return new Refused(response.status, { message: `The server answered ${response.status} and no reason.` });
  }
}

function passwordWanted(refused) {
  if (refused.details?.stepUp) return stepUp;
  if (refused.status === 401 && caller.email) return signInAgain;
  return undefined;
}

let asking = null;

/** Several calls may be refused at once; the person is asked once. */
function once(wanted) {
  asking ??= wanted().finally(() => (asking = null));
  return asking;
}

const stepUp = () =>
  askPassword(
    "Your password, please",
    "This changes who may do what, or money. Say once more that it is you.",
    (password) => call("POST", "/auth/step-up", { password }, { asks: false }),
  );

const signInAgain = () =>
  askPassword("Sign in again", "Your sign-in has ended. What you typed is still here.", (password) =>
    call("POST", "/auth/login", { email: caller.email, password }, { asks: false }),
  );

async function askPassword(title, text, send) {
  const answer = await dialog(title, (close) => [
    h("p", text),
    form({
      content: [
        h("input", { type: "hidden", autocomplete: "username", value: caller.email }),
        field("Password", input("password", { type: "password", autocomplete: "current-password", autofocus: true })),
      ],
      submit: "Go on",
      working: "Checking…",
      cancel: () => close(false),
      send: async ({ password }) => {
        await send(password);
        close(true);
      },
    }),
  ]);
  return answer === true;
}
