//! How far a running turn is, and what its running model call has said.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::Instant};

use super::{calls::so_far::CallsSoFar, structured::Shape};
use crate::{
    error::Error,
    model::{Delta, ThoughtsField, cassette::Match, openai::TOO_LONG},
};

/// How far a turn is.
pub(super) struct Progress {
    pub started: Instant,
    /// Where an early failure goes, as long as the request waits for the model's first sign of life.
    pub head: Option<oneshot::Sender<Error>>,
    /// Messages of the history that the model was not sent.
    pub dropped: usize,
    /// Where the history was cut for it, if a new place had to be chosen: a message's row number.
    pub cut: Option<i64>,
    /// How many messages of the prompt are the stored history's; the rest are this turn's.
    pub history_len: usize,
    /// Fields of the request that it was not sent, since it refuses them.
    pub omitted: BTreeSet<String>,
    /// How far its recorded answers were looked for, if they were recorded.
    pub replayed: Option<Match>,
    /// Whether its server is known to have cut the prompt.
    pub truncated: bool,
    /// Where its thoughts stood.
    pub thoughts_field: Option<ThoughtsField>,
    /// What its provider put beside its last words.
    pub beside: Map<String, Value>,
    /// What went wrong in the upstream's reply, which need not end it.
    pub fault: Option<Error>,
    /// The parts of the continued message once its calls were answered: a JSON array, as text.
    pub answered: Option<String>,
    /// What its calls of tools have come to.
    pub calls: CallsSoFar,
    /// How many tools the request had no room for.
    pub tools_left_out: usize,
    /// Servers whose tools it did not offer, since they do not answer.
    pub tools_unavailable: Vec<String>,
    /// The shape that its words were asked to have.
    pub shape: Option<Shape>,
    /// What is told of the shape that they have.
    pub structured: Option<Value>,
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
    /// Notes whether a reply has the shape that it was asked to have.
    pub fn judge(&mut self, reply: &str) {
        self.structured = self.shape.as_ref().map(|shape| shape.judge(reply));
    }

    /// Of a turn that has just begun; `head` waits for the model's first sign of life.
    pub fn new(head: oneshot::Sender<Error>) -> Self {
        Progress {
            started: Instant::now(),
            head: Some(head),
            dropped: 0,
            cut: None,
            history_len: 0,
            omitted: BTreeSet::new(),
            replayed: None,
            truncated: false,
            thoughts_field: None,
            beside: Map::new(),
            fault: None,
            answered: None,
            calls: CallsSoFar::default(),
            tools_left_out: 0,
            tools_unavailable: Vec::new(),
            shape: None,
            structured: None,
            call: None,
        }
    }

    /// Whether the running model call has said nothing but that the conversation is too long.
    pub fn is_too_long(&self) -> bool {
        let said_nothing = self.call.as_ref().is_some_and(|call| call.said.is_empty());
        let fault = self.fault.as_ref();
        said_nothing && fault.is_some_and(|fault| matches!(fault, Error::ModelUnavailable(why) if why == TOO_LONG))
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

    /// Whether that is nothing.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty() && self.arguments.is_empty()
    }

    /// All of it, to be counted.
    pub fn all(&self) -> String {
        [&*self.text, &*self.reasoning, &*self.arguments].concat()
    }
}
