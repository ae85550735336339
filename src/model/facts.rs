//! What is known of a model beside what its owner told: what its server says of it, and what asking it has taught.
//!
//! Rule: plain values and the hour that is handed in. Rule: what was taught is forgotten after
//! [`LEARNED_AGE_MAX`], since a server may be another by then, and by whoever tests or refreshes the provider.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ThoughtsField;
use crate::time::Timestamp;

/// What a server said of its models is read again after this, and never on the way of a chat.
pub const FACTS_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// What was learned by asking is forgotten after this.
pub const LEARNED_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Most lessons kept of a model; past it the oldest goes.
pub const LESSONS_MAX: usize = 32;
/// Most measurements of bytes per token kept of a model, of which the lowest counts.
pub const MEASURES_MAX: usize = 8;
/// Between these a measurement of bytes per token is believed; beyond, the nearer one counts.
pub const BYTES_PER_TOKEN: std::ops::RangeInclusive<f64> = 1.0..=6.0;
/// A measurement that differs from the last by less than this share of it teaches nothing, so that most replies write nothing.
const MEASURE_STEP: f64 = 0.05;

/// Where the window of a model is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSource {
    /// Its owner said so.
    Told,
    /// Its server says so.
    Read,
    /// A refusal said so.
    Learned,
}

impl WindowSource {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            WindowSource::Told => "told",
            WindowSource::Read => "read",
            WindowSource::Learned => "learned",
        }
    }
}

/// What is known of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// What its server said when it was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Said>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lessons: Vec<Dated<Lesson>>,
    /// Bytes of a prompt for each of its tokens, as reported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    measures: Vec<Dated<f64>>,
}

/// What a server says of a model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Said {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Tokens that one conversation may fill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Whether it can call tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// Whether it can see images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<bool>,
}

/// What one request taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "what")]
pub enum Lesson {
    /// Its window, in tokens, as a refusal named it.
    Window { tokens: u32 },
    /// It refused tools.
    NoTools,
    /// It refused images.
    NoImages,
    /// It refused a field of the request, by its name.
    Refused {
        /// The field, as we call it.
        field: String,
        /// What it wants the field to be called; absent: it is left out.
        #[serde(skip_serializing_if = "Option::is_none")]
        instead: Option<String>,
    },
    /// The most tokens that it gives a reply.
    ReplyTokens { tokens: u32 },
    /// Whether its template opens the tag of its thoughts, so that only the end of it comes.
    OpensThoughts { opens: bool },
    /// The name under which it sends its thoughts, if they may go back to it.
    ThoughtsAt { field: String },
    /// How many bytes of a prompt made one of its tokens.
    BytesPerToken { bytes: f64 },
}

impl Said {
    /// Whether it is to be read again.
    pub fn is_old(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.at)) >= FACTS_AGE_MAX
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Dated<T> {
    at: i64,
    #[serde(rename = "is")]
    value: T,
}

impl<T> Dated<T> {
    fn counts(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.at)) < LEARNED_AGE_MAX
    }
}

impl Lesson {
    /// Whether `later` takes this one's place.
    fn is_of_the_kind_of(&self, later: &Lesson) -> bool {
        match (self, later) {
            (Lesson::Refused { field, .. }, Lesson::Refused { field: later, .. }) => field == later,
            _ => std::mem::discriminant(self) == std::mem::discriminant(later),
        }
    }
}

impl Facts {
    /// As the file keeps them. What cannot be read is a later or a foreign hand's: then nothing is known.
    pub fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The same lessons, beside what the server said.
    pub fn with_read(self, read: Option<Said>) -> Self {
        Facts { read, ..self }
    }

