//! Thoughts in the text: what stands between tags at the start of a reply is reasoning.
//!
//! Rule: how the bytes are split changes nothing; tags elsewhere stay text; once the server itself sends reasoning, all
//! tags are text. Where the model's template opens the tag, only its end comes: then the reply begins in reasoning.

use std::borrow::Cow;

/// The tags: what begins thoughts, and what ends them.
const TAGS: [(&str, &str); 3] =
    [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>")];

/// How far the end of thoughts that nothing began is looked for. Past it, they are text.
pub(super) const THINK_SCAN_BYTES_MAX: usize = 64 * 1024;

/// Blanks that are held because a tag may follow them.
const BLANKS_BYTES_MAX: usize = 1024;

/// What words are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Text,
    Reasoning,
}

/// Sorts the text of one reply.
#[derive(Debug, Default)]
pub(super) struct Tags {
    state: State,
    /// The template of the model is known to open the tag.
    is_opened: bool,
    /// What may be a part of a tag, or blanks that a tag may follow.
    held: String,
    /// What was taken for reasoning because of the template alone.
    assumed: String,
    /// How much text was looked through, and its last character.
    scanned: usize,
    last: Option<char>,
    has_thoughts: bool,
    closed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum State {
    /// Nothing but blanks has come.
    #[default]
    Begin,
    /// In the thoughts that a tag began; they end with this.
    Thoughts(&'static str),
    /// In thoughts, if the template began them.
    Assumed,
    /// After the thoughts: blanks are passed over.
    Ended,
    /// In the answer, where an end without a beginning may still come.
    Answer,
    /// All is text.
    Off,
}

impl Tags {
    /// For a model whose template opens the tag, or may not.
    pub fn new(is_opened: bool) -> Self {
        Self { is_opened, ..Self::default() }
    }

    /// Whether some of the text was thoughts.
    pub fn has_thoughts(&self) -> bool {
        self.has_thoughts
    }

    /// Whether the template opens the tag, as far as this reply shows.
    pub fn is_opened(&self) -> Option<bool> {
        let is_wrong = self.is_opened && self.state == State::Off && !self.assumed.is_empty();
        if self.closed { Some(true) } else { is_wrong.then_some(false) }
    }

    /// Takes the next text and says what is decided of it.
    pub fn text(&mut self, text: &str, say: &mut impl FnMut(Kind, &str)) {
        let held = std::mem::take(&mut self.held);
        let joined = if held.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(held + text) };
        let mut rest = &*joined;
        while let Some(more) = self.sort(rest, say) {
            rest = more;
        }
    }

    /// What is held is said: something else comes.
    pub fn flush(&mut self, say: &mut impl FnMut(Kind, &str)) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            // An end at the very end has no answer after it.
            State::Answer if is_end(&held).is_some_and(|end| end == held) && self.last != Some('`') => {
                self.closed = true
            }
            State::Thoughts(_) | State::Assumed => self.think(&held, say),
            State::Begin if held.is_empty() => {}
            _ => {
                self.answer(&held, say);
                self.state = State::Off;
            }
        }
    }

    /// The server sends reasoning itself.
    pub fn off(&mut self, say: &mut impl FnMut(Kind, &str)) {
        self.flush(say);
        self.state = State::Off;
    }

    /// The reply came to its own end: what was taken for thoughts without a sign of them was the answer.
    pub fn complete(&mut self, say: &mut impl FnMut(Kind, &str)) {
        if self.state == State::Assumed {
            self.state = State::Off;
            say(Kind::Text, &self.assumed);
        }
    }

    /// Says what is decided of `text`, and returns what is to be looked at again.
    fn sort<'a>(&mut self, text: &'a str, say: &mut impl FnMut(Kind, &str)) -> Option<&'a str> {
        match self.state {
            State::Begin => self.begin(text),
            State::Thoughts(end) => self.thoughts(text, &[end], say),
            State::Assumed => self.thoughts(text, &TAGS.map(|(_, end)| end), say),
            State::Ended => {
                let answer = text.trim_start();
                if !answer.is_empty() {
                    self.state = State::Off;
                }
                Some(answer).filter(|answer| !answer.is_empty())
            }
            State::Answer => self.look(text, say),
            State::Off => {
                self.answer(text, say);
                None
            }
        }
    }

    fn begin<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let begun = text.trim_start();
        for (start, end) in TAGS {
            if let Some(after) = begun.strip_prefix(start) {
                self.state = State::Thoughts(end);
                return Some(after);
            }
            if let Some(after) = begun.strip_prefix(end) {
                self.state = State::Ended;
                self.closed = true;
                return Some(after);
            }
        }
        let may_begin = TAGS.iter().any(|(start, end)| start.starts_with(begun) || end.starts_with(begun));
        if may_begin && text.len() <= BLANKS_BYTES_MAX {
            text.clone_into(&mut self.held);
            return None;
        }
        self.state = if self.is_opened { State::Assumed } else { State::Answer };
        Some(text)
    }

    fn thoughts<'a>(&mut self, text: &'a str, ends: &[&str], say: &mut impl FnMut(Kind, &str)) -> Option<&'a str> {
        let found = ends.iter().filter_map(|end| Some((text.find(end)?, end.len()))).min();
        if let Some((at, length)) = found {
            self.closed |= self.state == State::Assumed;
            self.think(&text[..at], say);
            self.state = State::Ended;
            return Some(&text[at + length..]);
        }
        let (said, held) = text.split_at(text.len() - tail_bytes(text, ends));
        held.clone_into(&mut self.held);
        self.think(said, say);
        if self.state == State::Assumed && self.assumed.len() > THINK_SCAN_BYTES_MAX {
            self.complete(say);
        }
        None
    }

    /// Looks for an end that nothing began: it stands where a line ends.
    fn look<'a>(&mut self, text: &'a str, say: &mut impl FnMut(Kind, &str)) -> Option<&'a str> {
        let tags: Vec<&str> = TAGS.iter().flat_map(|(start, end)| [*start, *end]).collect();
        let Some((at, tag)) = tags.iter().filter_map(|tag| Some((text.find(tag)?, *tag))).min() else {
            let (said, held) = text.split_at(text.len() - tail_bytes(text, &tags));
            held.clone_into(&mut self.held);
            self.answer(said, say);
            return None;
        };
        let (before, after) = (&text[..at], &text[at + tag.len()..]);
        if before.len() + self.scanned <= THINK_SCAN_BYTES_MAX && is_end(tag).is_some() {
            if after.is_empty() {
                text[at..].clone_into(&mut self.held);
                self.answer(before, say);
                return None;
            }
            let is_quoted = before.chars().next_back().or(self.last) == Some('`');
            if after.starts_with(['\n', '\r']) && !is_quoted {
                self.closed = true;
                self.answer(before, say);
                self.state = State::Off;
                return Some(after);
            }
        }
        self.state = State::Off;
        Some(text)
    }

    fn think(&mut self, text: &str, say: &mut impl FnMut(Kind, &str)) {
        let text = if self.has_thoughts { text } else { text.trim_start() };
        if text.is_empty() {
            return;
        }
        self.has_thoughts = true;
        if self.state == State::Assumed {
            self.assumed.push_str(text);
        }
        say(Kind::Reasoning, text);
    }

    fn answer(&mut self, text: &str, say: &mut impl FnMut(Kind, &str)) {
        self.scanned += text.len();
        self.last = text.chars().next_back().or(self.last);
        if self.state == State::Answer && self.scanned > THINK_SCAN_BYTES_MAX {
            self.state = State::Off;
        }
        if !text.is_empty() {
            say(Kind::Text, text);
        }
    }
}

