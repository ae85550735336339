// Code and formulas in a message: their colours, their MathML, and that neither is ever slow or more than text.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gated, text } from "../clients/fake-upstream.mjs";
import { ask, axeFinds, chatWith, replies, written } from "./chats.mjs";
import { HOSTILE, assertHarmless, startOwned } from "./person.mjs";

let alm;

before(async () => (alm = await startOwned({ upstream: true })));
after(() => alm?.stop());

/** Shows these replies, one after the other. */
async function shown(page, ...said) {
  await chatWith(
    alm,
    page,
    said.map((one) => text(one)),
  );
  for (const at of said.keys()) {
    await ask(page, "Go on.");
    await replies(page).nth(at).locator(".foot").getByText("tokens").waitFor();
    await written(page);
  }
}

const fenced = (language, code) => `\`\`\`${language}\n${code}\n\`\`\``;
const coloured = (page, kind) => page.locator(`.code .${kind}`).allInnerTexts();

test("code has colours of its language, at 14 px and with contrast in both themes", async () => {
  await alm.signedIn(async (page) => {
    const rust = `// Says "hi".\nfn main<'a>() { let n = 0x2a; print!("{n} // not"); }`;
    const python = `# why\ndef f(x):\n    """doc's\n    text"""\n    return x + 1.5 if x else None`;
    const others = [
      fenced("sql", "SELECT count(*) FROM t -- all\nwhere a = 'it'"),
      fenced("json", `{"a": [1, "b", true]}`),
      fenced("html", `<p class="x">It's</p> <!-- no -->`),
      fenced("css", "a { color: red; } /* c */"),
    ];
    await shown(
      page,
      fenced("rust", rust),
      fenced("python", python),
      others.join("\n\n"),
      fenced("mermaid", "graph TD"),
    );
    assert.deepEqual((await coloured(page, "c")).slice(0, 2), [`// Says "hi".`, "# why"]);
    const strings = await coloured(page, "s");
    for (const one of [`"{n} // not"`, `"""doc's\n    text"""`, `'it'`, `"b"`, `"x"`])
      assert.ok(strings.includes(one), `${one} in ${strings}`);
    const words = await coloured(page, "k");
    for (const one of ["fn", "let", "def", "return", "None", "SELECT", "where", "true", "p", "color"])
      assert.ok(words.includes(one), `${one} in ${words}`);
    assert.ok((await coloured(page, "n")).includes("0x2a"));
    assert.ok((await coloured(page, "f")).includes("main") === false, "a name with a lifetime between is none");
    assert.ok((await coloured(page, "f")).includes(`"a"`) && (await coloured(page, "f")).includes("f"));
    const blocks = await page.locator(".code pre").allInnerTexts();
    assert.deepEqual([blocks[0], blocks[1]], [rust, python]);
    const mermaid = page.locator(".code", { hasText: "graph TD" });
    assert.equal(await mermaid.locator("span[class]").count(), 0);
    await mermaid.getByRole("button", { name: "Copy" }).waitFor();
    assert.equal(await mermaid.locator("code").evaluate((code) => getComputedStyle(code).fontSize), "14px");
    assert.deepEqual(await axeFinds(page), []);
  });
});

test("code grows without being made anew", async () => {
  await alm.signedIn(async (page) => {
    let lift;
    const seen = new Promise((resolve) => (lift = resolve));
    const first = "Look:\n\n```js\nconst one = 1;\nconst tw";
    await chatWith(alm, page, [gated([Promise.resolve(), first], [seen, "o = 2;\n```\n\nDone."])]);
    await ask(page, "Write.");
    await page.locator(".code .n", { hasText: "1" }).waitFor();
    await page.locator(".code").evaluate((figure) => (figure.marked = figure.querySelector(".n").marked = true));
    lift();
    await replies(page).getByText("Done.").waitFor();
    assert.deepEqual(await coloured(page, "n"), ["1", "2"]);
    const kept = await page.locator(".code").evaluate((figure) => figure.marked && figure.querySelector(".n").marked);
    assert.equal(kept, true);
  });
});

