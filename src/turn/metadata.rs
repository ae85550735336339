//! What a message's metadata say of the turn that wrote it.

use serde_json::{Value, json};

use crate::time::Timestamp;

/// Where they count the messages that the model was not sent.
pub(super) const DROPPED_MESSAGES: &str = "droppedMessages";

/// Those of the first chunk.
pub(super) fn of_start(session_id: &str, model: &str, agent_id: Option<&str>, at: Timestamp) -> Value {
    json!({ "sessionId": session_id, "model": model, "agentId": agent_id, "createdAt": at.to_string() })
}

/// Notes that the model had not all of the history: a reader of its reply, now or later, is to know.
pub(super) fn note_dropped(metadata: &mut Value, dropped: usize) {
    if dropped > 0 {
        metadata[DROPPED_MESSAGES] = dropped.into();
    }
}
