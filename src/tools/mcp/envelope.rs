//! Answers as they pass through the library that speaks the protocol: closed, so that it cannot take them for something else.
//!
//! It reads a result as the first of its own types that fits, and the whole list is nothing to it if one tool of it is bad. So what a
//! server answered is put into an envelope that fits none of them, and opened by whoever asked. An error travels the same way: what
//! comes as an error then is the library's own.
//! Rule: the handshake is left as it is.

use serde_json::{Map, Value, json};

const RESULT: &str = "alm/result";
const ERROR: &str = "alm/error";
/// An answer that says neither.
const NOTHING: &str = "alm/nothing";
/// The code of an answer that was too long to read.
pub(super) const TOO_LONG: i64 = -1;

/// What a server answered.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    Result(Value),
    Error {
        code: i64,
        message: String,
    },
    /// Longer than it may be, in bytes.
    TooLong(u64),
}

/// Closes an answer. `request` is what it answers, for servers that leave that out of an error.
pub(super) fn close(mut message: Value, request: Option<&Value>) -> Value {
    let Value::Object(fields) = &mut message else { return message };
    if fields.contains_key("method") {
        return message;
    }
    if let Some(request) = request.filter(|_| fields.get("id").is_none_or(Value::is_null)) {
        fields.insert("id".into(), request.clone());
    }
    if fields.get("id").is_none_or(Value::is_null) {
        return message;
    }
    let closed = match (fields.shift_remove("result"), fields.shift_remove("error")) {
        (_, Some(error)) => single(ERROR, error),
        (Some(result), None) => single(RESULT, result),
        (None, None) => single(NOTHING, Value::Null),
    };
    fields.insert("result".into(), closed);
    message
}

/// The answer to a request whose real one has more than `bytes_max`, still to be closed.
pub(super) fn too_long(request: &Value, bytes_max: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": request, "error": {"code": TOO_LONG, "data": bytes_max, "message": ""}})
}

/// Opens an answer.
pub(super) fn open(closed: Value) -> Option<Reply> {
    let Value::Object(mut fields) = closed else { return None };
    if let Some(result) = fields.remove(RESULT) {
        return Some(Reply::Result(result));
    }
    let error = fields.remove(ERROR)?;
    let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    match error.get("data").and_then(Value::as_u64) {
        Some(bytes_max) if code == TOO_LONG && message.is_empty() => Some(Reply::TooLong(bytes_max)),
        _ => Some(Reply::Error { code, message }),
    }
}

fn single(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

#[cfg(test)]
mod tests {
    use rmcp::model::{ServerJsonRpcMessage, ServerResult};

    use super::*;

    /// What the library makes of a closed answer.
    fn passed(message: Value, request: Option<&Value>) -> Option<Reply> {
        let text = close(message, request).to_string();
        match serde_json::from_str(&text).unwrap() {
            ServerJsonRpcMessage::Response(response) => match response.result {
                ServerResult::CustomResult(raw) => open(raw.0),
                other => panic!("{other:?}"),
            },
            _ => None,
        }
    }

    #[test]
    fn whatever_a_server_answers_comes_out_as_it_went_in() {
        for result in [
            json!({}),
            json!(null),
            json!([1]),
            json!({"tools": [{"name": "a"}]}),
            json!({"tools": [{"name": "a", "inputSchema": {"type": "object"}}], "ttlMs": 5}),
            json!({"content": [{"type": "hologram"}], "isError": "perhaps"}),
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "a", "version": "1"}}),
            json!({"alm/error": {}}),
        ] {
            let message = json!({"jsonrpc": "2.0", "id": 7, "result": result});
            assert_eq!(passed(message, None), Some(Reply::Result(result)));
        }
    }

    #[test]
    fn an_error_is_an_answer_and_knows_what_it_answers() {
        let error = json!({"code": -32602, "message": "no", "data": {"x": 1}});
        let expected = Some(Reply::Error { code: -32602, message: "no".into() });
        assert_eq!(passed(json!({"jsonrpc": "2.0", "id": 7, "error": error}), None), expected);
        assert_eq!(passed(json!({"jsonrpc": "2.0", "id": null, "error": error}), Some(&json!(7))), expected);
        assert_eq!(passed(json!({"jsonrpc": "2.0", "error": error}), Some(&json!(7))), expected);
        let nobodys = json!({"jsonrpc": "2.0", "error": error});
        assert_eq!(close(nobodys.clone(), None), nobodys);
        let spoofed = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": TOO_LONG, "message": "m", "data": 1}});
        assert_eq!(passed(spoofed, None), Some(Reply::Error { code: TOO_LONG, message: "m".into() }));
    }

    #[test]
    fn an_answer_without_a_result_is_one_all_the_same() {
        let text = close(json!({"jsonrpc": "2.0", "id": 7}), None).to_string();
        let read: ServerJsonRpcMessage = serde_json::from_str(&text).unwrap();
        let ServerJsonRpcMessage::Response(response) = read else { panic!("{read:?}") };
        let ServerResult::CustomResult(raw) = response.result else { panic!("{:?}", response.result) };
        assert_eq!(open(raw.0), None);
    }

    #[test]
    fn an_answer_that_is_too_long_says_so() {
        assert_eq!(passed(too_long(&json!(7), 4), None), Some(Reply::TooLong(4)));
    }

    #[test]
    fn notices_and_requests_of_the_server_are_left_alone() {
        let notice = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"result": 1}});
        assert_eq!(close(notice.clone(), Some(&json!(1))), notice);
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "result": 1});
        assert_eq!(close(ping.clone(), None), ping);
        assert_eq!(close(json!([1]), None), json!([1]));
    }
}
