//! The place of a text where it holds what was searched for, as it was written.

use std::ops::{ControlFlow, Range};

use unicode_normalization::char::is_combining_mark;

use super::{
    query::{Query, Word},
    terms::{Term, each_term},
};

/// Letters of a snippet, and how many of them stand before what was found.
const SNIPPET_CHARS: usize = 96;
const LEAD_CHARS: usize = 24;
/// How far into a text a snippet is looked for; past it the text's beginning is shown.
const SCAN_BYTES_MAX: usize = 1024 * 1024;
/// Places that are compared for the one with most of the words.
const PLACES_MAX: usize = 64;

/// A part of `text` that shows as many of the words together as can be, with `…` where the text goes on.
pub(in crate::store) fn snippet(text: &str, query: &Query) -> String {
    let scanned = (0..=text.len().min(SCAN_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let places = places(&text[..scanned], &query.words);
    // Of those with most words within reach, the first.
    let words_from = |at: usize| {
        let reach = places[at].1.start + SNIPPET_CHARS - LEAD_CHARS;
        let mut words: Vec<_> = places[at..].iter().take_while(|(_, place)| place.end <= reach).collect();
        words.sort_by_key(|(word, _)| *word);
        words.dedup_by_key(|(word, _)| *word);
        words.len()
    };
    let best = (0..places.len()).rev().max_by_key(|at| words_from(*at));
    cut(text, best.map_or(0..0, |at| places[at].1.clone()))
}

/// Where which word is, in the order of their ends.
fn places(text: &str, words: &[Word]) -> Vec<(usize, Range<usize>)> {
    let mut places = Vec::new();
    // How far each word has come, and where it began.
    let mut begun: Vec<Vec<(usize, usize)>> = vec![Vec::new(); words.len()];
    each_term(text, |term| {
        for (at, (word, begun)) in words.iter().zip(&mut begun).enumerate() {
            begun.push((0, term.place.start));
            begun.retain_mut(|(done, from)| {
                let goes_on = word.goes_on(*done, &term);
                *done += 1;
                if goes_on && *done == word.terms.len() {
                    places.push((at, *from..term.place.end));
                }
                goes_on && *done < word.terms.len()
            });
        }
        if places.len() < PLACES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    places
}

impl Word {
    /// Whether `term` is the one after the first `done`.
    fn goes_on(&self, done: usize, term: &Term<'_>) -> bool {
        let wanted = &self.terms[done];
        term.text == wanted || self.is_open && done + 1 == self.terms.len() && term.text.starts_with(wanted.as_str())
    }
}

/// The text around a place, cut between words where there are any.
fn cut(text: &str, place: Range<usize>) -> String {
    let before = text[..place.start].char_indices().rev().take(LEAD_CHARS).last().map_or(place.start, |(at, _)| at);
    let from = match text[before..place.start].find(char::is_whitespace) {
        Some(gap) if before > 0 => before + gap,
        _ => before,
    };
    let after = text[from..].char_indices().nth(SNIPPET_CHARS).map_or(text.len(), |(at, _)| from + at);
    let to = match text[..after].rfind(char::is_whitespace) {
        Some(gap) if after < text.len() && gap >= place.end.max(from + 1) => gap,
        _ => after,
    };
    // A mark stays with its letter.
    let shown = text[from..to].trim_start_matches(is_combining_mark).trim();
    let (left, right) = (if from > 0 { "…" } else { "" }, if to < text.len() { "…" } else { "" });
    format!("{left}{shown}{right}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, words: &str) -> String {
        snippet(text, &Query::of(words))
    }

    #[test]
    fn a_short_text_is_shown_whole_and_as_it_was_written() {
        for (text, words) in [
            ("今天北京的天气很好，我们去公园吧", "天气"),
            ("ＮＧＩＮＸ Größe\u{301}", "nginx"),
            ("Straße", "STRASSE"),
            ("nothing of the kind", "other"),
            ("", "x"),
        ] {
            assert_eq!(shown(text, words), text);
        }
    }

    #[test]
    fn a_long_text_is_cut_around_what_was_found() {
        let text = format!("{} Heliotrope blooms {}", "before ".repeat(50), "after ".repeat(50));
        let cut = shown(&text, "heliotrope");
        assert!(cut.starts_with("…before before") && cut.contains("Heliotrope blooms after"), "{cut}");
        assert!(cut.ends_with("after…") && cut.chars().count() <= SNIPPET_CHARS + 2, "{cut}");
        let text = format!("{}京都に行きたい{}", "あ".repeat(500), "い".repeat(500));
        let cut = shown(&text, "京都");
        assert_eq!(cut.chars().count(), SNIPPET_CHARS + 2);
        assert_eq!(cut.chars().position(|c| c == '京'), Some(LEAD_CHARS + 1));
        assert_eq!(shown(&"x".repeat(1_000), "x").chars().count(), SNIPPET_CHARS + 1, "a word without an end");
        assert!(!shown(&format!("{}z", "e\u{301}".repeat(500)), "none").starts_with('\u{301}'));
    }

    #[test]
    fn the_place_with_most_words_is_shown() {
        let text = format!("tea first, {} then green tea leaves {}", "x ".repeat(200), "y ".repeat(200));
        assert!(shown(&text, "green leaves tea").contains("green tea leaves"));
        assert!(shown(&text, "tea").contains("tea first"));
        let text = format!("天地 {} 天气 {}", "x ".repeat(200), "y ".repeat(200));
        assert!(shown(&text, "天气").contains("天气"), "the whole word, and not its beginning");
        let best_after =
            |tea: usize| shown(&format!("{}{} green tea", "tea ".repeat(tea), "x ".repeat(200)), "green tea");
        for (tea, is_looked_at) in [(PLACES_MAX - 2, true), (PLACES_MAX - 1, false), (PLACES_MAX, false)] {
            assert_eq!(best_after(tea).contains("green tea"), is_looked_at, "{tea}");
        }
    }

    #[test]
    fn what_lies_past_the_scan_is_not_looked_for() {
        for (bytes, is_found) in [(SCAN_BYTES_MAX - 8, true), (SCAN_BYTES_MAX, false)] {
            let text = format!("{} needle", "x ".repeat(bytes / 2 - 1));
            assert_eq!(shown(&text, "needle").contains("needle"), is_found, "{bytes}");
        }
    }
}
