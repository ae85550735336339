// @ts-check

// Small plots, as SVG; the same figures are there as a table for those who cannot see them.

import { el, h, svg } from "./dom.js";

const HEIGHT = 120;
const COLUMN = 20;
const GAP = 4;

/**
 * A column for each row, such as a day, in pieces where rows have parts. A pointer, a finger or the arrow keys choose one, which is then read out.
 * @param {string} title
 * @param {PlotRow[]} rows
 * @param {(amount: number) => string} scale
 */
export function columns(title, rows, scale) {
  const highest = Math.max(...rows.map((row) => row.value));
  const most = 3 * round(highest / 3);
  const width = rows.length * COLUMN;
  const tops = [1, 2 / 3, 1 / 3];
  const column = rows.map((row, at) => {
    const hit = svg("rect.hit", { x: at * COLUMN, y: 0, width: COLUMN, height: HEIGHT });
    let y = HEIGHT;
    const pieces = (row.parts ?? [row]).map(({ value }, part) => {
      const height = value === 0 ? 0 : Math.max((value / most) * HEIGHT, 2);
      y -= height;
      return svg(`rect.bar.p${part}`, { x: at * COLUMN + GAP / 2, y, width: COLUMN - GAP, height });
    });
    return svg("g", {}, hit, pieces);
  });
  /** @param {PlotRow} row */
  const told = ({ text, parts = [] }) =>
    [text, ...parts.filter(({ value }) => value > 0).map(({ label, value }) => `${label} ${scale(value)}`)].join(" · ");
  const legend = (rows.find((row) => row.parts)?.parts ?? []).map(({ label }, part) => {
    const value = h("span.quiet");
    return { value, element: h("li", swatch(part), `${label} `, value) };
  });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    tops.map((top) => svg("line.axis", { x1: 0, x2: width, y1: HEIGHT * (1 - top), y2: HEIGHT * (1 - top) })),
    column,
    svg("line.axis", { x1: 0, x2: width, y1: HEIGHT, y2: HEIGHT }),
  );
  let at = Math.max(
    rows.findIndex((row) => row.value === highest),
    0,
  );
  /** @param {number} to */
  const read = (to) => {
    column[at].removeAttribute("class");
    at = Math.min(Math.max(to, 0), rows.length - 1);
    column[at].setAttribute("class", "chosen");
    const { label, text, parts = [] } = rows[at];
    readout.textContent = `${label}: ${text}`;
    for (const [part, { value }] of legend.entries()) value.textContent = scale(parts[part]?.value ?? 0);
    reader.setAttribute("aria-valuenow", String(at));
    reader.setAttribute("aria-valuetext", `${label}: ${told(rows[at])}`);
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
  read(at);
  return h(
    "figure.columns",
    h("figcaption", title),
    readout,
    reader,
    el("div.ends", { "aria-hidden": "true" }, h("span", rows[0].label), h("span", rows.at(-1)?.label)),
    h(
      "ul.legend",
      legend.map(({ element }) => element),
    ),
    h(
      "details",
      h("summary", "Show as a table"),
      table(
        title,
        rows.filter((row) => row.value > 0).map((row) => ({ ...row, text: told(row) })),
      ),
    ),
  );
}

/**
 * A round number that is at least this, and at least one.
 * @param {number} value
 */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return power * ([1, 2, 2.5, 5].find((digit) => digit * power >= value && digit * power >= 1) ?? 10);
}

/** @param {number} part */
const swatch = (part) =>
  svg("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" }, svg(`rect.bar.p${part}`, { width: 1, height: 1 }));

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
