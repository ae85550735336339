//! A cassette as a provider plays it: which file, how fast, and how far an answer may be looked for.

use std::{path::PathBuf, str::FromStr, time::Duration};

use tokio::time::sleep;

use super::choose::Match;
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// The longest wait for the beginning of an answer.
pub const REPLAY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How much faster than it was recorded an answer may be played, and how much slower.
pub const SPEED_MAX: f64 = 1_000.0;
pub const SPEED_MIN: f64 = 0.1;
/// How fast an answer is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// All of it at once.
    Instant,
    /// So many times as fast as it was recorded.
    Times(f64),
}

/// A cassette as a provider plays it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tape {
    /// What its organization calls the provider.
    pub provider: String,
    pub file: PathBuf,
    pub speed: Speed,
    /// How far a search for an answer may go.
    pub reach: Match,
    /// Whether tools run for real where the cassette has no answer of theirs.
    pub real_tools: bool,
    /// What its organization's other providers are sent: of a request to them it was left out.
    pub secrets: Vec<Secret>,
}

impl Speed {
    /// A pause at this speed.
    pub(super) fn of(self, pause: Duration) -> Duration {
        match self {
            Speed::Instant => Duration::ZERO,
            Speed::Times(times) => pause.div_f64(times),
        }
    }

    /// Waits for the beginning of an answer that took so many milliseconds.
    pub(super) async fn wait(self, ms: u64) {
        let wait = self.of(Duration::from_millis(ms).min(REPLAY_WAIT_MAX));
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

impl FromStr for Speed {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let times = word.parse().ok().filter(|times: &f64| (SPEED_MIN..=SPEED_MAX).contains(times));
        match (word, times) {
            ("instant", _) => Ok(Speed::Instant),
            (_, Some(times)) => Ok(Speed::Times(times)),
            _ => Err(Error::BadRequest(format!("give instant, or a number from {SPEED_MIN} to {SPEED_MAX}"))),
        }
    }
}
