//! What is known of one model while it is asked, shared by all who ask it.
//!
//! Rule: to look is to copy nothing. Lessons are taken here and written down by whoever made it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::facts::{Facts, Lesson};
use crate::time::Timestamp;

/// What is kept of a server's own words, in characters; what follows is cut off.
pub const HEARD_CHARS_MAX: usize = 500;

/// What is known of a model, and where lessons go. Clones share what they know.
#[derive(Clone, Default)]
pub struct Known(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Behind a pointer of its own, so that looking copies nothing.
    facts: Mutex<Arc<Facts>>,
    keep: Option<Box<dyn Fn(Lesson) + Send + Sync>>,
    /// What its server said last when it refused, in its own words.
    heard: Mutex<Option<String>>,
}

impl Known {
    /// What is kept in memory alone.
    pub fn new(facts: Facts) -> Self {
        Known(Arc::new(Shared { facts: Mutex::new(Arc::new(facts)), ..Shared::default() }))
    }

    /// What `keep` writes down as well, without keeping the caller.
    pub fn kept_by(facts: Facts, keep: impl Fn(Lesson) + Send + Sync + 'static) -> Self {
        Known(Arc::new(Shared { facts: Mutex::new(Arc::new(facts)), keep: Some(Box::new(keep)), ..Shared::default() }))
    }

    /// What is known now.
    pub fn facts(&self) -> Arc<Facts> {
        self.lock().clone()
    }

    /// Changes what is known, without a lesson.
    pub fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(Arc::make_mut(&mut self.lock()));
    }

    /// Takes a lesson, and keeps it if it was news.
    pub fn learn(&self, lesson: Lesson) {
        let now = Timestamp::now();
        let news = Arc::make_mut(&mut self.lock()).learn(lesson.clone(), now);
        if let (true, Some(keep)) = (news, &self.0.keep) {
            keep(lesson);
        }
    }

    /// Notes what its server said when it refused, up to [`HEARD_CHARS_MAX`]; it must be rid of secrets.
    pub(super) fn hear(&self, said: &str) {
        let said: String = said.trim().chars().take(HEARD_CHARS_MAX).collect();
        *self.heard_lock() = Some(said).filter(|said| !said.is_empty());
    }

    /// What its server said last when it refused: for its provider's owner alone.
    pub fn heard(&self) -> Option<String> {
        self.heard_lock().clone()
    }

    fn heard_lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Facts>> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_kept_up_to_their_bound() {
        let known = Known::default();
        let heard = |chars: usize| {
            known.hear(&"é".repeat(chars));
            known.heard().map(|said| said.chars().count())
        };
        let cases = [HEARD_CHARS_MAX - 1, HEARD_CHARS_MAX, HEARD_CHARS_MAX + 1].map(heard);
        assert_eq!(cases, [Some(HEARD_CHARS_MAX - 1), Some(HEARD_CHARS_MAX), Some(HEARD_CHARS_MAX)]);
        known.hear(" \n");
        assert_eq!(known.heard(), None);
    }

    #[test]
    fn clones_share_what_they_know_and_only_news_is_kept() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let shelf = kept.clone();
        let known = Known::kept_by(Facts::default(), move |lesson| shelf.lock().unwrap().push(lesson));
        let other = known.clone();
        known.learn(Lesson::NoTools);
        other.learn(Lesson::NoTools);
        assert_eq!(other.facts().tools(Timestamp::now()), Some(false));
        assert_eq!(*kept.lock().unwrap(), [Lesson::NoTools]);
    }
}
