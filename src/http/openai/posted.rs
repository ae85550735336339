//! What clients say was said, as the parts of messages to be stored.

use serde_json::{Value, json};

use crate::{
    model::{Content, ToolCall},
    turn::{calls::AS_WRITTEN, history::OURS},
};

/// What a model said in one go.
pub fn said(thoughts: &str, text: &str, calls: Vec<ToolCall>) -> Vec<Value> {
    let mut parts = vec![json!({ "type": "step-start" })];
    if !thoughts.is_empty() {
        parts.push(json!({ "type": "reasoning", "id": "r0", "text": thoughts, "state": "done" }));
    }
    if !text.is_empty() {
        parts.push(json!({ "type": "text", "text": text, "state": "done" }));
    }
    parts.extend(calls.into_iter().map(called));
    parts
}

fn called(call: ToolCall) -> Value {
    let mut metadata = json!({});
    if let Some(beside) = call.beside {
        // Whose it is, the turn knows.
        metadata[beside.provider] = json!({ "call": beside.call, "function": beside.function });
    }
    metadata[AS_WRITTEN] = json!({ "arguments": call.arguments });
    json!({
        "type": format!("tool-{}", call.name), "toolCallId": call.id, "state": "input-available",
        "input": serde_json::from_str::<Value>(&call.arguments).unwrap_or_else(|_| json!(call.arguments)),
        "callProviderMetadata": metadata,
    })
}

/// What came of a call, put into its part.
pub fn complete(call: &mut Value, output: String) {
    call["state"] = "output-available".into();
    call["output"] = output.into();
}

/// What a person said, with files.
pub fn asked(contents: Vec<Content>) -> Vec<Value> {
    contents.into_iter().map(part).collect()
}

fn part(content: Content) -> Value {
    match content {
        Content::Text(text) => json!({ "type": "text", "text": text }),
        Content::File { media_type, url, filename, detail } => {
            let mut part = json!({ "type": "file", "mediaType": media_type, "url": url });
            if let Some(filename) = filename {
                part["filename"] = filename.into();
            }
            if let Some(detail) = detail {
                part["providerMetadata"] = json!({ OURS: { "detail": detail } });
            }
            part
        }
    }
}
