// @ts-check

// Usage and balance: the balance, what this month cost, and the ledger.

import { call, pages } from "../lib/api.js";
import { saveCsv } from "../lib/csv.js";
import { dialog } from "../lib/dialog.js";
import { busy, el, fill, h, notify } from "../lib/dom.js";
import { field, form, input, FieldError } from "../lib/form.js";
import { count, microcents, moment, money, number, short, USD } from "../lib/format.js";
import { bars, columns } from "../lib/plot.js";
import { loading, nothing } from "../lib/states.js";

/** @type {Record<string, string>} */
const GROUPS = { day: "Day", model: "Model", agent: "Agent", project: "Project" };
/** @type {Record<string, string>} */
const SPANS = { 7: "7 days", 30: "30 days", 90: "90 days" };
const LATEST = 20;
const DAY_MS = 86_400_000;

/**
 * Shows the section.
 * @param {Page} page
 */
export async function usage(page) {
  const figures = h("div.figures", loading(1));
  const plot = h("div.plot", loading(4));
  const ledger = h("div", loading());
  let days = 30;
  let by = "day";
  const again = () => Promise.all([showFigures(figures, page), showLedger(ledger, page)]);
  const deposit = () => addMoney().then((done) => done && again());
  fill(
    page.main,
    h(
      "div.head",
      h("h1", "Usage"),
      page.isOwner && el("button.primary", { type: "button", onclick: deposit }, "Add to balance"),
    ),
    figures,
    h(
      "div.head",
      h("h2", "What was used"),
      choice("Span", SPANS, "30", (chosen) => {
        days = Number(chosen);
        return showPlot(plot, by, days, page);
      }),
      choice("Group by", GROUPS, "day", (chosen) => {
        by = chosen;
        return showPlot(plot, by, days, page);
      }),
    ),
    plot,
    h(
      "div.head",
      h("h2", "Ledger"),
      el("button.small", { type: "button", onclick: (event) => exportCsv(event.target) }, "Export as CSV"),
    ),
    ledger,
  );
  await Promise.all([again(), showPlot(plot, by, days, page)]);
}

/**
 * @param {string} label
 * @param {Record<string, string>} values
 * @param {string} first
 * @param {(value: string) => unknown} choose
 */
function choice(label, values, first, choose) {
  return el(
    "div.choice",
    { role: "group", "aria-label": label },
    Object.entries(values).map(([value, text]) =>
      el(
        "button.small",
        {
          type: "button",
          "aria-pressed": String(value === first),
          onclick: (event) => {
            for (const button of event.target.parentElement.children)
              button.setAttribute("aria-pressed", String(button === event.target));
            choose(value);
          },
        },
        text,
      ),
    ),
  );
}

/**
 * @param {HTMLElement} figures
 * @param {Page} page
 */
async function showFigures(figures, page) {
  const { balanceMicrocents, heldMicrocents, currentMonth } = await call("GET", "/billing", undefined, page);
  /**
   * @param {string} term
   * @param {string} value
   * @param {string} note
   */
  const figure = (term, value, note) => h("div.figure", h("dt", term), h("dd", value), note && h("dd.quiet", note));
  fill(
    figures,
    h(
      "dl",
      figure(
        "Balance",
        money(balanceMicrocents),
        heldMicrocents > 0 ? `${money(heldMicrocents)} held by running replies` : "none held",
      ),
      figure("Spent this month", money(currentMonth.costMicrocents), count(currentMonth.turns, "reply", "replies")),
      figure(
        "Tokens this month",
        short(currentMonth.inputTokens + currentMonth.outputTokens),
        `${number(currentMonth.inputTokens)} in, ${number(currentMonth.outputTokens)} out`,
      ),
    ),
  );
}

/**
 * @param {HTMLElement} plot
 * @param {string} by
 * @param {number} span in days
 * @param {Page} page
 */
async function showPlot(plot, by, span, page) {
  plot.setAttribute("aria-busy", "true");
  const asked = `${by} ${span}`;
  plot.dataset.asked = asked;
  const now = new Date();
  const from = new Date(Math.floor(now.getTime() / DAY_MS) * DAY_MS - (span - 1) * DAY_MS);
  const [{ items }, names] = await Promise.all([
    call("GET", `/billing/usage?groupBy=${by}&from=${from.toISOString()}`, undefined, page),
    namesOf(by),
  ]);
  // Somebody chose otherwise meanwhile.
  if (plot.dataset.asked !== asked) return undefined;
  plot.removeAttribute("aria-busy");
  if (items.length === 0)
    return fill(plot, nothing(`Nothing in the last ${span} days`, "Every reply is counted here, even a free one."));
  const paid = items.some((/** @type {Api.UsageGroup} */ item) => item.costMicrocents > 0);
  /** @param {Api.UsageGroup} item */
  const value = (item) => (paid ? item.costMicrocents : item.inputTokens + item.outputTokens);
  /** @param {Api.UsageGroup} item */
  const text = (item) =>
    [paid ? money(item.costMicrocents) : `${short(value(item))} tokens`, count(item.turns, "reply", "replies")].join(
      ", ",
    );
  const rows = items.map((/** @type {Api.UsageGroup} */ item) => ({
    label: names.get(item.key) ?? item.key ?? "none",
    value: value(item),
    text: text(item),
  }));
  const title = `${paid ? "Cost" : "Tokens"} by ${GROUPS[by].toLowerCase()}`;
  /** @param {number} amount */
  const scale = (amount) => (paid ? money(amount) : short(amount));
  return fill(plot, by === "day" ? columns(`${title}, UTC`, withEmptyDays(rows, from, now), scale) : bars(title, rows));
}

