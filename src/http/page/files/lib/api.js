// @ts-check

// The way to the API: JSON in and out of the envelope, and a password asked for where the server wants one (step-up).
//
// Rule: who is signed in is known by the cookie, which no script can read. Nothing is kept in any storage of the browser.

import { dialog } from "./dialog.js";
import { el, h } from "./dom.js";
import { field, form, input } from "./form.js";

const PREFIX = "/api/v1";

/** An error that the API returned, in its own words. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{ code?: string, message: string, requestId?: string, details?: any }} error
   */
  constructor(status, { code = "UNKNOWN", message, requestId, details = {} }) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.details = details;
  }
}

/** Who calls; set once the page knows. */
export const caller = { org: "", email: "" };

/**
 * A call that returns JSON: `data` of the envelope.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {CallOptions} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, body, options) {
  const response = await request(method, path, body, options);
  return response.status === 204 ? undefined : (await response.json()).data;
}

/**
 * All items of a list, page by page.
 * @param {string} path
 * @param {number} [limit]
 * @returns {AsyncGenerator<any[]>}
 */
export async function* pages(path, limit = 100) {
  let cursor = "";
  do {
    const page = await call("GET", `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor}`);
    yield page.items;
    cursor = page.hasMore ? `&cursor=${encodeURIComponent(page.nextCursor)}` : "";
  } while (cursor);
}

/**
 * A call that returns the response if it is a success, and throws otherwise. Where the server wants a password first, the person
 * is asked for it and the call made again; `asks: false` leaves that out.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {CallOptions} [options]
 */
export async function request(method, path, body, { signal, headers, asks = true } = {}) {
  for (;;) {
    const response = await reach(method, path, body, { signal, headers });
    if (response.ok) return response;
    const error = await errorOf(response);
    const password = asks && passwordWanted(error);
    if (!password || !(await once(password))) throw error;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} body
 * @param {CallOptions} options
 */
async function reach(method, path, body, { signal, headers }) {
  /** @type {RequestInit & { headers: Record<string, string> }} */
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
    throw new ApiError(0, {
      code: "UNREACHABLE",
      message: "Cannot reach the server. Nothing you typed is lost: try again.",
    });
  }
}

/** @param {Response} response */
async function errorOf(response) {
  try {
    return new ApiError(response.status, (await response.json()).error);
  } catch {
    return new ApiError(response.status, { message: `The server returned ${response.status} without an explanation.` });
  }
}

/** @param {ApiError} error */
function passwordWanted(error) {
  if (error.details?.stepUp) return stepUp;
  if (error.status === 401 && caller.email) return signInAgain;
  return undefined;
}

/** @type {Promise<boolean> | null} */
let asking = null;

/**
 * Several calls may fail at once; the person is asked once.
 * @param {() => Promise<boolean>} wanted
 */
function once(wanted) {
  asking ??= wanted().finally(() => (asking = null));
  return asking;
}

const stepUp = () =>
  askPassword("Confirm your password", "This changes access or money. Enter your password to confirm.", (password) =>
    call("POST", "/auth/step-up", { password }, { asks: false }),
  );

const signInAgain = () =>
  askPassword("Sign in again", "Your sign-in has expired. Nothing you typed is lost.", (password) =>
    call("POST", "/auth/login", { email: caller.email, password }, { asks: false }),
  );

/**
 * @param {string} title
 * @param {string} text
 * @param {(password: string) => Promise<unknown>} send
 */
async function askPassword(title, text, send) {
  const answer = await dialog(title, (close) => [
    h("p", text),
    form({
      content: [
        el("input", { type: "hidden", autocomplete: "username", value: caller.email }),
        field("Password", input("password", { type: "password", autocomplete: "current-password", autofocus: true })),
      ],
      submit: "Continue",
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
