// The page of proofs, docs/proofs.md, against what the suites have just said: node tests/proofs.mjs LOGS [--write]
//
// The prose stands in the page and nowhere else. A figure stands in it as <!-- crash.kills -->250<!-- -->, and a suite
// says `proof: crash.kills 250`. A test is named in a line that begins with "Shown by `suite`:".
// Rule: a figure that nobody said, or a test that did not pass, fails; so does a page without any. With --write the
// figures of this run take the place of those before.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = new URL("../docs/proofs.md", import.meta.url);
const FIGURE = /<!-- ([a-z][\w.-]*) -->(.*?)<!-- -->/g;
const SHOWN_BY = /^Shown by `(\w+)`: (.*(?:\n.+)*)/gm;

const [folder, mode] = process.argv.slice(2);
const logs = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));

/** What the suites said. A suite of its own says more than the little that `rust` runs of it. */
const figures = new Map();
for (const log of [logs.get("rust") ?? "", ...[...logs].filter(([name]) => name !== "rust").map(([, log]) => log)])
  for (const [, name, value] of log.matchAll(/proof: ([a-z][\w.-]*) (.+)$/gm)) figures.set(name, value.trim());

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Whether cargo or node says that a test of that name passed in a suite. Cargo's line may go on with its output. */
function passed(suite, name) {
  const cargo = new RegExp(`^test (?:\\S+::)?${escaped(name)} \\.\\.\\.(?! FAILED)`, "m");
  const node = new RegExp(`^\\s*(?:✔|ok \\d+ -) ${escaped(name)}(?: \\(|$)`, "m");
  const log = logs.get(suite) ?? "";
  return cargo.test(log) || node.test(log);
}

let page = readFileSync(PAGE, "utf8");
const shown = [...page.matchAll(FIGURE)].map(([, name]) => name);
const tests = [...page.matchAll(SHOWN_BY)].flatMap(([, suite, names]) =>
  [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => ({ suite, name: name.replaceAll("\n", " ") })),
);
const missing = [
  ...shown.filter((name) => !figures.has(name)).map((name) => `no suite said ${name}`),
  ...tests.filter(({ suite, name }) => !passed(suite, name)).map(({ suite, name }) => `${suite} did not show: ${name}`),
];
for (const name of [...figures.keys()].sort())
  if (!shown.includes(name)) console.log(`not on the page: ${name} ${figures.get(name)}`);
missing.forEach((what) => console.log(`missing: ${what}`));

if (mode === "--write" && missing.length === 0)
  writeFileSync(
    PAGE,
    page.replace(FIGURE, (_, name) => `<!-- ${name} -->${figures.get(name)}<!-- -->`),
  );
console.log(`proofs: ${shown.length + tests.length - missing.length} passed, ${missing.length} failed`);
process.exitCode = missing.length > 0 || shown.length === 0 || tests.length === 0 ? 1 : 0;
