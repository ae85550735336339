//! What an upstream's error means, in a sentence of ours.
//!
//! Rule: no word of the upstream's is repeated: it may hold keys, URLs or someone else's prompt.

use serde_json::Value;

/// The reply held something that is not a chunk.
pub(super) const UNREADABLE: &str = "the model sent something that cannot be read";
/// The reply ended without saying why.
pub(super) const CUT_OFF: &str = "the model's reply was cut off";
/// The reply outgrew a cap of ours.
pub(super) const TOO_LONG: &str = "the model sent too much at once";
/// Nothing better is known.
const FAILED: &str = "the model failed during its reply";

/// Signs by which an error is known, and its sentence. The first that fits counts.
const KNOWN: [(&[&str], &str); 4] = [
    (
        &["context_length", "context length", "context window", "context size", "exceed_context", "prompt is too long"],
        "the conversation is too long for the model",
    ),
    (
        &["content_filter", "content filter", "content_policy", "content policy", "moderation"],
        "the model's provider refused the content",
    ),
    (
        &["#429", "rate_limit", "rate limit", "rate-limit", "too many requests", "quota", "resource_exhausted"],
        "the model's provider is limiting requests: wait, then try again",
    ),
    (
        &["#502", "#503", "#529", "overloaded", "capacity", "unavailable"],
        "the model's provider is overloaded: wait, then try again",
    ),
];

/// The sentence for an upstream's error: the value of an `error` field, or a whole error body.
pub fn explain(error: &str) -> &'static str {
    let value = serde_json::from_str(error).unwrap_or(Value::Null);
    let error = value.get("error").unwrap_or(&value);
    let mut signs = error.as_str().unwrap_or_default().to_lowercase();
    for field in ["code", "type", "status", "message"] {
        match error.get(field) {
            Some(Value::String(text)) => signs.extend([" #", &text.to_lowercase()]),
            Some(Value::Number(code)) => signs.extend([" #", &code.to_string()]),
            _ => {}
        }
    }
    let known = KNOWN.iter().find(|(words, _)| words.iter().any(|word| signs.contains(word)));
    known.map_or(FAILED, |(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_its_signs_and_masked_without_them() {
        for (error, has) in [
            (r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#, "limiting"),
            (r#"{"message":"slow down","code":429}"#, "limiting"),
            (r#"{"code":400,"type":"exceed_context_size_error","message":"n_ctx is 4096"}"#, "too long"),
            (r#"{"code":"content_filter"}"#, "refused"),
            (r#"{"error":"model is overloaded"}"#, "overloaded"),
            (r#"{"code":503,"message":null}"#, "overloaded"),
            (r#"{"message":"postgres://u:p@h says 429 things","code":500}"#, FAILED),
            ("sk-secret", FAILED),
            (r#"["sk-secret"]"#, FAILED),
        ] {
            assert!(explain(error).contains(has), "{error}");
        }
    }
}
