// @ts-check

// Files for a message: pasted, dropped or chosen. They travel in the message itself, as data URLs.
//
// Rule: what cannot be sent is said at once, before anything is read or sent.

import { el, h, svg } from "../lib/dom.js";

/** What a request may weigh, and what of it is left to everything but files. */
const BODY_BYTES_MAX = 20 * 1024 * 1024;
const BESIDE_BYTES = 256 * 1024;
/** Most files of a message. */
const FILES_MAX = 20;

const IMAGE = /^image\/(png|jpeg|gif|webp)$/;
/** A paper clip. */
const CLIP = "m21.4 11-9.2 9.2a6 6 0 0 1-8.5-8.5l8.6-8.6a4 4 0 0 1 5.7 5.7l-8.6 8.6a2 2 0 0 1-2.8-2.8l7.9-7.9";

/** @typedef {{ type: "file", mediaType: string, filename: string, url: string }} FilePart */

/** @param {{ mediaType: string }} file */
export const isImage = ({ mediaType }) => IMAGE.test(mediaType);

/**
 * The files of a box to ask from; `refuse(message)` says what could not be taken.
 * @param {{ refuse: (message: string) => void, signal: AbortSignal }} options
 */
export function attachments({ refuse, signal }) {
  /** @type {FilePart[]} */
  let files = [];
  /** The last files that are read. @type {Promise<unknown>} */
  let reading = Promise.resolve();
  const list = el("ul.attached", { "aria-label": "Attached files", "aria-live": "polite", hidden: true });
  const input = el("input", {
    type: "file",
    multiple: true,
    hidden: true,
    onchange: () => {
      take(input.files);
      input.value = "";
    },
  });
  const clip = svg(
    "svg",
    { viewBox: "0 0 24 24", width: "18", height: "18", "aria-hidden": "true" },
    svg("path", { d: CLIP }),
  );
  const button = el(
    "button.clip",
    {
      type: "button",
      onclick: () => input.click(),
      "aria-label": "Attach files",
      title: "Attach images or text files",
    },
    clip,
  );

  const show = () => {
    list.replaceChildren(...files.map((file) => thumbnail(file)));
    list.hidden = files.length === 0;
  };
  /** @param {FilePart} file */
  const thumbnail = (file) => {
    const remove = () => {
      files = files.filter((other) => other !== file);
      show();
      button.focus();
    };
    return h(
      "li",
      isImage(file) ? el("img", { src: file.url, alt: file.filename, title: file.filename }) : h("span", file.filename),
      el("button", { type: "button", onclick: remove, "aria-label": `Remove ${file.filename}` }, "×"),
    );
  };
  /** @param {FilePart[]} more */
  const add = (more) => {
    files = [...files, ...more];
    show();
  };
  /** @param {Iterable<File> | null} chosen */
  const take = (chosen) => {
    // A list of the browser's is emptied before they are read.
    const list = [...(chosen ?? [])];
    reading = reading.then(() => read(list));
  };
  /** @param {File[]} chosen */
  const read = async (chosen) => {
    for (const file of chosen) {
      const wrong = tooMuch(files, file);
      const part = wrong ? undefined : await partOf(file).catch(() => undefined);
      if (part) add([part]);
      else refuse(wrong ?? `${file.name} cannot be attached. Attach images (PNG, JPEG, GIF, WebP) or text files.`);
    }
  };

  /** @param {DragEvent} event */
  const carries = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  // Wherever a file is dropped: a browser would open it, and the page would be gone.
  addEventListener("dragover", (event) => carries(event) && event.preventDefault(), { signal });
  addEventListener(
    "drop",
    (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      take(event.dataTransfer?.files ?? null);
    },
    { signal },
  );
  return {
    list,
    controls: [input, button],
    /** @param {ClipboardEvent} event */
    paste(event) {
      const pasted = event.clipboardData?.files;
      if (!pasted?.length) return;
      event.preventDefault();
      take(pasted);
    },
    /** The files, once they are read. */
    all: () => reading.then(() => files),
    add,
    clear() {
      files = [];
      show();
    },
  };
}

/**
 * Why this one is too much, if it is.
 * @param {FilePart[]} files
 * @param {File} file
 */
function tooMuch(files, file) {
  if (files.length >= FILES_MAX) return `A message takes ${FILES_MAX} files.`;
  // Three bytes are four letters there.
  const bytes = files.reduce((sum, { url }) => sum + url.length, Math.ceil((file.size * 4) / 3));
  if (bytes <= BODY_BYTES_MAX - BESIDE_BYTES) return undefined;
  const what = files.length > 0 ? `With ${file.name} the message is` : `${file.name} is`;
  return `${what} too large: a message takes 20 MiB, and files grow by a third on the way.`;
}

/**
 * An image as it is, and what is text in UTF-8 as text; nothing else.
 * @param {File} file
 * @returns {Promise<FilePart | undefined>}
 */
async function partOf(file) {
  const filename = file.name || "file";
  if (IMAGE.test(file.type)) return { type: "file", mediaType: file.type, filename, url: await urlOf(file) };
  if (/^(image|audio|video)\//.test(file.type) && file.type !== "image/svg+xml") return undefined;
  const bytes = await file.arrayBuffer();
  if (new TextDecoder("utf-8", { fatal: true }).decode(bytes).includes("\0")) return undefined;
  const mediaType = "text/plain";
  return { type: "file", mediaType, filename, url: await urlOf(new Blob([bytes], { type: mediaType })) };
}

/**
 * @param {Blob} blob
 * @returns {Promise<string>}
 */
const urlOf = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
