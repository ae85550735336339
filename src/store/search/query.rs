//! What a person searches for.
//!
//! Rule: nobody's words are ever FTS5 syntax: they are quoted, and no term holds a quote.

use std::{fmt::Write, ops::ControlFlow};

use super::terms::{TermKind, each_term};

/// Words of a search that count; what follows is ignored.
const WORDS_MAX: usize = 16;
/// Terms of a search that count: what is written without spaces is one word of many.
const TERMS_MAX: usize = 64;

/// Words that must all be found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Query {
    pub(super) words: Vec<Word>,
}

/// Terms that must follow each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub terms: Vec<String>,
    /// Whether the last term may be the beginning of a longer one.
    pub is_open: bool,
}

impl Query {
    /// Takes apart what a person typed. The last word may be the beginning of one, and what is written without spaces any
    /// part of a sentence.
    pub fn of(typed: &str) -> Self {
        let (mut words, mut count): (Vec<Vec<(String, TermKind)>>, usize) = (Vec::new(), 0);
        each_term(typed, |term| {
            let is_new = words.is_empty() || !term.is_joined;
            if count == TERMS_MAX || is_new && words.len() == WORDS_MAX {
                return ControlFlow::Break(());
            }
            count += 1;
            let named = (term.text.to_owned(), term.kind);
            match words.last_mut() {
                Some(word) if !is_new => word.push(named),
                _ => words.push(vec![named]),
            }
            ControlFlow::Continue(())
        });
        let last = words.len().saturating_sub(1);
        Query { words: words.into_iter().enumerate().map(|(at, terms)| Word::of(terms, at == last)).collect() }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// As FTS5 takes it.
    pub fn expression(&self) -> String {
        let mut expression = String::new();
        for word in &self.words {
            let star = if word.is_open { "*" } else { "" };
            let gap = if expression.is_empty() { "" } else { " " };
            // A String takes every write.
            let _ = write!(expression, "{gap}\"{}\"{star}", word.terms.join(" "));
        }
        expression
    }
}

impl Word {
    fn of(mut terms: Vec<(String, TermKind)>, is_last: bool) -> Self {
        let is_open = match *terms.as_slice() {
            // What ends here may go on in the text: the pair before says it all.
            [.., (_, TermKind::Pair), (_, TermKind::Last)] => {
                terms.pop();
                false
            }
            [.., (_, TermKind::Last)] => true,
            [.., (_, TermKind::Word)] => is_last,
            _ => false,
        };
        Word { terms: terms.into_iter().map(|(term, _)| term).collect(), is_open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(typed: &str) -> String {
        Query::of(typed).expression()
    }

    #[test]
    fn no_words_are_syntax() {
        assert_eq!(expression("a OR \"b* NEAR("), "\"a\" \"or\" \"b\" \"near\"*");
        assert_eq!(expression(" \"' * "), "");
        assert_eq!(expression("col:x ^y {z} -“q”\0"), "\"col\" \"x\" \"y\" \"z\" \"q\"*");
    }

    #[test]
    fn what_is_written_without_spaces_is_looked_for_anywhere_in_a_sentence() {
        for (typed, expected) in [
            ("天气", "\"天气\""),
            ("天", "\"天\"*"),
            ("天 气", "\"天\"* \"气\"*"),
            ("北京天气", "\"北京 京天 天气\""),
            ("检查nginx", "\"检查 查 nginx\"*"),
            ("nginx后", "\"nginx 后\"*"),
            ("nginx日志 error", "\"nginx 日志\" \"error\"*"),
            ("5月", "\"5 月\"*"),
            ("node.js", "\"node\" \"js\"*"),
            ("🎉", "\"🎉\"*"),
        ] {
            assert_eq!(expression(typed), expected, "{typed}");
        }
    }

    #[test]
    fn words_past_the_bound_are_left_out() {
        for (words, counted) in [(WORDS_MAX - 1, 15), (WORDS_MAX, 16), (WORDS_MAX + 1, 16)] {
            assert_eq!(expression(&"a ".repeat(words)).split(' ').count(), counted, "{words}");
        }
    }

    #[test]
    fn terms_past_the_bound_are_left_out() {
        // A run of so many letters is one pair fewer.
        for (letters, counted) in [(TERMS_MAX, 63), (TERMS_MAX + 1, 64), (TERMS_MAX + 2, 64), (10_000, 64)] {
            let query = Query::of(&"好".repeat(letters));
            assert_eq!((query.words.len(), query.words[0].terms.len()), (1, counted), "{letters}");
        }
        assert_eq!(Query::of(&format!("{} x", "好".repeat(100))).words.len(), 1, "no word is empty");
    }
}
