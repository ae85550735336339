// @ts-check

// The colours of code: text in, its pieces with their kinds out. It knows no grammar, only what words and signs look like.
//
// Rule: each expression moves forward only, so that the time grows with the length, whatever the text is.

/** Longer code has no colours. */
const CHARS_MAX = 40_000;

/** @typedef {[kind: string, text: string]} Piece the kind: a letter of message.css, or nothing */

const STRING = /"(?:[^"\\\n]|\\.)*"?/;
const QUOTE = /'(?:[^'\\\n]|\\.)*'?/;
const TEMPLATE = /`(?:[^`\\]|\\[^])*`?/;
const SLASHES = /\/\/.*|\/\*[^]*?(?:\*\/|$)/;
const HASH = /(?<!\S)#.*/;

const C =
  "abstract as async await bool boolean break byte case catch char class const continue debugger default defer delete do double dyn else enum export extends extern false final finally float fn for from func function go goto if impl implements import in instanceof int interface internal is let long loop match mod mut namespace new nil null of operator override package private protected pub public readonly ref return self short signed sizeof static string struct super switch template this throw throws trait true try type typedef typeof undefined union unsafe unsigned use using val var virtual void volatile when where while with yield";
const SCRIPT =
  "and as assert async await begin break case class continue def del do done elif else elsif end ensure except exec exit export False false fi finally for from function global if import in is lambda let local match module nil None nonlocal not null or pass raise require rescue return self set super switch then True true try unless until var when while with yield";
const SQL =
  "add all alter and as asc begin between by case check column commit constraint create cross default delete desc distinct drop else end exists explain foreign from full group having if in index inner insert into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then transaction union unique update using values view when where with";

/**
 * What stands for itself, the words of the language, and the sign behind a word that makes it a name. In SQL case does not matter.
 * @param {RegExp} comment
 * @param {RegExp[]} strings
 * @param {string} words
 * @param {string} [named]
 */
const language = (comment, strings, words, named = "\\(") => ({
  find: new RegExp(
    `(?<c>${comment.source})|(?<s>${strings.map(({ source }) => source).join("|")})|(?<n>\\b\\d[\\w.]*)|(?<w>[\\p{L}_$@][\\p{L}\\p{N}_$]*)(?:(?<f>)(?=${named})|)`,
    "gu",
  ),
  words: new Set(words.split(" ")),
  anyCase: words === SQL,
});

const LONG = [/"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)/, STRING, QUOTE];
const families = {
  c: language(SLASHES, [STRING, QUOTE, TEMPLATE], C),
  // A quote may begin a lifetime there.
  rust: language(SLASHES, [STRING, /'(?:[^'\\\n]|\\.)'/], C),
  script: language(HASH, LONG, SCRIPT),
  data: language(HASH, [STRING, QUOTE], "true false null yes no on off", "\\s*[:=]"),
  sql: language(/--.*|\/\*[^]*?(?:\*\/|$)/, [STRING, QUOTE], SQL),
  lua: language(/--.*/, [STRING, QUOTE], SCRIPT),
  markup: language(/<!--[^]*?(?:-->|$)/, [STRING, /(?<=<\/?)[\w:-]+/], ""),
  style: language(/\/\*[^]*?(?:\*\/|$)/, [STRING, QUOTE, /(?<![\w-])-{0,2}[a-z][\w-]*(?=\s*:)/], ""),
};

/** @type {Record<keyof families, string>} */
const NAMES = {
  c: "c h cc cpp c++ cs csharp d dart go golang java js javascript jsx mjs kotlin kt objc php proto scala swift ts typescript tsx zig",
  rust: "rust rs",
  script: "bash console elixir julia makefile perl pl powershell ps1 py python r rb ruby sh shell zsh dockerfile nix",
  data: "json jsonc json5 toml yaml yml ini conf env",
  sql: "sql sqlite postgres postgresql mysql",
  lua: "lua haskell hs ada",
  markup: "html xml svg vue",
  style: "css scss less",
};
const known = new Map(
  Object.entries(NAMES).flatMap(([family, names]) =>
    names.split(" ").map((name) => [name, families[/** @type {keyof families} */ (family)]]),
  ),
);

/**
 * The pieces of a text in this language; one where it is not known.
 * @param {string} text
 * @param {string} name
 * @returns {Piece[]}
 */
export function pieces(text, name) {
  const family = known.get(name.toLowerCase());
  if (!family || text.length > CHARS_MAX) return [["", text]];
  /** @type {Piece[]} */
  const found = [];
  let plain = 0;
  for (const match of text.matchAll(family.find)) {
    const kind = kindOf(match, family);
    if (!kind) continue;
    if (match.index > plain) found.push(["", text.slice(plain, match.index)]);
    found.push([kind, match[0]]);
    plain = match.index + match[0].length;
  }
  if (plain < text.length) found.push(["", text.slice(plain)]);
  return found;
}

/**
 * @param {any} match
 * @param {ReturnType<typeof language>} family
 */
function kindOf({ groups: { c, s, n, w, f }, 0: whole, index, input }, { words, anyCase }) {
  if (c) return "c";
  // The name of a tag or of a property has no quotes; that of a field may have them.
  if (s) return !/["'`]/.test(s[0]) ? "k" : input[index + whole.length] === ":" ? "f" : "s";
  if (n) return "n";
  return words.has(anyCase ? w.toLowerCase() : w) ? "k" : f !== undefined && "f";
}
