//! What is asked of a turn, after decoding and before anything is looked up.

use serde_json::Value;

use crate::store::{Tenant, idempotency::Claim, messages::Role};

/// A request for an answer.
#[derive(Debug, Clone)]
pub struct Ask {
    pub tenant: Tenant,
    /// A key of the `test` kind asks: paid models are answered by the built-in one.
    pub test: bool,
    pub session: AskedSession,
    /// An agent's id or slug.
    pub agent: Option<String>,
    /// A project's id or slug.
    pub project: Option<String>,
    /// `provider/model`.
    pub model: Option<String>,
    pub messages: Vec<Posted>,
    pub trigger: Trigger,
    /// Names this request in errors and in the log.
    pub request_id: String,
    /// Notes that it was asked, if it is to be asked once.
    pub claim: Option<Claim>,
}

/// Which session is to hold the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedSession {
    /// One that must be there.
    Known(String),
    /// One by the id a client made up; it is made if it is not there.
    Client(String),
    /// A new one.
    New,
}

/// What kind of answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// To what is new.
    Submit,
    /// Once more, to what came before this message; absent: before the last answer.
    Regenerate { message_id: Option<String> },
    /// On with an answer that the end of a process interrupted.
    Resume,
}

/// A message as a client posted it.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted {
    /// Absent in plain `{role, content}` messages.
    pub id: Option<String>,
    pub role: Role,
    /// UIMessage parts, checked.
    pub parts: Vec<Value>,
}
