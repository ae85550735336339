//! What is asked of a turn, after decoding and before anything is looked up.

use serde_json::Value;

use crate::store::{Tenant, idempotency::Claim, messages::Role};

/// A request for a reply.
#[derive(Debug, Clone)]
pub struct Ask {
    pub asker: Asker,
    pub session: SessionRef,
    /// An agent's id or slug.
    pub agent: Option<String>,
    /// A project's id or slug.
    pub project: Option<String>,
    /// `provider/model`.
    pub model: Option<String>,
    pub messages: Vec<Posted>,
    pub trigger: Trigger,
}

/// Who asks, and by which request.
#[derive(Debug, Clone)]
pub struct Asker {
    pub tenant: Tenant,
    /// Whether a key of the `test` kind asks: paid models are replaced by the built-in one.
    pub test: bool,
    /// Names the request in errors and in the log.
    pub request_id: String,
    /// Notes that it was asked, if it is to be asked once.
    pub claim: Option<Claim>,
}

/// Which session is to hold the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRef {
    /// One that must exist.
    Existing(String),
    /// One by the id a client made up; it is created if it does not exist.
    Client(String),
    /// A new one.
    New,
}

/// What kind of reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// To what is new.
    Submit,
    /// Once more, to what came before this message; absent: before the last message of a model.
    Regenerate { message_id: Option<String> },
    /// The rest of a message that the end of a process interrupted.
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

impl Ask {
    /// In a new session, of its default agent and model, and without a message.
    pub fn new(asker: Asker) -> Self {
        Ask {
            asker,
            session: SessionRef::New,
            agent: None,
            project: None,
            model: None,
            messages: Vec::new(),
            trigger: Trigger::Submit,
        }
    }
}

impl Asker {
    /// One without a test key and without a claim.
    pub fn new(tenant: Tenant, request_id: impl Into<String>) -> Self {
        Asker { tenant, test: false, request_id: request_id.into(), claim: None }
    }
}
