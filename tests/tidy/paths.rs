//! The paths that code names: in `use`, groups taken apart, and where they stand.

use crate::source::is_word;

/// A path that code names.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its place in the code.
    pub offset: usize,
    /// `*` is the last word of a glob.
    pub words: Vec<String>,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Imported under this name.
    Import(String),
    /// Given on under this name.
    Export(String),
    /// Used where it stands.
    Used,
}

/// A word or a sign, and its place.
type Token<'a> = (usize, &'a str);

/// Every path of code whose comments and texts are blanked, and every word that stands alone.
pub fn paths(code: &str) -> Vec<Named> {
    let tokens = tokens(code);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at].1 == "use" && tokens.get(at + 1).is_some_and(|next| next.1 != "<") {
            let exported = at > 0 && (tokens[at - 1].1 == "pub" || tokens[at - 1].1 == ")");
            at = tree(&tokens, at + 1, &[], exported, &mut found);
        } else if is_word(tokens[at].1.as_bytes()[0]) {
            let (offset, mut words) = (tokens[at].0, vec![tokens[at].1.to_owned()]);
            let follows = at > 0 && matches!(tokens[at - 1].1, "::" | ".");
            while let [(_, "::"), (_, word), ..] = tokens[at + 1..]
                && is_word(word.as_bytes()[0])
            {
                words.push(word.to_owned());
                at += 2;
            }
            if !follows {
                found.push(Named { offset, words, kind: Kind::Used });
            }
        }
        at += 1;
    }
    found
}

/// Reads one tree of a `use`; where it ends.
fn tree(tokens: &[Token], mut at: usize, before: &[String], exported: bool, found: &mut Vec<Named>) -> usize {
    let (offset, mut words) = (tokens[at].0, before.to_vec());
    while at < tokens.len() {
        match tokens[at].1 {
            "::" => {}
            "{" => {
                at += 1;
                while tokens[at].1 != "}" {
                    at = tree(tokens, at, &words, exported, found);
                    at += usize::from(tokens[at].1 == ",");
                }
                return at + 1;
            }
            "as" => {
                leaf(offset, words, Some(tokens[at + 1].1), exported, found);
                return at + 2;
            }
            "," | "}" | ";" => break,
            word => words.push(word.to_owned()),
        }
        at += 1;
    }
    leaf(offset, words, None, exported, found);
    at
}

fn leaf(offset: usize, mut words: Vec<String>, name: Option<&str>, exported: bool, found: &mut Vec<Named>) {
    // `x::{self}` is `x`.
    if words.len() > 1 && words.last().is_some_and(|word| word == "self") {
        words.pop();
    }
    let name = name.map_or_else(|| words.last().unwrap().clone(), str::to_owned);
    let kind = if exported { Kind::Export(name) } else { Kind::Import(name) };
    found.push(Named { offset, words, kind });
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let (bytes, mut found, mut at) = (code.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let length = match bytes[at] {
            byte if is_word(byte) => bytes[at..].iter().take_while(|byte| is_word(**byte)).count(),
            b':' if bytes[at..].starts_with(b"::") => 2,
            byte if !byte.is_ascii() || byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            _ => 1,
        };
        found.push((at, &code[at..at + length]));
        at += length;
    }
    found
}

#[test]
fn paths_are_seen_through_groups_and_where_they_stand() {
    let code = "pub use a::B as C;\nuse crate::{error::{Error, self}, store::*, id}; fn f() { crate::money::parse::<u8>(x.y) }";
    let named = paths(code).into_iter().filter(|named| named.words.len() > 1);
    let shown: Vec<_> = named.map(|named| format!("{} {:?}", named.words.join("::"), named.kind)).collect();
    let expected = [
        "a::B Export(\"C\")",
        "crate::error::Error Import(\"Error\")",
        "crate::error Import(\"error\")",
        "crate::store::* Import(\"*\")",
        "crate::id Import(\"id\")",
        "crate::money::parse Used",
    ];
    assert_eq!(shown, expected);
}
