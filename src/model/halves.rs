//! Characters that arrive in two halves: a surrogate in each of two chunks, or the bytes of UTF-8 divided between them.
//!
//! Rule: halves that meet are one character; one that stays alone is U+FFFD. No `str` can hold a half, so a *mark*, two
//! characters that no model writes, stands for it between the JSON that held it and the text that it belongs to.

use std::borrow::Cow;

/// What begins a mark: a code point that Unicode keeps free for ever.
const MARK: char = '\u{10ffff}';
/// The second character of a mark is what it stands for, in a plane of private use.
const PRIVATE: u32 = 0x10_0000;

/// Appends the mark of a lone surrogate.
pub fn mark_surrogate(unit: u16, out: &mut String) {
    mark(unit.into(), out);
}

/// Appends the mark of a byte that is no text by itself.
pub fn mark_byte(byte: u8, out: &mut String) {
    mark(byte.into(), out);
}

fn mark(value: u32, out: &mut String) {
    out.push(MARK);
    out.push(char::from_u32(PRIVATE + value).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// A text that ends here: halves that have not met are U+FFFD.
pub fn whole(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return text;
    }
    let mut joiner = Joiner::default();
    let mut whole = joiner.join(&text).into_owned();
    whole.extend(joiner.end());
    whole.into()
}

/// What a mark stands for.
enum Half {
    Surrogate(u16),
    Byte(u8),
}

fn half_of(second: char) -> Option<Half> {
    match u32::from(second).checked_sub(PRIVATE)? {
        unit @ 0xd800..=0xdfff => Some(Half::Surrogate(unit as u16)),
        byte @ 0x80..=0xff => Some(Half::Byte(byte as u8)),
        _ => None,
    }
}

/// Puts the halves of one text together as its pieces come.
#[derive(Debug, Default)]
pub struct Joiner {
    /// The first half of a pair.
    high: Option<u16>,
    /// The first bytes of a character, three at most.
    bytes: Vec<u8>,
}

impl Joiner {
    /// The next piece, with the character that it completes and without the one that it begins.
    pub fn join<'a>(&mut self, piece: &'a str) -> Cow<'a, str> {
        let is_plain = !piece.contains(MARK);
        if piece.is_empty() || (is_plain && self.high.is_none() && self.bytes.is_empty()) {
            return Cow::Borrowed(piece);
        }
        let mut out = String::with_capacity(piece.len());
        let mut chars = piece.chars().peekable();
        while let Some(c) = chars.next() {
            let half = chars.peek().filter(|_| c == MARK).and_then(|second| half_of(*second));
            match half {
                None => {
                    out.extend(self.end());
                    out.push(c);
                }
                Some(half) => {
                    chars.next();
                    self.take(half, &mut out);
                }
            }
        }
        Cow::Owned(out)
    }

    /// The text is over: what stands for a half that stayed alone.
    pub fn end(&mut self) -> Option<char> {
        let is_open = self.high.take().is_some() | !self.bytes.is_empty();
        self.bytes.clear();
        is_open.then_some(char::REPLACEMENT_CHARACTER)
    }

    fn take(&mut self, half: Half, out: &mut String) {
        match half {
            Half::Surrogate(unit) => {
                if !std::mem::take(&mut self.bytes).is_empty() {
                    self.put(char::REPLACEMENT_CHARACTER, out);
                }
                self.surrogate(unit, out);
            }
            Half::Byte(byte) => {
                self.bytes.push(byte);
                self.decode(out);
            }
        }
    }

    /// Takes whole characters off the front of the bytes; what may still become one stays.
    fn decode(&mut self, out: &mut String) {
        while let [first, rest @ ..] = &self.bytes[..] {
            let taken = match rest {
                // A surrogate by itself, as some servers write it in bytes.
                [0xa0..=0xbf] if *first == 0xed => return,
                [high @ 0xa0..=0xbf, low @ 0x80..=0xbf] if *first == 0xed => {
                    let unit = 0xd000 | (u16::from(*high & 0x3f) << 6) | u16::from(*low & 0x3f);
                    self.surrogate(unit, out);
                    3
                }
                _ => match std::str::from_utf8(&self.bytes) {
                    Ok(text) => {
                        let text = text.to_owned();
                        text.chars().for_each(|c| self.put(c, out));
                        text.len()
                    }
                    Err(e) if e.valid_up_to() == 0 && e.error_len().is_none() => return,
                    Err(_) => {
                        self.put(char::REPLACEMENT_CHARACTER, out);
                        1
                    }
                },
            };
            self.bytes.drain(..taken);
        }
    }

    fn surrogate(&mut self, unit: u16, out: &mut String) {
        if unit < 0xdc00 {
            if self.high.replace(unit).is_some() {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            return;
        }
        let pair = self.high.take().map_or([unit, unit], |high| [high, unit]);
        out.push(char::decode_utf16(pair).next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER));
    }

    /// A whole character: a half before it stays alone.
    fn put(&mut self, c: char, out: &mut String) {
        if self.high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces as marks: surrogates by their number, bytes by theirs, other text as it is.
    fn joined(pieces: &[&[u32]]) -> String {
        let mut joiner = Joiner::default();
        let mut out = String::new();
        for piece in pieces {
            let mut marked = String::new();
            for &value in *piece {
                match value {
                    0xd800..=0xdfff => mark_surrogate(value as u16, &mut marked),
                    0x80..=0xff => mark_byte(value as u8, &mut marked),
                    _ => marked.push(char::from_u32(value).unwrap()),
                }
            }
            out.push_str(&joiner.join(&marked));
        }
        out.extend(joiner.end());
        out
    }

    const A: u32 = 'a' as u32;

    #[test]
    fn halves_that_meet_are_one_character_wherever_they_are_cut() {
        for bytes in ["é", "€", "😀"] {
            let bytes: Vec<u32> = bytes.bytes().map(u32::from).collect();
            for at in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(at);
                let whole: String = String::from_utf8(bytes.iter().map(|b| *b as u8).collect()).unwrap();
                assert_eq!(joined(&[head, &[], tail]), whole, "{at}");
            }
        }
        assert_eq!(joined(&[&[A, 0xd83d], &[0xde00, A]]), "a😀a");
        assert_eq!(joined(&[&[0xd83d, 0xde00]]), "😀");
        // The same pair, each half in bytes.
        assert_eq!(joined(&[&[0xed, 0xa0], &[0xbd, 0xed], &[0xb8, 0x80]]), "😀");
    }

    #[test]
    fn a_half_that_stays_alone_is_one_replacement_character() {
        for (pieces, expected) in [
            (&[&[A, 0xd83d][..], &[A]][..], "a\u{fffd}a"),
            (&[&[A, 0xd83d]], "a\u{fffd}"),
            (&[&[0xde00, A]], "\u{fffd}a"),
            (&[&[0xd83d, 0xd83d, 0xde00]], "\u{fffd}😀"),
            (&[&[0xd83d], &[0xf0, 0x9f, 0x98, 0x80]], "\u{fffd}😀"),
            (&[&[0xf0, 0x9f], &[A]], "\u{fffd}a"),
            (&[&[0xf0, 0x9f], &[0xd83d, 0xde00]], "\u{fffd}😀"),
            (&[&[0xff, A, 0x80]], "\u{fffd}a\u{fffd}"),
            (&[&[0xed, 0xa0], &[A]], "\u{fffd}a"),
        ] {
            assert_eq!(joined(pieces), expected, "{pieces:x?}");
        }
    }

    #[test]
    fn a_text_without_halves_is_itself() {
        for text in ["", "a", "😀", "\u{10ffff}", "\u{10ffff}a", "\u{10d83d}"] {
            assert_eq!(whole(text.into()), text);
        }
        let mut half = String::from("a");
        mark_surrogate(0xd83d, &mut half);
        assert_eq!(whole(half.into()), "a\u{fffd}");
    }
}
