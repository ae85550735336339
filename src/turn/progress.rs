//! How far a running turn is, and what its running model call has said.

use tokio::{sync::oneshot, time::Instant};

use crate::{error::Error, model::Delta};

/// How far a turn is.
pub(super) struct Progress {
    pub started: Instant,
    /// Where an early failure goes, as long as the request waits for the model's first sign of life.
    pub head: Option<oneshot::Sender<Error>>,
    /// Messages of the history that the model was not sent.
    pub dropped: usize,
    /// What went wrong in the upstream's reply, which need not end it.
    pub fault: Option<Error>,
    /// The model call that runs, so that one that is cut off is paid for what it said.
    pub call: Option<OpenCall>,
}

/// A model call that runs.
pub(super) struct OpenCall {
    pub prompt_tokens: u64,
    pub said: Said,
}

/// What a model said in one call.
#[derive(Default)]
pub(super) struct Said {
    pub text: String,
    pub reasoning: String,
    arguments: String,
}

impl Progress {
    /// Of a turn that has just begun; `head` waits for the model's first sign of life.
    pub fn new(head: oneshot::Sender<Error>) -> Self {
        Progress { started: Instant::now(), head: Some(head), dropped: 0, fault: None, call: None }
    }
}

impl OpenCall {
    /// One that has said nothing yet.
    pub fn new(prompt_tokens: u64) -> Self {
        OpenCall { prompt_tokens, said: Said::default() }
    }
}

impl Said {
    /// Adds what a delta says.
    pub fn add(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => self.text.push_str(text),
            Delta::Reasoning(text) => self.reasoning.push_str(text),
            Delta::ToolArguments { fragment, .. } => self.arguments.push_str(fragment),
            _ => {}
        }
    }

    /// All of it, to be counted.
    pub fn all(&self) -> String {
        [&*self.text, &*self.reasoning, &*self.arguments].concat()
    }
}