test("whatever the text is, its pieces are the text, and a long one has no colours", async () => {
  await alm.signedIn(async (page) => {
    await shown(page, "One.");
    const wrong = await page.evaluate(async () => {
      const { pieces } = await import("/_page/chat/colour.js");
      const signs = [..."\"'`/*#-<>\\\n :=($a1_é", '"""', "<!--", "*/", "if", "0x", "\u2028"];
      let seed = 1;
      const next = (below) => (seed = (seed * 48271) % 2147483647) % below;
      const names = ["js", "rust", "python", "json", "sql", "lua", "html", "css", "nope", "__proto__"];
      const wrong = [];
      for (let i = 0; i < 4_000; i++) {
        const text = Array.from({ length: next(40) }, () => signs[next(signs.length)]).join("");
        const name = names[i % names.length];
        const all = pieces(text, name);
        if (all.map(([, piece]) => piece).join("") !== text) wrong.push([name, text]);
      }
      // Each of these would take for ever where an expression went back over what it has read.
      for (const one of ['"\\', "/*", "'''", "<!--", "a", "(", "<"])
        for (const name of names) pieces(one.repeat(19_000), name);
      const counts = [40_000, 40_001].map((length) => pieces("1 ".repeat(length).slice(0, length), "js").length);
      return { wrong, counts };
    });
    assert.deepEqual(wrong, { wrong: [], counts: [40_000, 1] });
  });
});

test("formulas are MathML, money is not, and what cannot be read stays as it is", async () => {
  await alm.signedIn(async (page) => {
    const asked = [];
    page.on("request", (request) => request.url().includes("temml") && asked.push(request.url()));
    await shown(page, "It costs $5 and $10, or `$x$`; US$3-$4.");
    assert.deepEqual(asked, []);
    assert.equal(await page.locator(".formula").count(), 0);
    await shown(
      page,
      [
        "Inline $x_1 + x_2$ and \\(a^2\\), **bold $\\frac{1}{2}$**.",
        "$$\n\\int_0^1 x\\,dx = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n- \\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}\n= y\n$$",
        "\\[ E = mc^2 \\]",
        "Broken $\\nonsense{$ and \\(\\frac{1}\\) here.",
        "- a list with $y$",
      ].join("\n\n"),
    );
    await page.locator(".formula math").nth(5).waitFor();
    assert.equal(await page.locator(".formula math").count(), 6);
    assert.equal(await page.locator(".formula.block math").count(), 2);
    assert.equal(await page.locator(".formula mfrac").count(), 1);
    assert.equal(await page.locator(".formula msub").count(), 2);
    assert.match(await replies(page).innerText(), /Broken \$\\nonsense\{\$ and \\\(\\frac\{1\}\\\) here\./);
    assert.ok(asked.length <= 1, "it is fetched once");
    await page.setViewportSize({ width: 320, height: 640 });
    const cut = await replies(page).evaluate((message) => message.scrollWidth - message.clientWidth);
    assert.ok(cut <= 0, `${cut} px of the reply are cut`);
    assert.deepEqual(await axeFinds(page), []);
  });
});

test("a formula is never more than a formula", async () => {
  await alm.signedIn(async (page) => {
    await shown(
      page,
      [
        `$\\text{${HOSTILE}}$`,
        "$\\href{javascript:window.hacked=1}{x}$",
        "$\\includegraphics{https://example.com/x.png}$",
        `$\\style{position:fixed}{x}$ $\\class{top}{x}$ $\\id{main}{x}$`,
        "$\\def\\a{\\a\\a}\\a$",
        `$${"{".repeat(900)}x${"}".repeat(900)}$`,
        "$\\rule{9999em}{9999em}$",
        "Last $z$.",
      ].join("\n\n"),
    );
    await page.locator(".formula math", { hasText: "z" }).waitFor();
    await assertHarmless(page);
    assert.equal(await page.locator(".theirs :is(a, img, [href], [id])").count(), 0);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0);
  });
});
