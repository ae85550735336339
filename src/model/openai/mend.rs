//! JSON that is almost JSON: halves of characters, numbers that are none, line ends inside a string.
//!
//! Rule: sound JSON comes out as it went in; what is mended may still be no JSON.

use std::str::Chars;

use crate::model::halves::{mark_byte, mark_surrogate, whole};

/// What JavaScript and Python write for numbers that JSON does not have.
const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

/// The same text as JSON, with U+FFFD for each half of a character.
pub fn sound_json(json: &str) -> String {
    whole(mended(json.as_bytes()).into()).into_owned()
}

/// The same text as JSON, with a mark for each half of a character.
pub(super) fn mended(json: &[u8]) -> String {
    let (mut out, mut in_string) = (String::with_capacity(json.len()), false);
    for chunk in json.utf8_chunks() {
        let mut rest = chunk.valid();
        while !rest.is_empty() {
            rest =
                if in_string { string(rest, &mut in_string, &mut out) } else { plain(rest, &mut in_string, &mut out) };
        }
        chunk.invalid().iter().for_each(|byte| mark_byte(*byte, &mut out));
    }
    out
}

/// Copies what is outside strings, up to the next one; returns what is left.
fn plain<'a>(text: &'a str, in_string: &mut bool, out: &mut String) -> &'a str {
    let end = text.find('"').unwrap_or(text.len());
    let mut copied = text[..end].to_owned();
    for word in NO_NUMBERS {
        copied = copied.replace(word, "null");
    }
    out.push_str(&copied);
    if let Some(rest) = text[end..].strip_prefix('"') {
        *in_string = true;
        out.push('"');
        return rest;
    }
    ""
}

/// Copies the inside of a string, up to its end; returns what is left.
fn string<'a>(text: &'a str, in_string: &mut bool, out: &mut String) -> &'a str {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                *in_string = false;
                out.push(c);
                break;
            }
            '\\' => escape(&mut chars, out),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    chars.as_str()
}

/// Copies an escape whose backslash was read.
fn escape(chars: &mut Chars<'_>, out: &mut String) {
    match chars.clone().next() {
        Some('u') => {
            chars.next();
            match unit(chars) {
                Some(high @ 0xd800..=0xdbff) => {
                    let mut ahead = chars.clone();
                    let low = (ahead.next() == Some('\\') && ahead.next() == Some('u')).then(|| unit(&mut ahead));
                    match low.flatten() {
                        Some(low @ 0xdc00..=0xdfff) => {
                            *chars = ahead;
                            out.push_str(&format!("\\u{high:04x}\\u{low:04x}"));
                        }
                        _ => mark_surrogate(high, out),
                    }
                }
                Some(low @ 0xdc00..=0xdfff) => mark_surrogate(low, out),
                Some(unit) => out.push_str(&format!("\\u{unit:04x}")),
                None => out.push(char::REPLACEMENT_CHARACTER),
            }
        }
        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
            out.push('\\');
            out.extend(chars.next());
        }
        // Not an escape of JSON's: the character stands for itself.
        _ => {}
    }
}

/// Four hexadecimal digits; nothing is read if there are fewer.
fn unit(chars: &mut Chars<'_>) -> Option<u16> {
    let (mut ahead, mut unit) = (chars.clone(), 0);
    for _ in 0..4 {
        unit = unit * 16 + ahead.next()?.to_digit(16)?;
    }
    *chars = ahead;
    u16::try_from(unit).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn sound_json_stays_what_it_is() {
        for json in [r#"{"a":[1,-2.5e3,"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"],"NaN":"Infinity"}"#, "null", "\"\"", ""]
        {
            let value = |json: &str| serde_json::from_str::<Value>(json).ok();
            assert_eq!(value(&mended(json.as_bytes())), value(json), "{json}");
        }
    }

    #[test]
    fn what_is_almost_json_can_be_read() {
        for (json, expected) in [
            (&br#""a\ud83d""#[..], "a\u{fffd}"),
            (br#""\ude00b""#, "\u{fffd}b"),
            (br#""\ud83dx""#, "\u{fffd}x"),
            (br#""\ud83d\n""#, "\u{fffd}\n"),
            (br#""\ud83d\u0041""#, "\u{fffd}A"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (br#""\u12""#, "\u{fffd}12"),
            (br#""it\'s""#, "it's"),
            (b"\"a\nb\tc\"", "a\nb\tc"),
            (b"\"a\xf0\x9f\"", "a\u{fffd}"),
            (b"\"\xf0\x9f\x98\x80\"", "😀"),
        ] {
            let text: String = serde_json::from_str(&mended(json)).unwrap();
            assert_eq!(whole(text.into()), expected, "{}", json.escape_ascii());
        }
        let numbers = mended(br#"{"a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}"#);
        assert_eq!(numbers, r#"{"a":null,"b":[null,null],"c":"NaN"}"#);
    }
}
