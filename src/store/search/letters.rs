//! Text as search compares it: letter by letter, without what people leave out or write in more than one way.
//!
//! Accents and vowel points go, case goes, wide, narrow and joined forms become plain ones. Rule: what is written and what is
//! searched for go through the same function, so it need not be right about a language, only the same for both; and
//! a change of it needs a new schema, since the index holds its results.

use std::ops::{ControlFlow, Range};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Marks that are read with one letter; no language needs half as many. What follows counts as a letter of its own, so that
/// a text of nothing but marks is not sorted in memory as a whole.
const MARKS_MAX: usize = 30;

/// One letter of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub char: char,
    pub kind: Kind,
    /// The bytes that it was made of.
    pub place: Range<usize>,
}

/// How a letter makes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a script that puts spaces between words.
    Spaced,
    /// Of a script that does not, or a picture: any place may begin a word.
    Unspaced,
    /// No letter: what stands between words.
    Gap,
}

/// Scripts without spaces between words, or, as Korean, with spaces between more than words; and pictures.
const UNSPACED: [(char, char); 27] = [
    ('\u{e00}', '\u{eff}'),     // Thai, Lao
    ('\u{1000}', '\u{109f}'),   // Burmese
    ('\u{1100}', '\u{11ff}'),   // Korean letters
    ('\u{1780}', '\u{17ff}'),   // Khmer
    ('\u{1950}', '\u{19df}'),   // Tai
    ('\u{1a20}', '\u{1aaf}'),   // Tai Tham
    ('\u{1b00}', '\u{1b7f}'),   // Balinese
    ('\u{2300}', '\u{23ff}'),   // signs: a watch, an hourglass
    ('\u{2600}', '\u{27bf}'),   // pictures
    ('\u{2b00}', '\u{2bff}'),   // stars, arrows
    ('\u{2e80}', '\u{2fdf}'),   // radicals
    ('\u{3005}', '\u{3007}'),   // Chinese marks that count as letters
    ('\u{3021}', '\u{3035}'),   // likewise
    ('\u{303b}', '\u{303c}'),   // likewise
    ('\u{3041}', '\u{31bf}'),   // Japanese; Chinese and Korean letters
    ('\u{31f0}', '\u{31ff}'),   // Ainu
    ('\u{3400}', '\u{4dbf}'),   // Chinese
    ('\u{4e00}', '\u{9fff}'),   // Chinese
    ('\u{a000}', '\u{a4cf}'),   // Yi
    ('\u{a960}', '\u{a97f}'),   // Korean letters
    ('\u{a980}', '\u{a9ff}'),   // Javanese, Burmese
    ('\u{aa60}', '\u{aadf}'),   // Burmese, Tai Viet
    ('\u{ac00}', '\u{d7ff}'),   // Korean
    ('\u{f900}', '\u{faff}'),   // Chinese
    ('\u{1aff0}', '\u{1b2ff}'), // Japanese
    ('\u{1f000}', '\u{1faff}'), // pictures
    ('\u{20000}', '\u{3ffff}'), // Chinese
];

/// What people leave out: accents, vowel points, and characters without a form of their own.
const LEFT_OUT: [(char, char); 31] = [
    ('\u{ad}', '\u{ad}'),       // a hyphen where a line may break
    ('\u{300}', '\u{36f}'),     // accents
    ('\u{483}', '\u{489}'),     // Cyrillic
    ('\u{591}', '\u{5bd}'),     // Hebrew points
    ('\u{5bf}', '\u{5bf}'),     // likewise
    ('\u{5c1}', '\u{5c2}'),     // likewise
    ('\u{5c4}', '\u{5c5}'),     // likewise
    ('\u{5c7}', '\u{5c7}'),     // likewise
    ('\u{610}', '\u{61a}'),     // Arabic points
    ('\u{61c}', '\u{61c}'),     // the direction of writing
    ('\u{640}', '\u{640}'),     // an Arabic letter made longer
    ('\u{64b}', '\u{65f}'),     // Arabic points
    ('\u{670}', '\u{670}'),     // likewise
    ('\u{6d6}', '\u{6dc}'),     // likewise
    ('\u{6df}', '\u{6e4}'),     // likewise
    ('\u{6e7}', '\u{6e8}'),     // likewise
    ('\u{6ea}', '\u{6ed}'),     // likewise
    ('\u{711}', '\u{711}'),     // Syriac
    ('\u{730}', '\u{74a}'),     // Syriac
    ('\u{180b}', '\u{180f}'),   // Mongolian forms of a letter
    ('\u{1ab0}', '\u{1aff}'),   // accents
    ('\u{1dc0}', '\u{1dff}'),   // likewise
    ('\u{200b}', '\u{200f}'),   // joins, breaks and directions
    ('\u{202a}', '\u{202e}'),   // directions
    ('\u{2060}', '\u{206f}'),   // joins, breaks and directions
    ('\u{20d0}', '\u{20ff}'),   // rings around a letter
    ('\u{fe00}', '\u{fe0f}'),   // forms of a letter, or of a picture
    ('\u{fe20}', '\u{fe2f}'),   // accents
    ('\u{feff}', '\u{feff}'),   // the mark of byte order
    ('\u{1f3fb}', '\u{1f3ff}'), // skin
    ('\u{e0000}', '\u{e0fff}'), // forms of a letter, flags of regions
];

