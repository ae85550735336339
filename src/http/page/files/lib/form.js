// @ts-check

// Forms: each field with its label, hint and error; a submit that shows progress and loses nothing that was typed.

import { busy, el, h, newId } from "./dom.js";

/**
 * A control with its label, and below it a hint and room for what is wrong with it.
 * @param {string} label
 * @param {Control} control
 * @param {Child} [hint]
 */
export function field(label, control, hint) {
  control.id ||= newId();
  const error = el("p.wrong", { id: `${control.id}-wrong`, hidden: true });
  const described = [error.id];
  let below = null;
  if (hint) {
    below = el("p.hint", { id: `${control.id}-hint` }, hint);
    described.push(below.id);
  }
  control.setAttribute("aria-describedby", described.join(" "));
  return h("div.field", el("label", { for: control.id }, label), control, below, error);
}

/**
 * @param {string} name
 * @param {Attributes} [attributes]
 */
export const input = (name, attributes = {}) => el("input", { name, type: "text", autocomplete: "off", ...attributes });
/**
 * @param {string} name
 * @param {Attributes} [attributes]
 */
export const textarea = (name, attributes = {}) => el("textarea", { name, rows: 4, ...attributes });

/**
 * A choice; `options` are values with their texts.
 * @param {string} name
 * @param {string[][]} options
 * @param {string | null} [chosen]
 * @param {Attributes} [attributes]
 */
export function select(name, options, chosen, attributes = {}) {
  const control = el(
    "select",
    { name, ...attributes },
    options.map(([value, text]) => el("option", { value }, text)),
  );
  control.value = chosen ?? options[0]?.[0] ?? "";
  return control;
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} text
 * @param {boolean} checked
 */
export const checkbox = (name, value, text, checked) =>
  h("label.check", el("input", { type: "checkbox", name, value, checked }), h("span", text));

/**
 * A form. `send(values)` does the work, with what was typed by name; what it throws is shown: beside the fields that the
 * server named, else above the button.
 * @param {{ content: Child, submit: string, working?: string, send: (values: any) => Promise<unknown>, cancel?: () => void, danger?: boolean }} options
 */
export function form({ content, submit, working = "Saving…", send, cancel, danger = false }) {
  const alert = el("p.alert", { role: "alert", hidden: true });
  const button = el(danger ? "button.danger" : "button.primary", { type: "submit" }, submit);
  const back = cancel && el("button", { type: "button", onclick: () => cancel() }, "Cancel");
  const element = el("form", { novalidate: true }, content, alert, h("div.actions", back, button));
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    clear(element, alert);
    busy(button, working, async () => {
      try {
        await send(valuesOf(element));
      } catch (error) {
        show(element, alert, error);
      }
    });
  });
  return element;
}

/**
 * What was typed, by name; of checkboxes a list.
 * @param {HTMLFormElement} element
 */
export function valuesOf(element) {
  /** @type {Record<string, any>} */
  const values = {};
  for (const control of /** @type {Iterable<any>} */ (element.elements)) {
    if (!control.name) continue;
    if (control.type === "checkbox") {
      values[control.name] ??= [];
      if (control.checked) values[control.name].push(control.value);
    } else if (control.type !== "radio" || control.checked) {
      // The text of a picker is no value.
      values[control.name] = control.dataset.value ?? control.value;
    }
  }
  return values;
}

/**
 * @param {HTMLFormElement} element
 * @param {HTMLElement} alert
 */
function clear(element, alert) {
  alert.hidden = true;
  for (const wrong of /** @type {Iterable<any>} */ (element.querySelectorAll(".wrong"))) wrong.hidden = true;
  for (const control of element.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

/**
 * @param {HTMLFormElement} element
 * @param {HTMLElement} alert
 * @param {any} error
 */
function show(element, alert, error) {
  /** @type {{ field: string, message: string }[]} */
  const fields = error.details?.fields ?? [];
  const rest = fields.filter(({ field, message }) => !showBeside(element, field, message));
  const first = /** @type {HTMLElement | null} */ (element.querySelector("[aria-invalid]"));
  if (rest.length > 0 || !first) {
    alert.textContent =
      rest.length > 0 ? rest.map((f) => `${f.field}: ${f.message}`).join("; ") : sentence(error.message);
    alert.hidden = false;
  }
  first?.focus();
}

/**
 * @param {HTMLFormElement} element
 * @param {string} name
 * @param {string} message
 */
function showBeside(element, name, message) {
  const control = /** @type {Control | null} */ (
    element.elements.namedItem(name) ?? element.elements.namedItem(name.split(/[.[]/).at(-1) ?? "")
  );
  const wrong = control?.id && document.getElementById(`${control.id}-wrong`);
  if (!wrong) return false;
  wrong.textContent = sentence(message);
  wrong.hidden = false;
  control.closest("details")?.setAttribute("open", "");
  control.setAttribute("aria-invalid", "true");
  return true;
}

/** An error of one field, found by this page and not by the server. */
export class FieldError extends Error {
  /**
   * @param {string} field
   * @param {string} message
   */
  constructor(field, message) {
    super(message);
    this.details = { fields: [{ field, message }] };
  }
}

/**
 * With a capital and a full stop.
 * @param {string} text
 */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
