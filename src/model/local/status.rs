//! What can be said of a local model.

use crate::time::Timestamp;

/// What its process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Program, file and memory are looked at.
    Checking,
    /// The process is being started, or waits for that after an end.
    Starting,
    /// It reads the file.
    Loading,
    /// It answers.
    Ready,
    /// There is no process until somebody asks.
    Idle,
    /// It does not start: an operator has to do something.
    Failed,
    /// The process is being ended.
    Stopping,
}

impl State {
    /// All of them.
    pub const ALL: [State; 7] =
        [State::Checking, State::Starting, State::Loading, State::Ready, State::Idle, State::Failed, State::Stopping];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Checking => "checking",
            State::Starting => "starting",
            State::Loading => "loading",
            State::Ready => "ready",
            State::Idle => "idle",
            State::Failed => "failed",
            State::Stopping => "stopping",
        }
    }
}

/// A local model now.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it is called, without `local/`.
    pub name: String,
    /// What its process does.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why, where the state does not say it, or what is less than it could be. For operators and owners: it names files.
    pub reason: Option<String>,
    /// Tokens of one conversation, once they are known.
    pub window: Option<u32>,
    /// Tokens that the model was made for.
    pub trained_window: u32,
    /// Conversations at a time.
    pub slots: u32,
    /// The size of the file.
    pub bytes: u64,
    /// Such as `llama`.
    pub architecture: String,
    /// How its numbers are kept, such as `Q4_K_M`.
    pub quantisation: Option<String>,
    /// How many numbers it is.
    pub parameters: u64,
    /// Who may use it, as the file says.
    pub licence: Option<String>,
    /// Whether it calls tools: as its file's template makes likely, then as the process says.
    pub tools: bool,
    /// The build of the program, if it says.
    pub build: Option<u32>,
    /// Whether it computes on a GPU.
    pub gpu: bool,
    /// Answers that wait.
    pub queue: usize,
    /// Answers that are being written.
    pub answering: usize,
    /// How often it was started again without being told.
    pub restarts: u64,
    /// The memory of the process.
    pub resident_bytes: Option<u64>,
    /// How fast the last answer was written.
    pub tokens_per_second: Option<f64>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_state_has_a_word_of_its_own() {
        let words: HashSet<_> = State::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(words.len(), State::ALL.len());
    }
}