    /// For the file.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".into())
    }

    /// The window in tokens, and how it is known. Of what was read and what was learned the later counts.
    pub fn context_window(&self, now: Timestamp) -> Option<(u32, WindowSource)> {
        let read = self.read.as_ref().and_then(|said| Some((said.at, said.context_window?, WindowSource::Read)));
        let learned = self.lessons(now).find_map(|lesson| match lesson.value {
            Lesson::Window { tokens } => Some((lesson.at, tokens, WindowSource::Learned)),
            _ => None,
        });
        read.into_iter().chain(learned).max_by_key(|known| known.0).map(|(_, tokens, source)| (tokens, source))
    }

    /// Whether it can call tools; absent: unknown. A refusal weighs more than what its server says.
    pub fn tools(&self, now: Timestamp) -> Option<bool> {
        let refused = self.lessons(now).any(|lesson| lesson.value == Lesson::NoTools);
        if refused { Some(false) } else { self.read.as_ref()?.tools }
    }

    /// Whether it can see images; absent: unknown.
    pub fn images(&self, now: Timestamp) -> Option<bool> {
        let refused = self.lessons(now).any(|lesson| lesson.value == Lesson::NoImages);
        if refused { Some(false) } else { self.read.as_ref()?.images }
    }

    /// The most tokens that it gives a reply, as a refusal named them.
    pub fn reply_tokens(&self, now: Timestamp) -> Option<u32> {
        self.lessons(now).find_map(|lesson| match lesson.value {
            Lesson::ReplyTokens { tokens } => Some(tokens),
            _ => None,
        })
    }

    /// Whether its template opens the tag of its thoughts.
    pub fn opens_thoughts(&self, now: Timestamp) -> bool {
        self.lessons(now).any(|lesson| lesson.value == Lesson::OpensThoughts { opens: true })
    }

    /// The name under which it sends its thoughts; absent: it has sent none.
    pub fn thoughts_field(&self, now: Timestamp) -> Option<ThoughtsField> {
        self.lessons(now).find_map(|lesson| match &lesson.value {
            Lesson::ThoughtsAt { field } => ThoughtsField::of(field),
            _ => None,
        })
    }

    /// The fields that it refuses, each with the name that it wants instead.
    pub fn refused(&self, now: Timestamp) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.lessons(now).filter_map(|lesson| match &lesson.value {
            Lesson::Refused { field, instead } => Some((field.as_str(), instead.as_deref())),
            _ => None,
        })
    }

    /// The lowest number of bytes that a token took lately, so that an estimate errs towards more tokens.
    pub fn bytes_per_token(&self, now: Timestamp) -> Option<f64> {
        self.measures.iter().filter(|one| one.counts(now)).map(|one| one.value).min_by(f64::total_cmp)
    }

    /// Takes a lesson; whether it was news.
    pub fn learn(&mut self, lesson: Lesson, now: Timestamp) -> bool {
        let at = now.as_millis();
        if let Lesson::BytesPerToken { bytes } = lesson {
            return self.measure(bytes, now);
        }
        let known = self.lessons.iter().any(|known| known.value == lesson && known.counts(now));
        if known {
            return false;
        }
        self.lessons.retain(|known| known.counts(now) && !known.value.is_of_the_kind_of(&lesson));
        if self.lessons.len() >= LESSONS_MAX {
            self.lessons.remove(0);
        }
        self.lessons.push(Dated { at, value: lesson });
        true
    }

    fn measure(&mut self, bytes: f64, now: Timestamp) -> bool {
        if !bytes.is_finite() {
            return false;
        }
        let bytes = bytes.clamp(*BYTES_PER_TOKEN.start(), *BYTES_PER_TOKEN.end());
        let last = self.measures.last().filter(|last| last.counts(now));
        if last.is_some_and(|last| (last.value - bytes).abs() < last.value * MEASURE_STEP) {
            return false;
        }
        self.measures.retain(|one| one.counts(now));
        if self.measures.len() >= MEASURES_MAX {
            self.measures.remove(0);
        }
        self.measures.push(Dated { at: now.as_millis(), value: bytes });
        true
    }

    /// Forgets what was learned by asking.
    pub fn forget(&mut self) {
        self.lessons.clear();
        self.measures.clear();
    }

    fn lessons(&self, now: Timestamp) -> impl Iterator<Item = &Dated<Lesson>> {
        self.lessons.iter().filter(move |lesson| lesson.counts(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_760_000_000_000;

    fn at(after: Duration) -> Timestamp {
        Timestamp::from_millis(NOW).plus(after)
    }

    fn now() -> Timestamp {
        at(Duration::ZERO)
    }

    fn refused(field: &str, instead: Option<&str>) -> Lesson {
        Lesson::Refused { field: field.into(), instead: instead.map(Into::into) }
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_foreign_is_nothing() {
        let mut facts = Facts::default();
        assert_eq!(facts.to_text(), "{}");
        facts.read = Some(Said { at: NOW, context_window: Some(4096), tools: Some(true), images: None });
        let lessons =
            [Lesson::Window { tokens: 2048 }, Lesson::NoImages, Lesson::NoTools, refused("max_tokens", Some("n"))];
        assert!(lessons.into_iter().all(|lesson| facts.learn(lesson, now())));
        assert!(facts.learn(Lesson::BytesPerToken { bytes: 2.5 }, now()));
        assert_eq!(Facts::from_text(&facts.to_text()), facts);
        for foreign in ["", "[]", "null", r#"{"lessons":[{"at":1,"is":{"what":"later"}}]}"#] {
            assert_eq!(Facts::from_text(foreign), Facts::default(), "{foreign}");
        }
    }

    #[test]
    fn a_refusal_weighs_more_than_what_a_server_says_and_of_two_windows_the_later() {
        let said = |at, window| Some(Said { at, context_window: Some(window), tools: Some(true), images: Some(true) });
        let mut facts = Facts { read: said(NOW - 1, 4096), ..Facts::default() };
        assert_eq!(facts.context_window(now()), Some((4096, WindowSource::Read)));
        assert_eq!((facts.tools(now()), facts.images(now())), (Some(true), Some(true)));
        facts.learn(Lesson::Window { tokens: 2048 }, now());
        facts.learn(Lesson::NoTools, now());
        facts.learn(Lesson::NoImages, now());
        assert_eq!(facts.context_window(now()), Some((2048, WindowSource::Learned)));
        assert_eq!((facts.tools(now()), facts.images(now())), (Some(false), Some(false)));
        facts.read = said(NOW + 1, 8192);
        assert_eq!(facts.context_window(now()), Some((8192, WindowSource::Read)));
        facts.forget();
        assert_eq!((facts.tools(now()), facts.images(now())), (Some(true), Some(true)));
        assert_eq!((Facts::default().tools(now()), Facts::default().context_window(now())), (None, None));
    }

    #[test]
    fn a_lesson_is_news_once_and_a_later_one_of_its_kind_takes_its_place() {
        let mut facts = Facts::default();
        assert!(facts.learn(refused("temperature", None), now()));
        assert!(!facts.learn(refused("temperature", None), now()));
        assert!(facts.learn(refused("max_tokens", None), now()));
        assert!(facts.learn(refused("max_tokens", Some("max_completion_tokens")), now()));
        let fields: Vec<_> = facts.refused(now()).collect();
        assert_eq!(fields, [("temperature", None), ("max_tokens", Some("max_completion_tokens"))]);
        assert_eq!(facts.thoughts_field(now()), None);
        for field in [ThoughtsField::Reasoning, ThoughtsField::ReasoningContent] {
            assert!(facts.learn(Lesson::ThoughtsAt { field: field.name().into() }, now()));
            assert_eq!(facts.thoughts_field(now()), Some(field));
        }
    }

    #[test]
    fn a_lesson_lasts_up_to_its_age() {
        let mut facts = Facts::default();
        facts.learn(Lesson::NoTools, now());
        facts.learn(Lesson::BytesPerToken { bytes: 2.0 }, now());
        let ms = Duration::from_millis(1);
        for (age, counts) in [(LEARNED_AGE_MAX - ms, true), (LEARNED_AGE_MAX, false), (LEARNED_AGE_MAX + ms, false)] {
            assert_eq!(facts.tools(at(age)), counts.then_some(false));
            assert_eq!(facts.bytes_per_token(at(age)), counts.then_some(2.0));
        }
        assert!(facts.learn(Lesson::NoTools, at(LEARNED_AGE_MAX)), "a lesson that was forgotten is news");
    }

    #[test]
    fn what_a_server_said_is_old_once_it_has_its_age() {
        let said = Said { at: NOW, ..Said::default() };
        let ms = Duration::from_millis(1);
        assert_eq!(
            [FACTS_AGE_MAX - ms, FACTS_AGE_MAX, FACTS_AGE_MAX + ms].map(|age| said.is_old(at(age))),
            [false, true, true]
        );
    }

    #[test]
    fn of_the_last_measurements_the_lowest_counts_within_its_bounds() {
        let mut facts = Facts::default();
        for bytes in [0.2, 1.0, 3.0] {
            facts.learn(Lesson::BytesPerToken { bytes }, now());
        }
        assert_eq!(facts.bytes_per_token(now()), Some(1.0));
        assert!(!facts.learn(Lesson::BytesPerToken { bytes: 3.1 }, now()), "nearly the last one");
        assert!(!facts.learn(Lesson::BytesPerToken { bytes: f64::NAN }, now()));
        let mut high = false;
        let mut add = |count: usize| {
            for _ in 0..count {
                high = !high;
                assert!(facts.learn(Lesson::BytesPerToken { bytes: if high { 9.0 } else { 4.0 } }, now()));
            }
            facts.bytes_per_token(now())
        };
        // Two are there, 1 and 3; the first goes when the ninth comes.
        assert_eq!([add(MEASURES_MAX - 2), add(1)], [Some(1.0), Some(3.0)]);
        assert_eq!(add(MEASURES_MAX), Some(4.0));
    }

    #[test]
    fn as_many_lessons_are_kept_as_may_be() {
        let kept = |count: usize| {
            let mut facts = Facts::default();
            (0..count).for_each(|n| assert!(facts.learn(refused(&n.to_string(), None), now())));
            facts.refused(now()).next().map(|(field, _)| field.to_owned())
        };
        let first = [LESSONS_MAX - 1, LESSONS_MAX, LESSONS_MAX + 1].map(|count| kept(count).unwrap());
        assert_eq!(first, ["0", "0", "1"]);
    }
}
