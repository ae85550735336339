//! When a command that ended by itself may be started again.

use std::time::Duration;

use tokio::time::Instant;

/// How often in a row it may end within [`EARLY`] of its start. After that it waits for a person.
pub const RESTARTS_MAX: u32 = 5;
/// An end this soon after the start says that it does not work.
const EARLY: Duration = Duration::from_secs(60);
/// The first pause after an end; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// After so long a life the pauses begin anew.
const CALM: Duration = Duration::from_secs(600);

/// The ends of a command in a row.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    early_ends: u32,
    pause: Option<Duration>,
    not_before: Option<Instant>,
}

impl Restarts {
    /// It ended by itself.
    pub(super) fn ended(&mut self, started: Instant, now: Instant) {
        let life = now.saturating_duration_since(started);
        self.early_ends = if life < EARLY { self.early_ends + 1 } else { 0 };
        let longer = self.pause.filter(|_| life < CALM).map(|pause| (pause * 2).min(PAUSE_MAX));
        let pause = longer.unwrap_or(PAUSE);
        self.pause = Some(pause);
        self.not_before = Some(now + pause);
    }

    /// Whether a person has to look at it first.
    pub(super) fn has_failed(&self) -> bool {
        self.early_ends >= RESTARTS_MAX
    }

    /// Whether it has ended by itself at all, and when it may start again.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses after ends, each after such a life.
    fn pauses(restarts: &mut Restarts, life: Duration, ends: usize) -> Vec<u64> {
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..ends {
            restarts.ended(now, now + life);
            now += life;
            pauses.push((restarts.not_before().unwrap() - now).as_secs());
        }
        pauses
    }

    #[test]
    fn pauses_double_up_to_pause_max_and_begin_anew_after_a_calm_life() {
        let mut restarts = Restarts::default();
        assert_eq!(pauses(&mut restarts, EARLY, 9), [1, 2, 4, 8, 16, 32, PAUSE_MAX.as_secs(), 60, 60]);
        assert!(!restarts.has_failed());
        assert_eq!(pauses(&mut restarts, CALM - Duration::from_millis(1), 1), [60]);
        assert_eq!(pauses(&mut restarts, CALM, 1), [1]);
    }

    #[test]
    fn restarts_max_early_ends_in_a_row_are_a_failure_and_a_longer_life_is_none() {
        let mut restarts = Restarts::default();
        let early = EARLY - Duration::from_millis(1);
        let max = RESTARTS_MAX as usize;
        assert_eq!(pauses(&mut restarts, early, max - 1), [1, 2, 4, 8]);
        assert!(!restarts.has_failed());
        pauses(&mut restarts, EARLY, 1);
        pauses(&mut restarts, early, max - 1);
        assert!(!restarts.has_failed());
        pauses(&mut restarts, early, 1);
        assert!(restarts.has_failed());
        assert!(!Restarts::default().has_failed() && Restarts::default().not_before().is_none());
    }
}
