//! What the built-in model says. People read this on a stage: every sentence is true, and none pretends to be a real model's.

/// Its answer about itself.
pub const SELF: &str = "I am the built-in demo model, `demo/ala`: a set of prepared answers that needs no network, no key and no \
graphics card. Everything around me is real, though. This reply is streamed, stored and counted like any other, and I was given \
our whole conversation to answer from. Say `help` to see what I can show you, or connect a real model (Ollama, llama.cpp, or any \
OpenAI-compatible service) and ask it instead.";

/// What it can show.
pub const HELP: &str = "I am the built-in demo model. These I can show you:

| Say | and you see |
|---|---|
| `Summarise the periodic table in 3 sentences.` | a streamed answer |
| `What did I just ask?` | the stored conversation, remembered |
| `Think: is 221 prime?` | reasoning before the answer |
| `What time is it?` | a tool call and its result |
| `Search my history for hydrogen` | a search through your own sessions |
| `Call NAME`, `Call NAME with {…}` | any tool this agent may use |
| `Show me an approval` | a tool that waits for your yes |
| `Make a bad tool call`, `Call an unknown tool` | a tool call that fails |
| `Cite a source` | links beside the answer |
| `Show me Markdown`, `Write some code` | formatted text |
| `Write 500 words` | a long answer, long enough to press stop |
| `Show an error` | a reply that breaks off |

Anything else I answer honestly: I am only a demo.";

/// What is said where an approval cannot be shown.
pub const NO_TOOL: &str = "For that I need a tool of your own, and this agent has none. `alm demo` brings one, `book_room`; elsewhere \
add one with `alm tools add`, and ask again.";

/// As many of these as were asked for; the first ones stand alone.
pub const PERIODIC_TABLE: [&str; 5] = [
    "The periodic table lists the 118 known elements in the order of their atomic number, the count of protons in the nucleus, \
     from hydrogen with one to oganesson with 118.",
    "Its rows are called periods and its columns groups: the elements of a group usually have the same number of outer electrons \
     and so behave alike, which is why the most reactive metals stand at the left edge and the noble gases at the right.",
    "Dmitri Mendeleev published the pattern in 1869 and left gaps for elements nobody had seen; gallium, scandium and germanium \
     were found within seventeen years, much as he had predicted them.",
    "Metals fill most of the table, nonmetals its upper right, and between them runs a staircase of metalloids such as silicon.",
    "The two rows usually drawn below the rest, the lanthanides and the actinides, belong to periods six and seven and are set \
     apart only so that the table fits on a page.",
];

/// Links, with their titles.
pub const SOURCES: [(&str, &str); 2] = [
    ("https://iupac.org/what-we-do/periodic-table-of-elements/", "IUPAC: Periodic Table of Elements"),
    ("https://en.wikipedia.org/wiki/Periodic_table", "Wikipedia: Periodic table"),
];

/// What goes with the links.
pub const CITED: &str = "Hydrogen is element 1 and oganesson, so far, the last, element 118. Two sources for that come with this \
answer as parts of their own. I know their addresses by heart; being a demo, I did not open them.";

/// Some of everything that Markdown has.
pub const MARKDOWN: &str = "## A little Markdown

Text can be **bold**, *italic*, `code` or [a link](https://commonmark.org/).

1. First, a numbered list,
2. then a table:

| Element | Symbol | Number |
|---|:-:|--:|
| Hydrogen | H | 1 |
| Carbon | C | 6 |
| Oganesson | Og | 118 |

> And a quotation, to end with.";

/// A little program each, by the word that asks for it. The first is for everyone else.
pub const CODE: [(&str, &str); 3] = [
    (
        "javascript",
        "Greatest common divisor, after Euclid, in JavaScript:

```js
function gcd(a, b) {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

console.log(gcd(1071, 462)); // 21
```",
    ),
    (
        "python",
        "Greatest common divisor, after Euclid, in Python:

```python
def gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a

print(gcd(1071, 462))  # 21
```",
    ),
    (
        "rust",
        "Greatest common divisor, after Euclid, in Rust:

```rust
fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn main() {
    println!(\"{}\", gcd(1071, 462)); // 21
}
```",
    ),
];

/// What is said before a reply breaks off.
pub const BEFORE_FAULT: &str = "Here is the beginning of an answer, and in the middle of this sentence the model will";

/// The sentence of the error itself.
pub const FAULT: &str = "The demo model broke off, as it was asked to.";

/// Several hundred words; read again from the top by those who want more.
pub const LONG: &str = "## How the elements got their places

In the 1860s chemistry had a problem of abundance. Some sixty elements were known, a new one turned up every year or two, \
and nobody could say how many there would be in the end. Textbooks listed them alphabetically, or by the order of their \
discovery, or in families that each author drew differently. What was missing was a reason.

Several people came close. Johann Döbereiner had noticed triads long before: chlorine, bromine and iodine behave alike, and the \
weight of the middle one is near the average of the other two. Alexandre-Émile Béguyer de Chancourtois wound the elements around \
a cylinder like the thread of a screw and saw that similar ones fell one below the other. John Newlands spoke of octaves, because \
every eighth element seemed to return to the first, and was asked whether he had also tried the alphabet.

Dmitri Mendeleev was writing a textbook when he made his attempt. He put the elements in order of their atomic weight, began a \
new row whenever the properties started to repeat, and then did what nobody before him had dared: where the pattern and the \
list disagreed, he trusted the pattern. Tellurium is heavier than iodine, yet he placed it first, because its chemistry said so. \
Where no known element would fit, he left a gap and described what belonged there.

Those gaps made his name. He foretold a metal below aluminium with a low melting point; in 1875 Paul-Émile Lecoq de Boisbaudran \
found gallium, which melts in the hand. He foretold one below boron; in 1879 Lars Fredrik Nilson found scandium. He foretold one \
below silicon and gave its weight as 72; in 1886 Clemens Winkler found germanium, and it weighs 72.6. A table that had been a \
way to sort cards was now a way to see what had not been found.

What the table could not say was why it worked. That took until 1913, when Henry Moseley measured the X-rays that each element \
gives off and found that the square roots of their frequencies climb in even steps. The steps counted something, and it was the charge of the \
nucleus. Atomic number was no longer a place in a list but a fact about matter, and it settled the old quarrel over tellurium \
and iodine at once.

The shape of the table came last. Quantum mechanics showed that electrons fill shells in a fixed order, two in the first row, \
eight in the second and third, eighteen in the fourth, and that chemistry is mostly the business of the outermost ones. Elements \
in a column are alike because they look alike from outside. The long rows at the bottom hold those elements whose newest \
electrons hide deep within.

The table has been full to the end of its seventh row since 2016, when nihonium, moscovium, tennessine and oganesson were given \
their names. Some of them have been made only a few atoms at a time, and lived for less than a second. Whether there is an eighth \
row, and whether anything in it would stay long enough to have a chemistry, is an open question. The pattern has a place for the \
answer, as it always had.";

/// What is said when the long text begins anew.
pub const AGAIN: &str = "You asked for more words than I have prepared, so here they are once more.";
