// @ts-check

// Small plots of one series, as SVG; the same figures are there as a table for those who cannot see them.

import { el, h, svg } from "./dom.js";

const HEIGHT = 120;
const COLUMN = 20;
const GAP = 4;

/**
 * A column for each row, such as a day.
 * @param {string} title
 * @param {PlotRow[]} rows
 */
export function columns(title, rows) {
  const most = Math.max(...rows.map((row) => row.value), 1);
  const width = rows.length * COLUMN;
  /**
   * @param {PlotRow} row
   * @param {number} at
   */
  const column = (row, at) => {
    const height = row.value === 0 ? 0 : Math.max((row.value / most) * HEIGHT, 2);
    return svg(
      "g",
      {},
      svg("title", {}, `${row.label}: ${row.text}`),
      svg("rect.hit", { x: at * COLUMN, y: 0, width: COLUMN, height: HEIGHT }),
      svg("rect.bar", { x: at * COLUMN + GAP / 2, y: HEIGHT - height, width: COLUMN - GAP, height }),
    );
  };
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    rows.map(column),
    svg("line.axis", { x1: 0, x2: width, y1: HEIGHT, y2: HEIGHT }),
  );
  const highest = rows.find((row) => row.value === most);
  return h(
    "figure.columns",
    h("figcaption", title, highest && h("span.quiet", ` · highest on ${highest.label}: ${highest.text}`)),
    picture,
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
