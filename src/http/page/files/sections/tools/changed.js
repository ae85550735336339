// @ts-check

// A tool whose definition has changed since a person accepted it: both texts, and the answer to them.

import { call } from "../../lib/api.js";
import { inPlainSight } from "../../lib/approval-card.js";
import { dialog } from "../../lib/dialog.js";
import { busy, el, h, notify } from "../../lib/dom.js";

/**
 * Shows what was accepted and what it is now; whether it was accepted.
 * @param {Api.Tool} listed
 */
export async function reviewChange({ name }) {
  const path = `/tools/${encodeURIComponent(name)}`;
  /** @type {Api.Tool} */
  const tool = await call("GET", path);
  const alert = el("p.alert", { role: "alert", hidden: true });
  const answer = await dialog(
    `${name} has changed`,
    (close) => [
      h("p", "Until you accept it, it asks before each call, whatever its policy says."),
      h(
        "div.row",
        text("As it was accepted", tool.accepted ?? null),
        text("As it is now", { description: tool.description, inputSchema: tool.inputSchema }),
      ),
      alert,
      h(
        "div.actions",
        el("button", { type: "button", onclick: () => close(false) }, "Keep asking"),
        el(
          "button.primary",
          {
            type: "button",
            onclick: (/** @type {any} */ { target }) =>
              busy(target, "Accepting…", async () => {
                try {
                  await call("PATCH", path, { accept: tool.fingerprint });
                  close(true);
                } catch (error) {
                  alert.textContent = error.message;
                  alert.hidden = false;
                }
              }),
          },
          "Accept",
        ),
      ),
    ],
    { wide: true },
  );
  if (answer) notify(`Accepted ${name}.`);
  return answer === true;
}

/**
 * A definition as text, whatever it holds.
 * @param {string} title
 * @param {{ description?: string | null, inputSchema?: unknown } | null} definition
 */
const text = (title, definition) =>
  h(
    "div.definition",
    h("h3", title),
    definition === null
      ? h("p.quiet", "It was never accepted.")
      : [
          h("p", inPlainSight(definition.description ?? "").slice(1, -1)),
          el(
            "pre.input",
            { tabindex: "0", role: "region", "aria-label": `Input, ${title.toLowerCase()}` },
            inPlainSight(definition.inputSchema),
          ),
        ],
  );