/// Letters that are written in another way as often, and that no table of Unicode's takes apart.
fn plainly(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'ł' => "l",
        'ŧ' => "t",
        'ς' => "σ",
        'ى' | 'ی' => "ي",
        'ک' => "ك",
        'ة' => "ه",
        _ => return None,
    })
}

/// Shows `each` letter of a text, and each gap, in order, until it breaks.
pub(super) fn each_letter(text: &str, mut each: impl FnMut(Letter) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut chars = text.char_indices().peekable();
    let (mut read, mut folded) = (String::new(), String::new());
    while let Some((from, first)) = chars.next() {
        let is_marked = chars.peek().is_some_and(|(_, next)| is_read_with_the_last(*next));
        if is_plain(first) && !is_marked {
            let char = first.to_ascii_lowercase();
            each(Letter { char, kind: kind(char), place: from..from + first.len_utf8() })?;
            continue;
        }
        read.clear();
        read.push(first);
        for _ in 0..MARKS_MAX {
            let Some((_, mark)) = chars.next_if(|(_, next)| is_read_with_the_last(*next)) else { break };
            read.push(mark);
        }
        folded.clear();
        read.nfkd().filter(|c| !is_in(&LEFT_OUT, *c)).for_each(|c| fold(c, &mut folded));
        let place = from..from + read.len();
        folded.nfc().try_for_each(|char| each(Letter { char, kind: kind(char), place: place.clone() }))?;
    }
    ControlFlow::Continue(())
}

/// What needs no table, for speed: nothing is folded but ASCII.
fn is_plain(c: char) -> bool {
    c.is_ascii() || ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// What changes the letter before it: marks, and the parts of a Korean or a narrow Japanese one.
fn is_read_with_the_last(c: char) -> bool {
    let is_part = matches!(c, '\u{1160}'..='\u{11ff}' | '\u{ff9e}' | '\u{ff9f}');
    !c.is_ascii() && (is_part || is_combining_mark(c))
}

fn fold(c: char, into: &mut String) {
    for small in c.to_lowercase() {
        match plainly(small) {
            Some(plain) => into.push_str(plain),
            None => into.push(small),
        }
    }
}

fn kind(c: char) -> Kind {
    match c.is_alphanumeric() || !c.is_ascii() && (is_combining_mark(c) || is_picture(c)) {
        false => Kind::Gap,
        true if !c.is_ascii() && is_in(&UNSPACED, c) => Kind::Unspaced,
        true => Kind::Spaced,
    }
}

fn is_picture(c: char) -> bool {
    matches!(c, '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// Whether one of the ranges, which are in order, holds the character.
fn is_in(ranges: &[(char, char)], c: char) -> bool {
    let at = ranges.partition_point(|(_, last)| *last < c);
    ranges.get(at).is_some_and(|(first, _)| *first <= c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_past_the_bound_are_letters_of_their_own() {
        for (marks, pieces) in [(MARKS_MAX - 1, 1), (MARKS_MAX, 1), (MARKS_MAX + 1, 2)] {
            let mut places = Vec::new();
            let _ = each_letter(&format!("क{}", "\u{93c}".repeat(marks)), |letter| {
                places.push(letter.place);
                ControlFlow::Continue(())
            });
            places.dedup();
            assert_eq!(places.len(), pieces, "{marks}");
        }
    }

    #[test]
    fn the_ranges_are_in_order() {
        for ranges in [&UNSPACED[..], &LEFT_OUT] {
            assert!(ranges.iter().all(|(first, last)| first <= last));
            assert!(ranges.windows(2).all(|two| two[0].1 < two[1].0));
        }
    }
}
