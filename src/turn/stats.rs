//! What turns did since the process began, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Usage;

/// How a turn can end, in the schema's words.
pub const ENDINGS: [&str; 4] = ["complete", "stopped", "interrupted", "error"];

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Stats {
    ended: [AtomicU64; ENDINGS.len()],
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
}

impl Stats {
    /// Counts a turn that ended with `status`.
    pub(super) fn count(&self, status: &str, usage: &Usage) {
        let ending = ENDINGS.iter().position(|ending| *ending == status);
        if let Some(ended) = ending.and_then(|at| self.ended.get(at)) {
            ended.fetch_add(1, Ordering::Relaxed);
        }
        self.input_tokens.fetch_add(usage.input_tokens, Ordering::Relaxed);
        self.output_tokens.fetch_add(usage.output_tokens, Ordering::Relaxed);
    }

    /// Turns by how they ended.
    pub fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        ENDINGS.into_iter().zip(self.ended.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Tokens of prompts, and of replies.
    pub fn tokens(&self) -> (u64, u64) {
        (self.input_tokens.load(Ordering::Relaxed), self.output_tokens.load(Ordering::Relaxed))
    }
}
