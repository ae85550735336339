//! Servers that answered a short time ago. One of them at which nobody listens now is being started again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long an answer is remembered.
const ANSWERED_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// How many servers are remembered.
const ANSWERED_MAX: usize = 256;

/// When servers last answered, by authority.
#[derive(Default)]
pub(super) struct Answered(Mutex<HashMap<String, Instant>>);

impl Answered {
    /// Whether that server answered lately.
    pub(super) fn lately(&self, authority: &str) -> bool {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.get(authority).is_some_and(|at| at.elapsed() < ANSWERED_AGE_MAX)
    }

    /// Notes that it has answered.
    pub(super) fn note(&self, authority: &str) {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= ANSWERED_MAX {
            answered.retain(|_, at| at.elapsed() < ANSWERED_AGE_MAX);
        }
        if answered.len() < ANSWERED_MAX || answered.contains_key(authority) {
            answered.insert(authority.to_owned(), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_its_time() {
        let answered = Answered::default();
        answered.note("here");
        let ms = Duration::from_millis(1);
        advance(ANSWERED_AGE_MAX - ms).await;
        assert_eq!([answered.lately("here"), answered.lately("elsewhere")], [true, false]);
        advance(ms).await;
        assert!(!answered.lately("here"));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_servers_are_remembered_than_may_be() {
        let answered = Answered::default();
        (0..ANSWERED_MAX + 1).for_each(|n| answered.note(&n.to_string()));
        let known = |n: usize| answered.lately(&n.to_string());
        assert_eq!([known(ANSWERED_MAX - 1), known(ANSWERED_MAX)], [true, false]);
        advance(ANSWERED_AGE_MAX).await;
        answered.note("new");
        assert!(answered.lately("new"), "those of long ago make room");
    }
}