fn is_end(text: &str) -> Option<&'static str> {
    TAGS.iter().map(|(_, end)| *end).find(|end| *end == text)
}

/// How many bytes at the end of `text` begin one of the tags.
fn tail_bytes(text: &str, tags: &[&str]) -> usize {
    let Some(at) = text.rfind('<') else { return 0 };
    let tail = &text[at..];
    if tags.iter().any(|tag| tag.starts_with(tail)) { tail.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pieces become: reasoning, text, and what is learned of the template.
    fn sorted(is_opened: bool, pieces: &[&str], is_complete: bool) -> (String, String, Option<bool>) {
        let (mut tags, mut said) = (Tags::new(is_opened), (String::new(), String::new()));
        let mut say = |kind: Kind, text: &str| match kind {
            Kind::Reasoning => said.0.push_str(text),
            Kind::Text => said.1.push_str(text),
        };
        pieces.iter().for_each(|piece| tags.text(piece, &mut say));
        tags.flush(&mut say);
        if is_complete {
            tags.complete(&mut say);
        }
        (said.0, said.1, tags.is_opened())
    }

    /// The same of a text, however it is cut in two or into characters.
    fn whole(is_opened: bool, text: &str) -> (String, String, Option<bool>) {
        let expected = sorted(is_opened, &[text], true);
        for at in 0..=text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(sorted(is_opened, &[head, tail], true), expected, "{head:?} {tail:?}");
        }
        let letters: Vec<_> = text.split("").collect();
        assert_eq!(sorted(is_opened, &letters, true), expected, "{text:?} letter by letter");
        expected
    }

    #[test]
    fn thoughts_in_tags_at_the_start_are_reasoning_however_they_are_split() {
        for (text, thoughts, answer) in [
            ("<think>Let me see.</think>\n\nParis.", "Let me see.", "Paris."),
            (" \n<think>\nLet me see.\n</think>Paris. ", "Let me see.\n", "Paris. "),
            ("<thinking>a</think>b</thinking>c", "a</think>b", "c"),
            ("<reasoning>a</reasoning>b", "a", "b"),
            ("<think></think>b", "", "b"),
            ("<think>\n\n</think>\n\nb", "", "b"),
            ("<think>a < b <think> </thin k></think>c<d", "a < b <think> </thin k>", "c<d"),
            ("<think>a</think>b <think>c</think>", "a", "b <think>c</think>"),
            ("<think>a</think>", "a", ""),
            ("<think>cut off </thi", "cut off </thi", ""),
            ("<think>", "", ""),
        ] {
            assert_eq!(whole(false, text), (thoughts.into(), answer.into(), None), "{text:?}");
        }
    }

    #[test]
    fn tags_elsewhere_stay_text() {
        for text in [
            "",
            " ",
            "a",
            "<",
            "<thi",
            "<thinks>a",
            "<b>a</b>",
            "Use `<think>` tags like <think>x</think> in the prompt.",
            "a <think>b</think>\nc",
            "It ends with `</think>`\nas you see",
            "It ends with </think> as you see",
            "a </thin",
            "\n\n a",
        ] {
            assert_eq!(whole(false, text), (String::new(), text.into(), None), "{text:?}");
        }
    }

    #[test]
    fn an_end_without_a_beginning_shows_that_the_template_opens_the_tag() {
        for (text, answer) in [
            ("Let me see.</think>\n\nParis.", "Let me see.\n\nParis."),
            ("Let me see.\n</think>", "Let me see.\n"),
            ("</think>\n\nParis.", "Paris."),
        ] {
            assert_eq!(whole(false, text), (String::new(), answer.into(), Some(true)), "{text:?}");
        }
        for (text, thoughts, answer) in [
            ("Let me see.</think>\n\nParis.", "Let me see.", "Paris."),
            ("\nLet me see.\n</thinking>Paris.", "Let me see.\n", "Paris."),
            ("</think>Paris.", "", "Paris."),
        ] {
            assert_eq!(whole(true, text), (thoughts.into(), answer.into(), Some(true)), "{text:?}");
        }
        let begun = whole(true, "<think>a</think>b");
        assert_eq!(begun, ("a".into(), "b".into(), None), "the tag is opened after all");
    }

    #[test]
    fn what_was_taken_for_thoughts_without_a_sign_of_them_is_the_answer() {
        assert_eq!(whole(true, "Paris."), ("Paris.".into(), "Paris.".into(), Some(false)));
        assert_eq!(sorted(true, &["Paris."], false), ("Paris.".into(), String::new(), None), "cut off in its thoughts");
    }

    #[test]
    fn the_end_of_thoughts_is_looked_for_up_to_the_bound() {
        for (bytes, is_found) in
            [(THINK_SCAN_BYTES_MAX - 1, true), (THINK_SCAN_BYTES_MAX, true), (THINK_SCAN_BYTES_MAX + 1, false)]
        {
            let thoughts = "x".repeat(bytes);
            let (reasoning, text, opened) = sorted(true, &[&thoughts, "</think>\na"], true);
            let answer = if is_found { "a".to_owned() } else { thoughts.clone() + "</think>\na" };
            assert_eq!((reasoning == thoughts, text == answer, opened), (true, true, Some(is_found)), "{bytes}");
            let (_, text, opened) = sorted(false, &[&thoughts, "</think>\na"], true);
            let kept = text == thoughts.clone() + "</think>\na";
            assert_eq!((kept, opened), (!is_found, is_found.then_some(true)), "{bytes}");
        }
        // What a tag began has no bound.
        let long = "x".repeat(THINK_SCAN_BYTES_MAX + 1);
        assert_eq!(sorted(false, &["<think>", &long, "</think>a"], true), (long, "a".into(), None));
        for (blanks, is_tag) in
            [(BLANKS_BYTES_MAX - 5, true), (BLANKS_BYTES_MAX - 4, true), (BLANKS_BYTES_MAX - 3, false)]
        {
            let (blanks, mut thoughts) = (" ".repeat(blanks), String::new());
            let mut tags = Tags::new(false);
            [&blanks, "<thi", "nk>a"].into_iter().for_each(|piece| {
                tags.text(piece, &mut |kind, text| {
                    if kind == Kind::Reasoning {
                        thoughts.push_str(text)
                    }
                })
            });
            assert_eq!(thoughts == "a", is_tag, "{}", blanks.len());
        }
    }

    #[test]
    fn tags_are_text_once_the_server_sends_reasoning_itself() {
        let (mut tags, mut text) = (Tags::new(false), String::new());
        tags.text("<thi", &mut |_, more| text.push_str(more));
        tags.off(&mut |kind, more| {
            assert_eq!(kind, Kind::Text);
            text.push_str(more);
        });
        tags.text("nk>a</think>\nb", &mut |kind, more| {
            assert_eq!(kind, Kind::Text);
            text.push_str(more);
        });
        assert_eq!(text, "<think>a</think>\nb");
    }
}
