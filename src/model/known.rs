//! What is known of one model while it is asked, shared by all who ask it.
//!
//! Rule: to look is to copy nothing. Lessons are taken here and written down by whoever made it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::facts::{Facts, Lesson};
use crate::time::Timestamp;

/// What is known of a model, and where lessons go. Clones share what they know.
#[derive(Clone, Default)]
pub struct Known(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Behind a pointer of its own, so that looking copies nothing.
    facts: Mutex<Arc<Facts>>,
    keep: Option<Box<dyn Fn(Lesson) + Send + Sync>>,
}

impl Known {
    /// What is kept in memory alone.
    pub fn new(facts: Facts) -> Self {
        Known(Arc::new(Shared { facts: Mutex::new(Arc::new(facts)), keep: None }))
    }

    /// What `keep` writes down as well, without keeping the caller.
    pub fn kept_by(facts: Facts, keep: impl Fn(Lesson) + Send + Sync + 'static) -> Self {
        Known(Arc::new(Shared { facts: Mutex::new(Arc::new(facts)), keep: Some(Box::new(keep)) }))
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

    fn lock(&self) -> MutexGuard<'_, Arc<Facts>> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