/** @param {string} by */
async function namesOf(by) {
  const names = new Map();
  if (by === "agent" || by === "project") {
    for await (const items of pages(`/${by}s`)) for (const item of items) names.set(item.id, item.name);
  }
  return names;
}

/**
 * @param {PlotRow[]} rows
 * @param {Date} from
 * @param {Date} now
 */
function withEmptyDays(rows, from, now) {
  const known = new Map(rows.map((row) => [row.label, row]));
  const days = [];
  for (const day = new Date(from); day <= now; day.setUTCDate(day.getUTCDate() + 1)) {
    const label = day.toISOString().slice(0, 10);
    days.push(known.get(label) ?? { label, value: 0, text: "none" });
  }
  return days;
}

/** @type {Record<string, string>} */
const KINDS = { deposit: "Deposit", reserve: "Held for a reply", settle: "Reply", release: "Reply, free" };

/**
 * One row a reply: what was held for it is shown only while it is held.
 * @param {HTMLElement} ledger
 * @param {Page} page
 */
async function showLedger(ledger, page) {
  let { balanceMicrocents: balance } = await call("GET", "/billing", undefined, page);
  let cursor = "";
  const ended = new Set();
  const body = h("tbody");
  /** @type {HTMLElement} */
  const more = el(
    "button.small",
    { type: "button", onclick: () => busy(more, "Loading…", () => next(true)) },
    "Show more",
  );
  /** @param {Api.Transaction} entry */
  const row = (entry) => {
    const after = balance;
    balance -= entry.amountMicrocents;
    if (entry.kind === "reserve" && ended.has(entry.turnId)) return null;
    ended.add(entry.turnId);
    const held = entry.kind === "reserve" ? money(entry.heldMicrocents) : "–";
    return el(
      "tr",
      { tabindex: "-1" },
      h("td", moment(entry.createdAt)),
      h("td", KINDS[entry.kind] ?? entry.kind),
      h("td.amount", signed(entry.amountMicrocents)),
      h("td.amount", held),
      h("td.amount", money(after)),
      h("td", entry.note),
    );
  };
  /** @param {boolean} focuses */
  const next = async (focuses) => {
    const path = `/billing/transactions?limit=${LATEST}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const { items, nextCursor } = await call("GET", path, undefined, page);
    const rows = items.map(row).filter(Boolean);
    body.append(...rows);
    cursor = nextCursor ?? "";
    more.hidden = !cursor;
    if (focuses) rows[0]?.focus();
  };
  await next(false);
  if (!body.children.length)
    return fill(ledger, nothing("No entries", "Every deposit and charge is recorded here and never changed."));
  return fill(
    ledger,
    el(
      "div.scrolls",
      { tabindex: "0", role: "region", "aria-label": "Ledger" },
      h(
        "table",
        h(
          "thead",
          h(
            "tr",
            ["When", "What", "Change", "Held", "Balance after", "Note"].map((title) =>
              el(/Change|Held|Balance/.test(title) ? "th.amount" : "th", { scope: "col" }, title),
            ),
          ),
        ),
        body,
      ),
    ),
    h("p.more", more),
  );
}

/** @param {number} amount */
const signed = (amount) => (amount === 0 ? "–" : `${amount > 0 ? "+" : "−"}${money(Math.abs(amount))}`);

function addMoney() {
  return dialog("Add to balance", (close) =>
    form({
      content: [
        h("p", "Replies of paid models are charged to the balance. No real money moves: it is a limit that you set."),
        field(
          "Amount in US dollars",
          input("amountMicrocents", { inputmode: "decimal", placeholder: "10.00", autofocus: true }),
        ),
        field("Note", input("note", { maxlength: "200" }), "Optional."),
      ],
      submit: "Add",
      working: "Adding…",
      cancel: close,
      send: async ({ amountMicrocents, note }) => {
        const amount = microcents(amountMicrocents);
        if (!amount) throw new FieldError("amountMicrocents", "Enter an amount, such as 10 or 2.50.");
        await call("POST", "/billing/deposit", { amountMicrocents: amount, note: note.trim() || undefined });
        notify(`Added ${money(amount)}.`);
        close(true);
      },
    }),
  );
}

/** @param {HTMLElement} button */
function exportCsv(button) {
  return busy(button, "Exporting…", async () => {
    const rows = [["when", "kind", "amount_usd", "held_usd", "turn", "note", "id"]];
    for await (const items of pages("/billing/transactions")) {
      rows.push(
        ...items.map((e) => [
          e.createdAt,
          e.kind,
          e.amountMicrocents / USD,
          e.heldMicrocents / USD,
          e.turnId ?? "",
          e.note,
          e.id,
        ]),
      );
    }
    saveCsv(`alm-ledger-${new Date().toISOString().slice(0, 10)}.csv`, rows);
  });
}
