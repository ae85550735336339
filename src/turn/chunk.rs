//! The chunks of an AI SDK v6 UI message stream that we send, in the key set of 6.0.0.
//!
//! Rule: no key that 6.0.0 does not know (its schemas are strict), no `null` in an optional key. What has no key here
//! goes into `messageMetadata` or a `data-*` part.
//! Deliberately absent: chunk types that we never send (`source-document`, `message-metadata`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::line::write_json;
use crate::{error::Error, model::waiting::Waiting};

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Chunk {
    /// First and once.
    Start {
        message_id: String,
        message_metadata: Value,
    },
    /// A model call begins.
    StartStep,
    TextStart {
        id: String,
    },
    TextDelta {
        id: String,
        delta: String,
    },
    TextEnd {
        id: String,
    },
    ReasoningStart {
        id: String,
    },
    ReasoningDelta {
        id: String,
        delta: String,
    },
    ReasoningEnd {
        id: String,
    },
    /// A tool call begins.
    ToolInputStart {
        tool_call_id: String,
        tool_name: String,
        /// Whether its tool is one that a client does not know.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        dynamic: bool,
    },
    ToolInputDelta {
        tool_call_id: String,
        input_text_delta: String,
    },
    /// The call's arguments are whole and valid.
    ToolInputAvailable {
        tool_call_id: String,
        tool_name: String,
        input: Value,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        provider_metadata: Option<Value>,
        /// Whether its tool is one that a client does not know.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        dynamic: bool,
    },
    /// The call's arguments are whole and useless.
    ToolInputError {
        tool_call_id: String,
        tool_name: String,
        input: Value,
        error_text: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        provider_metadata: Option<Value>,
        /// Whether its tool is one that a client does not know.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        dynamic: bool,
    },
    /// A person is to allow the call.
    ToolApprovalRequest {
        approval_id: String,
        tool_call_id: String,
    },
    ToolOutputAvailable {
        tool_call_id: String,
        output: Value,
        /// Whether its tool is one that a client does not know.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        dynamic: bool,
    },
    ToolOutputError {
        tool_call_id: String,
        error_text: String,
        /// Whether its tool is one that a client does not know.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        dynamic: bool,
    },
    ToolOutputDenied {
        tool_call_id: String,
    },
    SourceUrl {
        source_id: String,
        url: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        title: Option<String>,
    },
    /// A file that a tool gave.
    File {
        url: String,
        media_type: String,
    },
    /// What the model is doing before its first word.
    DataModel {
        data: ModelState,
        transient: bool,
    },
    /// A structured error, right before the `error` chunk, which has room for a sentence only.
    DataError {
        data: ErrorData,
        transient: bool,
    },
    /// The turn failed.
    Error {
        error_text: String,
    },
    /// The turn was stopped.
    Abort,
    FinishStep,
    Finish {
        finish_reason: String,
        message_metadata: Value,
    },
}

/// The fields of a `data-error` part: those of the error envelope.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    pub code: String,
    pub message: String,
    pub request_id: String,
    /// Why a model's server refused: `request`, `content`, `credentials`, `limited`. For clients of another API alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl ErrorData {
    /// What a client may read of an error.
    pub fn of(error: &Error, request_id: &str) -> Self {
        let (code, message) = (error.code().as_str().to_owned(), error.public_text());
        let reason = match error {
            Error::ModelRefused { why, .. } => Some(why.as_str().to_owned()),
            _ => None,
        };
        ErrorData { code, message, request_id: request_id.to_owned(), reason }
    }
}

/// What a model is doing before its first word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum ModelState {
    /// Its server reads it into memory.
    Loading {
        /// For how long, in milliseconds.
        since_ms: u64,
    },
    /// It answers others first.
    Queued {
        /// The place of this reply, from 1.
        position: usize,
    },
}

impl From<Waiting> for ModelState {
    fn from(waiting: Waiting) -> Self {
        match waiting {
            Waiting::Loading { since } => ModelState::Loading { since_ms: since.as_millis() as u64 },
            Waiting::Queued { position } => ModelState::Queued { position },
        }
    }
}

/// What ends every stream, after its last chunk.
pub const DONE: &str = "data: [DONE]\n\n";

impl Chunk {
    /// An error in a stream: once for programs, once for people.
    pub fn of_error(error: &Error, request_id: &str) -> [Chunk; 2] {
        let data = ErrorData { reason: None, ..ErrorData::of(error, request_id) };
        let error_text = data.message.clone();
        [Chunk::DataError { data, transient: true }, Chunk::Error { error_text }]
    }

    /// Appends this chunk to `frames` as one server-sent event.
    pub fn write_to(&self, frames: &mut Vec<u8>) {
        frames.extend_from_slice(b"data: ");
        write_json(self, frames);
        frames.extend_from_slice(b"\n\n");
    }
}

/// The same JSON without the keys over which a client's parser throws away the whole stream.
///
/// They are `__proto__`, and `prototype` inside a `constructor`. Every value that others wrote (arguments, a tool's
/// output, metadata) passes through here on its way into a chunk.
pub fn clean_json(value: Value) -> Value {
    // Most have none, and to build a tree anew takes ten times as long as to look through it.
    if is_clean(&value) { value } else { cleaned(value) }
}

fn is_clean(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_clean),
        Value::Object(fields) => fields.iter().all(|(key, value)| {
            key != "__proto__" && !(key == "constructor" && value.get("prototype").is_some()) && is_clean(value)
        }),
        _ => true,
    }
}

fn cleaned(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(cleaned).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(key, _)| key != "__proto__")
            .map(|(key, value)| match value {
                Value::Object(mut fields) if key == "constructor" => {
                    fields.shift_remove("prototype");
                    (key, cleaned(Value::Object(fields)))
                }
                value => (key, cleaned(value)),
            })
            .collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_forbidden_key_survives_however_deep_and_nothing_else_is_lost() {
        let bad = json!({"a": [{"__proto__": {"x": 1}, "b": 1}], "constructor": {"prototype": 1, "c": {"__proto__": 2}},
                "o": {"prototype": 1}});
        assert_eq!(clean_json(bad), json!({"a": [{"b": 1}], "constructor": {"c": {}}, "o": {"prototype": 1}}));
        let good = json!({"prototype": 1, "constructor": "prototype", "__proto": "__proto__",
            "n": [null, 1.5, true], "o": {"prototype": 1}});
        assert_eq!(clean_json(good.clone()), good);
    }
}
