//! Failures in Anthropic's shape.
//!
//! Rule: a failure's type follows from its status; a balance that is empty is told apart, since waiting does not fill it.

use serde_json::{Value, json};

use crate::error::ErrorCode;

/// The type of a balance that cannot pay.
const BILLING_ERROR: &str = "billing_error";

/// The body of a failure. `code` is the word that OpenAI's shape has for it.
pub fn json(status: u16, code: &str, message: &str, request_id: &str) -> Value {
    let error_type = if code == "insufficient_quota" { BILLING_ERROR } else { type_of_status(status) };
    json!({ "type": "error", "error": { "type": error_type, "message": message }, "request_id": request_id })
}

/// The type of a failure in the middle of a stream, by our own code for it.
pub fn type_of_code(code: &str) -> &'static str {
    let known = ErrorCode::ALL.into_iter().find(|known| known.as_str() == code);
    type_of_status(known.unwrap_or(ErrorCode::Internal).status().as_u16())
}

fn type_of_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => BILLING_ERROR,
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
        let whole = json(404, "model_not_found", "no model", "req-1");
        let expected = json!({"type": "error", "error": {"type": "not_found_error", "message": "no model"}, "request_id": "req-1"});
        assert_eq!(whole, expected);
    }

    #[test]
    fn a_failure_in_a_stream_has_the_type_of_its_code() {
        for (code, expected) in [
            ("MODEL_UNAVAILABLE", "api_error"),
            ("SERVICE_UNAVAILABLE", "overloaded_error"),
            ("VALIDATION_ERROR", "invalid_request_error"),
            ("PAYMENT_REQUIRED", "billing_error"),
            ("?", "api_error"),
        ] {
            assert_eq!(type_of_code(code), expected);
        }
    }
}
