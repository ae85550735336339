//! The chunks of a stream, as the document shows them.
//!
//! Rule: these are twins of `turn::chunk::Chunk` for readers of the document; the bytes come from there. A test holds
//! the two together.

use poem_openapi::{Object, Union};
use serde_json::Value;

macro_rules! chunks {
    ($($(#[doc = $doc:literal])* $name:ident $wire:literal { $($field:ident: $type:ty),* })*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Debug, Object)]
            #[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
            pub(super) struct $name { $($field: $type),* }
        )*

        /// One event of the stream: an AI SDK v6 UI message chunk, in the key set of 6.0.0.
        #[derive(Debug, Union)]
        #[allow(clippy::enum_variant_names)] // their names in the document, among all other schemas
        #[oai(discriminator_name = "type", one_of)]
        pub(super) enum StreamChunk {
            $(#[oai(mapping = $wire)] $name($name)),*
        }

        #[cfg(test)]
        const WIRE_NAMES: &[&str] = &[$($wire),*];
    };
}

chunks! {
    /// The first chunk, sent once. The metadata names session, model and agent.
    StartChunk "start" { message_id: String, message_metadata: Value }
    /// A model call begins.
    StartStepChunk "start-step" {}
    /// A text part begins.
    TextStartChunk "text-start" { id: String }
    /// More of a text part.
    TextDeltaChunk "text-delta" { id: String, delta: String }
    /// A text part ends.
    TextEndChunk "text-end" { id: String }
    /// A reasoning part begins.
    ReasoningStartChunk "reasoning-start" { id: String }
    /// More of a reasoning part.
    ReasoningDeltaChunk "reasoning-delta" { id: String, delta: String }
    /// A reasoning part ends.
    ReasoningEndChunk "reasoning-end" { id: String }
    /// A tool call begins.
    ToolInputStartChunk "tool-input-start" { tool_call_id: String, tool_name: String, dynamic: Option<bool> }
    /// More of a call's arguments, as JSON text.
    ToolInputDeltaChunk "tool-input-delta" { tool_call_id: String, input_text_delta: String }
    /// A call's arguments are complete.
    ToolInputAvailableChunk "tool-input-available" { tool_call_id: String, tool_name: String, input: Value, provider_metadata: Option<Value>, dynamic: Option<bool> }
    /// A call's arguments are complete and invalid.
    ToolInputErrorChunk "tool-input-error" { tool_call_id: String, tool_name: String, input: Value, error_text: String, provider_metadata: Option<Value>, dynamic: Option<bool> }
    /// A call waits for approval.
    ToolApprovalRequestChunk "tool-approval-request" { approval_id: String, tool_call_id: String }
    /// A tool's result.
    ToolOutputAvailableChunk "tool-output-available" { tool_call_id: String, output: Value, dynamic: Option<bool> }
    /// A tool failed.
    ToolOutputErrorChunk "tool-output-error" { tool_call_id: String, error_text: String, dynamic: Option<bool> }
    /// A call was not approved.
    ToolOutputDeniedChunk "tool-output-denied" { tool_call_id: String }
    /// A page the reply refers to.
    SourceUrlChunk "source-url" { source_id: String, url: String, title: Option<String> }
    /// A file that a tool gave.
    FileChunk "file" { url: String, media_type: String }
    /// What the reply waits for: `state` is `loading`, and `sinceMs` says how long the model's server has been loading it; or it is
    /// `queued`, and `position` is the reply's place among those that wait for the model.
    DataModelChunk "data-model" { data: Value, transient: bool }
    /// The error of the next chunk, for programs: `code`, `message`, `requestId`.
    DataErrorChunk "data-error" { data: Value, transient: bool }
    /// The turn failed.
    ErrorChunk "error" { error_text: String }
    /// The turn was stopped.
    AbortChunk "abort" {}
    /// A model call has ended, including its tools.
    FinishStepChunk "finish-step" {}
    /// The turn has ended and is stored. The metadata holds usage, cost and times.
    FinishChunk "finish" { finish_reason: String, message_metadata: Value }
}

#[cfg(test)]
mod tests {
    use poem_openapi::{registry::Registry, types::Type};
    use serde_json::{Value, json};

    use super::{StreamChunk, WIRE_NAMES};
    use crate::turn::chunk::{Chunk, ErrorData, ModelState};

    fn one_of_each() -> Vec<Chunk> {
        let (id, text, value) = (|| "id".to_owned(), || "text".to_owned(), || json!({}));
        let data = ErrorData { code: text(), message: text(), request_id: id(), reason: None };
        vec![
            Chunk::Start { message_id: id(), message_metadata: value() },
            Chunk::StartStep,
            Chunk::TextStart { id: id() },
            Chunk::TextDelta { id: id(), delta: text() },
            Chunk::TextEnd { id: id() },
            Chunk::ReasoningStart { id: id() },
            Chunk::ReasoningDelta { id: id(), delta: text() },
            Chunk::ReasoningEnd { id: id() },
            Chunk::ToolInputStart { tool_call_id: id(), tool_name: text(), dynamic: true },
            Chunk::ToolInputDelta { tool_call_id: id(), input_text_delta: text() },
            Chunk::ToolInputAvailable {
                tool_call_id: id(),
                tool_name: text(),
                input: value(),
                provider_metadata: Some(value()),
                dynamic: true,
            },
            Chunk::ToolInputError {
                tool_call_id: id(),
                tool_name: text(),
                input: value(),
                error_text: text(),
                provider_metadata: Some(value()),
                dynamic: true,
            },
            Chunk::ToolApprovalRequest { approval_id: id(), tool_call_id: id() },
            Chunk::ToolOutputAvailable { tool_call_id: id(), output: value(), dynamic: true },
            Chunk::ToolOutputError { tool_call_id: id(), error_text: text(), dynamic: true },
            Chunk::ToolOutputDenied { tool_call_id: id() },
            Chunk::SourceUrl { source_id: id(), url: text(), title: Some(text()) },
            Chunk::File { url: text(), media_type: text() },
            Chunk::DataModel { data: ModelState::Loading { since_ms: 0 }, transient: true },
            Chunk::DataError { data, transient: true },
            Chunk::Error { error_text: text() },
            Chunk::Abort,
            Chunk::FinishStep,
            Chunk::Finish { finish_reason: text(), message_metadata: value() },
        ]
    }

    #[test]
    fn the_document_names_every_chunk_and_every_key_that_is_sent() {
        let mut registry = Registry::new();
        StreamChunk::register(&mut registry);
        let chunks = one_of_each();
        assert_eq!(chunks.len(), WIRE_NAMES.len());
        for (chunk, wire) in chunks.iter().zip(WIRE_NAMES) {
            let sent = serde_json::to_value(chunk).unwrap();
            assert_eq!(sent["type"], *wire);
            let schema = registry.schemas.iter().find(|(name, _)| name.eq_ignore_ascii_case(&schema_name(wire)));
            let (_, schema) = schema.unwrap_or_else(|| panic!("no schema for {wire}"));
            let mut documented: Vec<&str> = schema.properties.iter().map(|(name, _)| *name).collect();
            let mut keys: Vec<&str> =
                sent.as_object().unwrap().keys().map(String::as_str).filter(|key| *key != "type").collect();
            documented.sort_unstable();
            keys.sort_unstable();
            assert_eq!(documented, keys, "{wire}");
        }
    }

    fn schema_name(wire: &str) -> String {
        format!("{}Chunk", wire.replace('-', ""))
    }

    #[test]
    fn no_chunk_holds_a_null() {
        for chunk in one_of_each() {
            let sent = serde_json::to_value(&chunk).unwrap();
            assert!(sent.as_object().unwrap().values().all(|value| *value != Value::Null), "{sent}");
        }
    }
}
