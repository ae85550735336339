//! Text as the index holds it: term after term.
//!
//! A word of a script with spaces is one term. Of a script without them, each letter is a term together with the one
//! that follows it, and the last one of a run is a term alone: so any part of a sentence is a row of terms, a single letter
//! is the beginning of one, and no dictionary is needed. 天气好 is 天气, 气好, 好.

use std::ops::{ControlFlow, Range};

use super::letters::{Kind, Letter, each_letter};

/// Bytes of a word that count: longer ones that begin alike are one. It is data then, and nobody searches for it.
const TERM_BYTES_MAX: usize = 256;

/// Bytes of a text's terms that are kept; words past it are not found.
const TERMS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One term of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Term<'a> {
    pub text: &'a str,
    pub kind: TermKind,
    /// Whether nothing stands between it and the term before.
    pub is_joined: bool,
    /// The bytes that it was made of.
    pub place: Range<usize>,
}

/// What a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TermKind {
    /// A word between spaces.
    Word,
    /// Two letters that follow each other.
    Pair,
    /// The last letter of a run.
    Last,
}

/// Shows `each` term of a text in order, until it breaks.
pub(super) fn each_term(text: &str, each: impl FnMut(Term<'_>) -> ControlFlow<()>) {
    let mut writer = TermWriter { term: String::new(), open: None, is_joined: false, each };
    let _has_enough = each_letter(text, |letter| writer.take(&letter)).is_break() || writer.close().is_break();
}

/// A text's terms, with spaces between them.
pub(super) fn terms_of(text: &str) -> String {
    let mut terms = String::with_capacity(text.len().min(TERMS_BYTES_MAX));
    each_term(text, |term| {
        if terms.len() + term.text.len() >= TERMS_BYTES_MAX {
            return ControlFlow::Break(());
        }
        terms.push_str(term.text);
        terms.push(' ');
        ControlFlow::Continue(())
    });
    terms
}

/// Makes terms of letters.
struct TermWriter<F> {
    /// The word so far, or the letter that waits for the next one.
    term: String,
    open: Option<(TermKind, Range<usize>)>,
    is_joined: bool,
    each: F,
}

impl<F: FnMut(Term<'_>) -> ControlFlow<()>> TermWriter<F> {
    fn take(&mut self, letter: &Letter) -> ControlFlow<()> {
        match (&mut self.open, letter.kind) {
            (_, Kind::Gap) => {
                self.close()?;
                self.is_joined = false;
                return ControlFlow::Continue(());
            }
            (Some((TermKind::Word, place)), Kind::Spaced) => {
                if self.term.len() + letter.char.len_utf8() <= TERM_BYTES_MAX {
                    self.term.push(letter.char);
                }
                place.end = letter.place.end;
                return ControlFlow::Continue(());
            }
            (Some((TermKind::Last, place)), Kind::Unspaced) => {
                self.term.push(letter.char);
                let place = place.start..letter.place.end;
                self.show(TermKind::Pair, place)?;
            }
            _ => self.close()?,
        }
        let kind = if letter.kind == Kind::Spaced { TermKind::Word } else { TermKind::Last };
        self.term.push(letter.char);
        self.open = Some((kind, letter.place.clone()));
        ControlFlow::Continue(())
    }

    /// Ends the term that is open.
    fn close(&mut self) -> ControlFlow<()> {
        match self.open.take() {
            Some((kind, place)) => self.show(kind, place),
            None => ControlFlow::Continue(()),
        }
    }

    fn show(&mut self, kind: TermKind, place: Range<usize>) -> ControlFlow<()> {
        let shown = (self.each)(Term { text: &self.term, kind, is_joined: self.is_joined, place });
        self.term.clear();
        self.is_joined = true;
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The terms of a text, with `|` where something stands between two.
    fn terms(text: &str) -> String {
        let mut written = String::new();
        each_term(text, |term| {
            written.push_str(if written.is_empty() {
                ""
            } else if term.is_joined {
                " "
            } else {
                " | "
            });
            written.push_str(term.text);
            assert!(text.get(term.place.clone()).is_some_and(|place| !place.is_empty()), "{text} {term:?}");
            ControlFlow::Continue(())
        });
        written
    }

    #[test]
    fn a_script_without_spaces_is_pairs_of_letters_and_others_are_words() {
        for (text, expected) in [
            ("", ""),
            (" -- ", ""),
            ("天气好", "天气 气好 好"),
            ("好", "好"),
            ("请检查nginx后的日志。", "请检 检查 查 nginx 后的 的日 日志 志"),
            ("nginx 日志", "nginx | 日志 志"),
            ("3D打印 v2.0", "3d 打印 印 | v2 | 0"),
            ("你好，世界", "你好 好 | 世界 界"),
            ("서울에서 만나요", "서울 울에 에서 서 | 만나 나요 요"),
            ("ข้าว", "ข\u{e49} \u{e49}า าว ว"),
            ("東京タワー", "東京 京タ タワ ワー ー"),
            ("ジョン・スミス", "ジョ ョン ン | スミ ミス ス"),
            ("हिन्दी में", "हिन्दी | में"),
            ("yes 🎉🎉 ok🎉", "yes | 🎉🎉 🎉 | ok 🎉"),
        ] {
            assert_eq!(terms(text), expected, "{text}");
        }
    }

    #[test]
    fn of_a_word_so_many_bytes_count_and_no_letter_is_split() {
        for (letter, bytes) in [("a", 1), ("щ", 2)] {
            let fits = TERM_BYTES_MAX / bytes;
            for letters in [fits - 1, fits, fits + 1] {
                assert_eq!(terms(&letter.repeat(letters)), letter.repeat(letters.min(fits)), "{letters} of {letter}");
            }
        }
    }

    #[test]
    fn what_people_write_in_several_ways_is_one_term() {
        for forms in [
            &["Café", "CAFE", "cafe\u{301}", "ｃａｆｅ"][..],
            &["타워", "타워"],
            &["タワー", "ﾀﾜｰ"],
            &["ガラス", "ｶﾞﾗｽ", "カ\u{3099}ラス"],
            &["Straße", "STRASSE", "STRAẞE", "strasse"],
            &["İstanbul", "ISTANBUL", "ıstanbul", "istanbul"],
            &["ΟΔΟΣ", "οδος", "οδοσ", "οδός"],
            &["МОСКВА", "москва"],
            &["ёлка", "елка"],
            &["Đà Nẵng", "da nang", "đà nẵng"],
            &["Łódź", "lodz"],
            &["شَمْس", "شمس", "شـمس"],
            &["أحمد", "احمد"],
            &["شَلוֹם", "שלום"][1..],
            &["שָׁלוֹם", "שלום"],
            &["ﬁne", "fine"],
            &["１２３", "123", "①②③"],
            &["㈱", "(株)"],
            &["👍🏽", "👍"],
            &["❤\u{fe0f}", "❤"],
            &["👨\u{200d}👩", "👨👩"],
            &["co\u{ad}operate", "cooperate"],
            &["می\u{200c}خواهم", "ميخواهم"],
            &["ภาษา\u{200b}ไทย", "ภาษาไทย"],
        ] {
            for form in forms {
                assert_eq!(terms(form), terms(forms[0]), "{form}");
            }
        }
    }

    #[test]
    fn what_differs_stays_apart() {
        for (one, other) in [("か", "が"), ("ハ", "パ"), ("한", "하"), ("की", "का"), ("ข้าว", "ขาว"), ("漢", "汉")]
        {
            assert_ne!(terms(one), terms(other));
        }
    }

    #[test]
    fn a_word_counts_up_to_its_bound() {
        for (letters, counted) in [(255, 255), (256, 256), (257, 256), (100_000, 256)] {
            assert_eq!(terms(&"x".repeat(letters)).len(), counted, "{letters}");
        }
        assert_eq!(terms(&"é".repeat(300)).len(), 256);
        assert_eq!(terms(&"я".repeat(129)).len(), 256, "whole letters");
    }

    #[test]
    fn a_letter_under_a_million_marks_is_read_in_pieces() {
        assert_eq!(terms(&format!("z{}", "\u{301}".repeat(1_000_000))), "z");
        assert_eq!(terms(&format!("क{}", "\u{93c}".repeat(100))).chars().count(), 85, "what fits a word");
    }

    #[test]
    fn a_text_is_indexed_up_to_its_bound() {
        // Each letter but the last of a run is a term of seven bytes with its space, the last one of four.
        let filler = "好".repeat(TERMS_BYTES_MAX / 7);
        let room = TERMS_BYTES_MAX - terms_of(&filler).len() - 1;
        for (bytes, is_held) in [(room - 1, true), (room, true), (room + 1, false)] {
            let terms = terms_of(&format!("{filler} {}", "z".repeat(bytes)));
            assert_eq!(terms.ends_with("z "), is_held, "{bytes}");
            assert!(terms.len() <= TERMS_BYTES_MAX);
        }
    }
}
