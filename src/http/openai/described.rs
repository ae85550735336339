//! What the OpenAPI document says of these routes.
//!
//! Rule: the shapes are OpenAI's and Anthropic's, and their own documents say them whole. What is free-form there is free-form
//! here; what is said here is what a first request needs.

use poem::http::Method;
use serde_json::{Map, Value, json};

/// The operations' tag.
pub const TAG: &str = "OpenAI-compatible";
/// The schema of a failure.
pub const FAILURE: &str = "V1Failure";

/// Where a chat completion is kept.
const KEPT: &str = "Nothing of it is kept but its bill, unless `store` is true, or the header `x-alm-session-id` or \
                    `metadata.alm_session` names a session: its history becomes what was posted.";

/// The statuses of failure, and when each is returned.
const FAILURES: [(&str, &str); 10] = [
    ("400", "Not understood, out of range, not served, or refused by the model's server."),
    ("401", "No API key, or one that is unknown or has expired."),
    ("403", "The key lacks a scope, or is another organization's."),
    ("404", "No such model or object, or not this organization's."),
    ("409", "In conflict with the current state; SDKs try again."),
    ("413", "The body is too large."),
    ("429", "Too many requests, or `insufficient_quota`: the balance cannot pay."),
    ("500", "An internal error; the server's log has the cause under the request id."),
    ("502", "The model failed or could not be reached."),
    ("503", "Temporarily unavailable."),
];

/// What one operation is.
struct Described {
    summary: &'static str,
    /// A body that works as it stands, where one is taken.
    body: Option<Value>,
    /// Whether `stream: true` makes events of the answer.
    streams: bool,
}

/// What the operation of a route is.
fn described(method: &Method, path: &str) -> Option<Described> {
    let question = "Summarise the periodic table in 3 sentences.";
    let messages = json!([{ "role": "user", "content": question }]);
    let (summary, body, streams) = match (method.as_str(), path) {
        ("GET", "/models") => ("List agents and models", None, false),
        ("GET", "/models/{id…}") => ("Get an agent or a model", None, false),
        ("POST", "/chat/completions") => {
            ("Create a chat completion", Some(json!({ "model": "ala", "messages": messages })), true)
        }
        ("POST", "/responses") => ("Create a response", Some(json!({ "model": "ala", "input": question })), true),
        ("GET", "/responses/{id}") => ("Get a response", None, true),
        ("DELETE", "/responses/{id}") => ("Delete a response", None, false),
        ("POST", "/responses/{id}/cancel") => ("Cancel a running response", None, false),
        ("GET", "/responses/{id}/input_items") => ("List the input of a response", None, false),
        ("POST", "/conversations") => ("Create a conversation", Some(json!({})), false),
        ("GET", "/conversations/{id}") => ("Get a conversation", None, false),
        ("DELETE", "/conversations/{id}") => ("Delete a conversation", None, false),
        ("POST", "/embeddings") => {
            ("Create embeddings", Some(json!({ "model": "ollama/nomic-embed-text", "input": question })), false)
        }
        ("POST", "/completions") => {
            let body = json!({ "model": "ollama/qwen2.5-coder:1.5b", "prompt": "fn main() {", "suffix": "}" });
            ("Complete a text", Some(body), true)
        }
        ("POST", "/messages") => {
            let body = json!({ "model": "ala", "max_tokens": 256, "messages": messages });
            ("Create a message, as Anthropic's API does", Some(body), true)
        }
        ("POST", "/messages/count_tokens") => {
            ("Estimate the tokens of a message", Some(json!({ "model": "ala", "messages": messages })), false)
        }
        _ => return None,
    };
    Some(Described { summary, body, streams })
}

/// An operation, as the document has it: its path, and what it is.
pub fn operation(method: &Method, path: &str, id: &str) -> Option<(String, Value)> {
    let Described { summary, body, streams } = described(method, path)?;
    let mut operation = json!({
        "tags": [TAG], "summary": summary, "operationId": id, "parameters": parameters(path), "responses": responses(streams),
        "security": [{ "bearer": [] }, { "apiKey": [] }],
    });
    if path == "/chat/completions" {
        operation["description"] = KEPT.into();
    }
    if let Some(example) = body {
        let schema = json!({ "type": "object", "additionalProperties": true, "example": example });
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    Some((format!("/v1{}", path.replace('…', "")), operation))
}

fn parameters(path: &str) -> Value {
    let example = match path.split('/').nth(1) {
        Some("models") => "ala",
        Some("responses") => "resp_019aa7c26f7e7c519f0a1d2b3c4d5e6f",
        _ => "conv_019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f",
    };
    let id =
        json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" }, "example": example });
    if path.contains('{') { json!([id]) } else { json!([]) }
}

fn responses(streams: bool) -> Value {
    let object = json!({ "type": "object", "additionalProperties": true });
    let mut content = Map::from_iter([("application/json".to_owned(), json!({ "schema": object }))]);
    if streams {
        content.insert("text/event-stream".into(), json!({ "schema": { "type": "string" } }));
    }
    let mut responses = Map::from_iter([("200".to_owned(), json!({ "description": "OK.", "content": content }))]);
    let schema = json!({ "$ref": format!("#/components/schemas/{FAILURE}") });
    for (status, when) in FAILURES {
        let content = json!({ "application/json": { "schema": schema } });
        responses.insert(status.into(), json!({ "description": when, "content": content }));
    }
    Value::Object(responses)
}

/// The schema of a failure: four keys, always all four.
pub fn failure() -> Value {
    let text = json!({ "type": "string" });
    let maybe = json!({ "type": "string", "nullable": true });
    json!({
        "type": "object", "required": ["error"],
        "description": "A failure. On `/v1/messages` it has Anthropic's shape instead.",
        "properties": { "error": {
            "type": "object", "required": ["message", "type", "param", "code"],
            "properties": { "message": text, "type": text, "param": maybe, "code": maybe },
        } },
        "example": { "error": {
            "message": "no model called gpt-4o: GET /v1/models lists those there are", "type": "invalid_request_error",
            "param": "model", "code": "model_not_found",
        } },
    })
}
