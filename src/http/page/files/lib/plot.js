// @ts-check

// Small plots of one series, as SVG; the same figures are there as a table for those who cannot see them.

import { el, h, svg } from "./dom.js";

const HEIGHT = 120;
const COLUMN = 20;
const GAP = 4;

/**
 * A column for each row, such as a day. A pointer, a finger or the arrow keys choose one, which is then read out.
 * @param {string} title
 * @param {PlotRow[]} rows
 * @param {(amount: number) => string} scale
 */
export function columns(title, rows, scale) {
  const most = Math.max(...rows.map((row) => row.value), 1);
  const width = rows.length * COLUMN;
  const tops = [1, 2 / 3, 1 / 3];
  const column = rows.map((row, at) => {
    const height = row.value === 0 ? 0 : Math.max((row.value / most) * HEIGHT, 2);
    const hit = svg("rect.hit", { x: at * COLUMN, y: 0, width: COLUMN, height: HEIGHT });
    const bar = svg("rect.bar", { x: at * COLUMN + GAP / 2, y: HEIGHT - height, width: COLUMN - GAP, height });
    return svg("g", {}, hit, bar);
  });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    tops.map((top) => svg("line.axis", { x1: 0, x2: width, y1: HEIGHT * (1 - top), y2: HEIGHT * (1 - top) })),
    column,
    svg("line.axis", { x1: 0, x2: width, y1: HEIGHT, y2: HEIGHT }),
  );
  const highest = Math.max(
    rows.findIndex((row) => row.value === most),
    0,
  );
  let at = highest;
  /** @param {number} to */
  const read = (to) => {
    column[at].removeAttribute("class");
    at = Math.min(Math.max(to, 0), rows.length - 1);
    column[at].setAttribute("class", "chosen");
    readout.textContent = `${rows[at].label}: ${rows[at].text}`;
    reader.setAttribute("aria-valuenow", String(at));
    reader.setAttribute("aria-valuetext", readout.textContent);
  };
  /** @param {PointerEvent} event */
  const point = (event) => {
    const box = picture.getBoundingClientRect();
    read(Math.floor(((event.clientX - box.left) / box.width) * rows.length));
  };
  /** @type {Record<string, () => number>} */
  const keys = { ArrowLeft: () => at - 1, ArrowRight: () => at + 1, Home: () => 0, End: () => rows.length - 1 };
  const readout = h("p.readout");
  const reader = el(
    "div.reader",
    {
      role: "slider",
      tabindex: "0",
      "aria-label": title,
      "aria-valuemin": "0",
      "aria-valuemax": String(rows.length - 1),
      onpointermove: point,
      onpointerdown: point,
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const to = keys[event.key];
        if (!to) return;
        event.preventDefault();
        read(to());
      },
    },
    picture,
    el(
      "div.scale",
      { "aria-hidden": "true" },
      tops.map((top) => h("span", scale(most * top))),
    ),
  );
  read(highest);
  return h(
    "figure.columns",
    h("figcaption", title),
    readout,
    reader,
    el("div.ends", { "aria-hidden": "true" }, h("span", rows[0].label), h("span", rows.at(-1)?.label)),
    h(
      "details",
      h("summary", "Show as a table"),
      table(
        title,
        rows.filter((row) => row.value > 0),
      ),
    ),
  );
}

/**
 * A bar for each row, longest first.
 * @param {string} title
 * @param {PlotRow[]} rows
 */
export function bars(title, rows) {
  const most = Math.max(...rows.map((row) => row.value), 1);
  const sorted = rows.toSorted((a, b) => b.value - a.value);
  /** @param {PlotRow} row */
  const bar = ({ value }) =>
    svg(
      "svg",
      { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect.hit", { width: 100, height: 8 }),
      svg("rect.bar", { width: (value / most) * 100, height: 8 }),
    );
  return h(
    "figure.bars",
    h("figcaption", title),
    h(
      "ul",
      sorted.map((row) => h("li", h("span.name", row.label), h("span.quiet", row.text), bar(row))),
    ),
  );
}

/**
 * @param {string} title
 * @param {PlotRow[]} rows
 */
const table = (title, rows) =>
  h(
    "table",
    h("caption.away", title),
    h(
      "tbody",
      rows.map((row) => h("tr", el("th", { scope: "row" }, row.label), h("td", row.text))),
    ),
  );
