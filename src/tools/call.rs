//! One call of a tool: who asks, and how it ended.

use std::{pin::Pin, sync::Arc, time::Duration};

use serde_json::Value;

use crate::store::{Store, Tenant};

/// The other agents, as a tool asks them: what replies are made of is not a tool's to know.
pub trait Agents: Send + Sync {
    /// Asks an agent, and waits for its whole reply. Dropping it stops that reply.
    fn ask(&self, agent: String, message: String) -> Pin<Box<dyn Future<Output = Ended> + Send + '_>>;
}

/// What a tool may know of the call, and what it may reach: the data of the person who asks, and nothing else.
#[derive(Clone)]
pub struct Call {
    pub store: Store,
    pub tenant: Tenant,
    /// The session that asks.
    pub session_id: String,
    /// The call's id: unique, and the same if it is ever made again. Also the idempotency key.
    pub id: String,
    /// Whom it may ask.
    pub agents: Option<Arc<dyn Agents>>,
}

/// A file that a tool gave, for the person.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    pub media_type: String,
    /// A `data:` URL.
    pub url: String,
}

/// How a call ended. The sentences are for the model and for people.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// It gave an output.
    Done { output: Value, files: Vec<File> },
    /// It gave none, and what it was to do did not happen, or is known to have failed.
    Failed(String),
    /// It may have taken effect. Why nobody knows, such as `No answer came within 60 s`.
    Unknown(String),
}

impl Ended {
    /// An output without files.
    pub fn done(output: Value) -> Self {
        Ended::Done { output, files: Vec::new() }
    }
}

/// A time as people say it.
pub(super) fn duration(time: Duration) -> String {
    match time.as_millis() {
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}
