//! `search_history`: what was said in the organization's other conversations.
//!
//! Rule: it finds what the asking person could read, and nothing else.

use serde::Deserialize;
use serde_json::{Value, json};

use super::context::Context;

/// Hits a model gets at most, and when it names no number.
const HITS_MAX: usize = 20;
const HITS_DEFAULT: usize = 5;

#[derive(Debug, PartialEq, Deserialize)]
pub struct Arguments {
    query: String,
    limit: Option<usize>,
}

pub(super) fn spec() -> (&'static str, Value) {
    let description = "Searches the messages of earlier conversations for words. Call it when the person refers to \
                       something that was said before and is not in this conversation.";
    let parameters = json!({
        "type": "object",
        "properties": {
            "query": { "type": "string", "description": "Words that must all be in the message." },
            "limit": { "type": "integer", "description": "How many messages to find, 1 to 20; 5 if absent." }
        },
        "required": ["query"],
        "additionalProperties": false
    });
    (description, parameters)
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<Value, String> {
    let limit = arguments.limit.unwrap_or(HITS_DEFAULT).clamp(1, HITS_MAX);
    let found = context.store.org(&context.tenant).search_messages(&arguments.query, &context.session_id, limit);
    let found = found.map_err(|error| {
        tracing::error!(%error, "search_history");
        "The search failed.".to_owned()
    })?;
    let hits: Vec<Value> = found
        .into_iter()
        .map(|hit| {
            json!({
                "session": hit.session_label, "sessionId": hit.session_id, "role": hit.role.as_str(), "text": hit.snippet,
                "createdAt": hit.created_at.to_string(),
            })
        })
        .collect();
    Ok(json!({ "hits": hits }))
}
