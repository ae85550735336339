//! Chunks on lines that every reader of lines takes for one.
//!
//! Rule: an event holds no character that some reader takes for the end of a line, and a text that may come in pieces
//! comes in pieces that keep its line within [`LINE_BYTES_MAX`]. A tool's input or output, a file and metadata are one value each.

use std::io::{Result, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The longest line of a stream that holds text: Go's `bufio.Scanner` and Python's `StreamReader` give up on a longer one.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a line around its text: keys, and an id that was escaped.
const AROUND_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a piece, as JSON.
const PIECE_BYTES_MAX: usize = LINE_BYTES_MAX - AROUND_BYTES_MAX;
/// The most bytes that JSON makes of one.
const ESCAPE_BYTES: usize = 6;

/// What splits lines in some languages and is no control character of JSON's, which are escaped anyway: NEL, and Unicode's
/// separators of lines and of paragraphs.
const LINE_ENDS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Appends a value as JSON on one line.
pub fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let mut serializer = Serializer::with_formatter(out, OneLine);
    value.serialize(&mut serializer).expect("a chunk is plain JSON, and a Vec takes every write");
}

/// JSON as `serde_json` writes it, with [`LINE_ENDS`] escaped.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(LINE_ENDS) {
            out.write_all(&rest.as_bytes()[..at])?;
            let end = rest[at..].chars().next().unwrap_or_default();
            write!(out, "\\u{:04x}", u32::from(end))?;
            rest = &rest[at + end.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

/// A text in pieces that fit on a line each; an empty one is one piece.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let (piece, after) = text.split_at(piece_end(text));
        rest = Some(after).filter(|after| !after.is_empty());
        Some(piece)
    })
}

fn piece_end(text: &str) -> usize {
    if text.len() <= PIECE_BYTES_MAX / ESCAPE_BYTES {
        return text.len();
    }
    let mut bytes = 0;
    let over = text.char_indices().find(|(_, c)| {
        bytes += match c {
            '"' | '\\' => 2,
            '\0'..='\u{1f}' => ESCAPE_BYTES,
            c if LINE_ENDS.contains(c) => ESCAPE_BYTES,
            c => c.len_utf8(),
        };
        bytes > PIECE_BYTES_MAX
    });
    over.map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_line_holds_what_some_reader_takes_for_its_end() {
        let ends = "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";
        let value = json!({ ends: format!("a{ends}b{ends}"), "plain": "é\u{2027}\u{202a}" });
        let mut line = Vec::new();
        write_json(&value, &mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains(|c: char| ends.contains(c)), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
        assert!(line.contains("\\u2028") && line.contains("\\u0085") && line.contains('é'), "{line}");
    }

    #[test]
    fn a_piece_has_as_many_bytes_as_the_bound_and_not_one_more() {
        for (unit, bytes) in [("a", 1), ("é", 2), ("😀", 4), ("\"", 2), ("\u{1}", 6), ("\u{2028}", 6)] {
            let fits = PIECE_BYTES_MAX / bytes;
            for (count, expected) in [(fits - 1, 1), (fits, 1), (fits + 1, 2), (2 * fits + 1, 3)] {
                let text = unit.repeat(count);
                let pieces: Vec<_> = pieces(&text).collect();
                assert_eq!((pieces.len(), pieces.concat() == text), (expected, true), "{count} of {unit:?}");
                for piece in pieces {
                    let mut json = Vec::new();
                    write_json(&piece, &mut json);
                    assert!(json.len() <= PIECE_BYTES_MAX + 2, "{}", json.len());
                }
            }
        }
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
    }
}
