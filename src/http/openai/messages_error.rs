//! Failures in Anthropic's shape.
//!
//! Rule: a failure's type follows from its status; a balance that is empty is told apart, since waiting does not fill it.

use std::borrow::Cow;

use serde_json::{Value, json};

/// The body of a failure. `code` is the word that OpenAI's shape has for it.
pub fn json(status: u16, code: &str, message: &str, request_id: &str) -> Value {
    let error = json!({ "type": type_of(status, code), "message": message_of(code, message) });
    json!({ "type": "error", "error": error, "request_id": request_id })
}

/// The sentence of a failure. Clients that shorten a conversation know that they have to by its first words.
pub fn message_of<'a>(code: &str, message: &'a str) -> Cow<'a, str> {
    match code {
        "context_length_exceeded" => format!("prompt is too long: {message}").into(),
        _ => message.into(),
    }
}

/// The type of a failure.
pub fn type_of(status: u16, code: &str) -> &'static str {
    match status {
        _ if code == "insufficient_quota" => "billing_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_follows_from_its_status_and_an_empty_balance_is_told_apart() {
        let of = |status, code| json(status, code, "m", "r")["error"]["type"].as_str().unwrap().to_owned();
        for (status, expected) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (409, "invalid_request_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
        ] {
            assert_eq!(of(status, "x"), expected, "{status}");
        }
        assert_eq!(of(429, "insufficient_quota"), "billing_error");
        assert_eq!(message_of("context_length_exceeded", "m holds 8 tokens"), "prompt is too long: m holds 8 tokens");
        let whole = json(404, "model_not_found", "no model", "req-1");
        let expected = json!({"type": "error", "error": {"type": "not_found_error", "message": "no model"}, "request_id": "req-1"});
        assert_eq!(whole, expected);
    }
}
