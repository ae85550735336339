//! JSON-RPC 2.0: one message in, one answer out.
//!
//! Rule: what cannot be understood is a [`Fault`] with the code that the protocol gives it.

use serde_json::{Map, Value, json};

use crate::error::Error;

/// The body is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// It is JSON, and not one message.
pub const INVALID_REQUEST: i64 = -32600;
/// Nothing here is called that.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// It is called that, and takes something else.
pub const INVALID_PARAMS: i64 = -32602;
/// Headers and body say two things.
pub const HEADER_MISMATCH: i64 = -32020;
/// The version of the protocol is none of ours.
pub const UNSUPPORTED_VERSION: i64 = -32022;
/// Ours.
pub const INTERNAL_ERROR: i64 = -32603;

/// A message.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// It wants an answer.
    Request(Request),
    /// It wants none.
    Notification,
    /// It is one, to a question that this server never asks.
    Response,
}

/// A request.
#[derive(Debug, PartialEq)]
pub struct Request {
    /// A text or a whole number.
    pub id: Value,
    pub method: String,
    pub params: Map<String, Value>,
}

/// Why a message gets no result.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Fault {
    /// Without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Fault { code, message: message.into(), data: None }
    }
}

/// What a failure of ours is; its cause goes to the log.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if let cause @ (Error::Failed { .. } | Error::Internal(_)) = &error {
            tracing::error!(%cause, "internal error");
        }
        Fault::new(INTERNAL_ERROR, error.public_text())
    }
}

impl Message {
    /// The one message that a body holds.
    pub fn of(body: Value) -> Result<Self, Fault> {
        let invalid = |what: &str| Err(Fault::new(INVALID_REQUEST, what));
        let mut fields = match body {
            Value::Object(fields) => fields,
            Value::Array(_) => return invalid("a batch is not taken: send one message a request"),
            _ => return invalid("the body must be one JSON-RPC message"),
        };
        if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return invalid("jsonrpc: must be \"2.0\"");
        }
        let id = fields.remove("id");
        let Some(method) = fields.remove("method") else {
            let answers = fields.contains_key("result") || fields.contains_key("error");
            return if answers { Ok(Message::Response) } else { invalid("method: required") };
        };
        let Value::String(method) = method else { return invalid("method: must be a string") };
        let Some(id) = id else { return Ok(Message::Notification) };
        if !(id.is_string() || id.is_i64() || id.is_u64()) {
            return invalid("id: must be a string or an integer");
        }
        match fields.remove("params") {
            None => Ok(Message::Request(Request { id, method, params: Map::new() })),
            Some(Value::Object(params)) => Ok(Message::Request(Request { id, method, params })),
            Some(_) => invalid("params: must be an object"),
        }
    }
}

/// The answer to the request of that id; `null` where it had none that could be read.
pub fn answer(id: Value, result: Result<Value, Fault>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(Fault { code, message, data: None }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
        Err(Fault { code, message, data: Some(data) }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message, "data": data } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_message_of_three_kinds() {
        let request = Message::of(json!({ "jsonrpc": "2.0", "id": "a", "method": "ping" })).unwrap();
        assert_eq!(request, Message::Request(Request { id: "a".into(), method: "ping".into(), params: Map::new() }));
        let of = |body: Value| Message::of(body).unwrap();
        assert_eq!(of(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })), Message::Notification);
        assert_eq!(of(json!({ "jsonrpc": "2.0", "id": 1, "result": {} })), Message::Response);
        assert_eq!(of(json!({ "jsonrpc": "2.0", "id": 1, "error": {} })), Message::Response);
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (body, why) in [
            (json!([{ "jsonrpc": "2.0", "id": 1, "method": "ping" }]), "batch"),
            (json!("ping"), "one JSON-RPC message"),
            (json!({ "id": 1, "method": "ping" }), "jsonrpc"),
            (json!({ "jsonrpc": "2.0", "id": 1 }), "method"),
            (json!({ "jsonrpc": "2.0", "id": 1, "method": 2 }), "method"),
            (json!({ "jsonrpc": "2.0", "id": null, "method": "ping" }), "id"),
            (json!({ "jsonrpc": "2.0", "id": 1.5, "method": "ping" }), "id"),
            (json!({ "jsonrpc": "2.0", "id": 1, "method": "ping", "params": [] }), "params"),
        ] {
            let fault = Message::of(body).unwrap_err();
            assert!(fault.code == INVALID_REQUEST && fault.message.contains(why), "{fault:?}");
        }
    }
}
