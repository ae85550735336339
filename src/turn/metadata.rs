//! What a message's metadata say of the turn that wrote it.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    beside,
    bill::{self, Bill},
    chunk::{ErrorData, clean_json},
    history::THOUGHTS_FIELD,
    progress::Progress,
    resolve::Resolved,
};
use crate::time::Timestamp;

/// Where they count the messages that the model was not sent.
pub(super) const DROPPED_MESSAGES: &str = "droppedMessages";

/// Where they name the fields of the request that the model was not sent, since it refuses them.
pub(super) const FIELDS_OMITTED: &str = "fieldsOmitted";
/// Where they say that the model's server read only a part of the prompt.
pub(super) const TRUNCATED_BY_SERVER: &str = "truncatedByServer";

/// Where they count the tools that there was no room for.
const TOOLS_LEFT_OUT: &str = "toolsLeftOut";
/// Where they name the servers whose tools were not offered.
const TOOLS_UNAVAILABLE: &str = "toolsUnavailable";
/// Where they say whether the reply has the shape that its agent asks for.
const STRUCTURED: &str = "structured";
/// Where they say that the answers were recorded, and how they were found.
const REPLAYED: &str = "replayed";
/// Where they say why the reply broke off: a code and a sentence.
pub(super) const ERROR: &str = "error";
/// Where they say what tools cost.
const TOOL_COST: &str = "toolCostMicrocents";

/// Those of the first chunk. A turn that is not stored has no session.
pub(super) fn of_start(session_id: &str, model: &str, agent_id: Option<&str>, at: Timestamp) -> Value {
    let mut metadata =
        json!({ "sessionId": session_id, "model": model, "agentId": agent_id, "createdAt": at.to_string() });
    if let Some(metadata) = metadata.as_object_mut().filter(|_| session_id.is_empty()) {
        metadata.shift_remove("sessionId");
    }
    metadata
}

/// Those of the stored message, which the last chunk carries too. `first_piece`: when the reply's first piece came.
pub(super) fn of_end(
    resolved: &Resolved,
    bill: &Bill,
    progress: &Progress,
    first_piece: Option<Instant>,
    finish: &str,
) -> Value {
    let millis = |since: Instant| (since - progress.started).as_millis() as u64;
    let mut metadata = json!({
        "model": resolved.model.id, "agentId": resolved.agent_id(), "finishReason": finish,
        "costMicrocents": bill.charge(), "durationMs": millis(Instant::now()),
    });
    if let Some(first) = first_piece {
        metadata["timeToFirstTokenMs"] = millis(first).into();
    }
    if let Some(usage) = bill.reported_usage() {
        metadata["usage"] = bill::usage_json(&usage);
    }
    if bill.is_estimated() {
        metadata["estimated"] = true.into();
    }
    note_dropped(&mut metadata, progress.dropped);
    if !progress.omitted.is_empty() {
        metadata[FIELDS_OMITTED] = json!(progress.omitted);
    }
    if let Some(how) = progress.replayed {
        metadata[REPLAYED] = how.as_str().into();
    }
    if progress.tools_left_out > 0 {
        metadata[TOOLS_LEFT_OUT] = progress.tools_left_out.into();
    }
    if !progress.tools_unavailable.is_empty() {
        metadata[TOOLS_UNAVAILABLE] = json!(progress.tools_unavailable);
    }
    if let Some(structured) = &progress.structured {
        metadata[STRUCTURED] = structured.clone();
    }
    if bill.tools() > 0 {
        metadata[TOOL_COST] = bill.tools().into();
    }
    if progress.truncated {
        metadata[TRUNCATED_BY_SERVER] = true.into();
    }
    if let Some(field) = progress.thoughts_field {
        metadata[THOUGHTS_FIELD] = field.name().into();
    }
    if !progress.beside.is_empty() && beside::fits(&progress.beside) {
        metadata[beside::IN_METADATA] = clean_json(progress.beside.clone().into());
    }
    metadata
}

/// Notes why a reply broke off: a reader of it is to know it after a reload too.
pub(super) fn note_error(metadata: &mut Value, error: &ErrorData) {
    metadata[ERROR] = json!({ "code": error.code, "message": error.message });
}

/// Notes that the model had not all of the history: a reader of its reply, now or later, is to know.
pub(super) fn note_dropped(metadata: &mut Value, dropped: usize) {
    if dropped > 0 {
        metadata[DROPPED_MESSAGES] = dropped.into();
    }
}
