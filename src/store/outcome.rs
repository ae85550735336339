//! How a turn ended, in the schema's words.

use super::{messages, words::words};

words! {
    /// How a turn ended.
    pub enum Outcome {
        /// The model said all it had to say, or all it may.
        Complete = "complete",
        /// Someone stopped it.
        Stopped = "stopped",
        /// The server went away under it.
        Interrupted = "interrupted",
        /// It failed.
        Failed = "error",
    }
}

impl From<Outcome> for messages::Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Complete => messages::Status::Complete,
            Outcome::Stopped => messages::Status::Stopped,
            Outcome::Interrupted => messages::Status::Interrupted,
            Outcome::Failed => messages::Status::Failed,
        }
    }
}
