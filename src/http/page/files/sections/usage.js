// @ts-check

// Usage and balance: the balance, what this month cost, and the ledger.

import { call, pages } from "../lib/api.js";
import { saveCsv } from "../lib/csv.js";
import { dialog } from "../lib/dialog.js";
import { busy, el, fill, h, notify } from "../lib/dom.js";
import { field, form, input, FieldError } from "../lib/form.js";
import { count, microcents, moment, money, number, short, USD } from "../lib/format.js";
import { bars, columns } from "../lib/plot.js";
import { loading, nothing, table } from "../lib/states.js";

/** @type {Record<string, string>} */
const GROUPS = { day: "Day", model: "Model", agent: "Agent", key: "Key", project: "Project" };
const SPANS = [7, 30, 90];
/** Most days that a plot shows. */
const DAYS_MAX = 366;
/** Models that have a colour of their own; the others share one. */
const COLOURS = 5;
const LATEST = 20;
const DAY_MS = 86_400_000;

/** @param {number} ms */
const dateOf = (ms) => new Date(ms).toISOString().slice(0, 10);

/**
 * Shows the section.
 * @param {Page} page
 */
export async function usage(page) {
  const figures = h("div.figures", loading(1));
  const plot = h("div.plot", loading(4));
  const ledger = h("div", loading());
  const [from, to] = ["First day (UTC)", "Last day (UTC)"].map((label) =>
    el("input", { type: "date", "aria-label": label, max: dateOf(Date.now()) }),
  );
  let by = "day";
  const draw = () => showPlot(plot, by, from.value, to.value, page);
  /** @param {number} span in days */
  const last = (span) => {
    const now = Date.now();
    from.value = dateOf(now - (span - 1) * DAY_MS);
    to.value = dateOf(now);
    return draw();
  };
  const spans = choice("Span", Object.fromEntries(SPANS.map((days) => [days, `${days} days`])), "30", (chosen) =>
    last(Number(chosen)),
  );
  /** The day that was chosen stays; the other one follows where it must. @param {Event} event */
  const ranged = ({ target }) => {
    const [day, other] = target === from ? [from, to] : [to, from];
    const at = Date.parse(day.value);
    if (!at) return undefined;
    for (const button of spans.children) button.setAttribute("aria-pressed", "false");
    const far = at + (day === from ? 1 : -1) * (DAYS_MAX - 1) * DAY_MS;
    const kept = Date.parse(other.value) || at;
    other.value = dateOf(Math.min(Math.max(kept, Math.min(at, far)), Math.max(at, far)));
    return draw();
  };
  for (const day of [from, to]) day.addEventListener("change", ranged);
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
    h("p.hint", "Programs see amounts in microcents: 1 USD is 1,000,000."),
    h(
      "div.head",
      h("h2", "What was used"),
      spans,
      el("div.choice.range", { role: "group", "aria-label": "Range" }, from, "–", to),
      choice("Group by", GROUPS, by, (chosen) => {
        by = chosen;
        return draw();
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
  await Promise.all([again(), last(30)]);
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
 * @param {string} from the first day
 * @param {string} to the last day
 * @param {Page} page
 */
async function showPlot(plot, by, from, to, page) {
  plot.setAttribute("aria-busy", "true");
  const asked = `${by} ${from} ${to}`;
  plot.dataset.asked = asked;
  const path = `/billing/usage?groupBy=${by}&from=${from}T00:00:00Z&to=${dateOf(Date.parse(to) + DAY_MS)}T00:00:00Z`;
  /** @type {Items<Api.UsageGroup>[]} */
  const [{ items }, parts] = await Promise.all([
    call("GET", path, undefined, page),
    by === "day" && call("GET", `${path}&splitBy=model`, undefined, page),
  ]);
  // Somebody chose otherwise meanwhile.
  if (plot.dataset.asked !== asked) return undefined;
  plot.removeAttribute("aria-busy");
  if (items.length === 0)
    return fill(plot, nothing("Nothing in these days", "Every reply is counted here, even a free one."));
  const paid = items.some((item) => item.costMicrocents > 0);
  /** @param {Api.UsageGroup} item */
  const value = (item) => (paid ? item.costMicrocents : item.inputTokens + item.outputTokens);
  /** @param {number} amount */
  const scale = (amount) => (paid ? money(amount) : short(amount));
  /** @type {PlotRow[]} */
  const rows = items.map((item) => ({
    label: item.name ?? item.key ?? (by === "key" ? "browsers and others" : "none"),
    value: value(item),
    text: `${scale(value(item))}${paid ? "" : " tokens"}, ${count(item.turns, "reply", "replies")}`,
  }));
  const title = `${paid ? "Cost" : "Tokens"} by ${GROUPS[by].toLowerCase()}`;
  if (by !== "day") return fill(plot, bars(title, rows));
  stack(rows, parts.items, value);
  return fill(plot, columns(`${title}, UTC`, withEmptyDays(rows, from, to), scale));
}

/**
 * Gives each day its models, the dearest of all days first.
 * @param {PlotRow[]} days
 * @param {Api.UsageGroup[]} parts
 * @param {(part: Api.UsageGroup) => number} value
 */
function stack(days, parts, value) {
  const sums = new Map();
  for (const part of parts) sums.set(part.part, (sums.get(part.part) ?? 0) + value(part));
  const models = [...sums.keys()].sort((a, b) => sums.get(b) - sums.get(a)).slice(0, COLOURS);
  for (const day of days) {
    const own = parts.filter(({ key }) => key === day.label);
    day.parts = models.map((label) => {
      const part = own.find((one) => one.part === label);
      return { label, value: part ? value(part) : 0 };
    });
    // What has no colour of its own, or is too little to be listed.
    const rest = day.parts.reduce((left, part) => left - part.value, day.value);
    if (sums.size > COLOURS) day.parts.push({ label: "other models", value: Math.max(0, rest) });
  }
}

/**
 * @param {PlotRow[]} rows
 * @param {string} from
 * @param {string} to
 */
function withEmptyDays(rows, from, to) {
  const known = new Map(rows.map((row) => [row.label, row]));
  const days = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) {
    const label = dateOf(at);
    days.push(known.get(label) ?? { label, value: 0, text: "none" });
  }
  return days;
}

/** @type {Record<string, string>} */
const KINDS = { deposit: "Deposit", reserve: "Being written", settle: "Reply", release: "Reply, free" };
const COLUMNS = ["When", "What", "Agent", "Model", "Key"];
const AMOUNTS = ["Tokens", "Change", "Balance after"];

/**
 * One row a reply: what was held for it is shown only while it is held.
 * @param {HTMLElement} ledger
 * @param {Page} page
 */
async function showLedger(ledger, page) {
  let cursor = "";
  const body = h("tbody");
  /** @type {HTMLElement} */
  const more = el(
    "button.small",
    { type: "button", onclick: () => busy(more, "Loading…", () => next(true)) },
    "Show more",
  );
  /** @param {boolean} focuses */
  const next = async (focuses) => {
    const path = `/billing/transactions?holds=open&limit=${LATEST}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    const { items, nextCursor } = await call("GET", path, undefined, page);
    const rows = items.map(entryRow);
    body.append(...rows);
    cursor = nextCursor ?? "";
    more.hidden = !cursor;
    if (focuses) rows[0]?.focus();
  };
  await next(false);
  if (!body.children.length)
    return fill(ledger, nothing("No entries", "Every deposit and charge is recorded here and never changed."));
  return fill(ledger, table("Ledger", "table.requests", COLUMNS, AMOUNTS, body), h("p.more", more));
}

/** @param {Api.Transaction} entry */
function entryRow({ kind, createdAt, amountMicrocents, heldMicrocents, balanceAfterMicrocents, note, turn }) {
  const what = KINDS[kind] ?? kind;
  const session = turn?.sessionId;
  return el(
    "tr",
    { tabindex: "-1" },
    el("th", { scope: "row" }, moment(createdAt)),
    h(
      "td",
      session ? el("a", { href: `#sessions/${encodeURIComponent(session)}` }, what) : what,
      note && h("p.quiet", note),
    ),
    h("td", turn?.agentName),
    h("td", turn && h("code", turn.model)),
    h("td", turn?.keyName),
    h("td.amount", turn && number(turn.inputTokens + turn.outputTokens)),
    h("td.amount", kind === "reserve" ? `${money(heldMicrocents)} held` : signed(amountMicrocents)),
    h("td.amount", money(balanceAfterMicrocents)),
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
