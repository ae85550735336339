//! What an upstream's error means, in a sentence of ours.
//!
//! Rule: no word of the upstream's is repeated: it may hold keys, URLs or someone else's prompt.

use serde_json::Value;

use crate::error::Refused;

/// The reply held something that is not a chunk.
pub(super) const UNREADABLE: &str = "the model sent something that cannot be read";
/// The reply ended without saying why.
pub(super) const CUT_OFF: &str = "the model's reply was cut off";
/// The reply outgrew a cap of ours.
pub(super) const TOO_MUCH: &str = "the model sent too much at once";
/// The prompt is longer than the model's window.
pub const TOO_LONG: &str = "the conversation is too long for the model";
/// A page for people came.
pub(super) const WEB_PAGE: &str =
    "the model's server sent a web page: check the provider's base URL, which often ends in /v1";
/// Something came that is neither a reply nor an error that is known.
pub(super) const NO_REPLY: &str =
    "the model's provider sent something else than a reply: check the provider's base URL";
/// Nothing better is known.
const FAILED: &str = "the model failed during its reply";
/// The same, of an error that came in the reply's place.
const REFUSED: &str = "the model's provider reported an error in place of a reply";

/// The content was refused.
const CONTENT: &str = "the model's provider refused the content";
/// It was asked too often.
const LIMITED: &str = "the model's provider is limiting requests: wait, then try again";
/// The account has nothing left.
const NO_BALANCE: &str = "the account at the model's provider has no balance left";
/// The key was refused.
const KEY: &str = "the model's provider rejected the key: check the provider's API key";

/// Signs by which an error is known, and its sentence. The first that fits counts. A `#` is in front of codes, and MiniMax's
/// own have its field there.
const KNOWN: [(&[&str], &str); 8] = [
    (
        &["context_length", "context length", "context window", "context size", "exceed_context", "prompt is too long"],
        TOO_LONG,
    ),
    (
        &[
            "content_filter",
            "content filter",
            "content_policy",
            "content policy",
            "moderation",
            "status_code#1026",
            "status_code#1027",
        ],
        CONTENT,
    ),
    (
        &[
            "#429",
            "rate_limit",
            "rate limit",
            "rate-limit",
            "ratelimit",
            "too many requests",
            "quota",
            "resource_exhausted",
            "throttl",
            "status_code#1002",
            "限流",
            "速率限制",
        ],
        LIMITED,
    ),
    (
        &[
            "#402",
            "payment required",
            "insufficient balance",
            "insufficient_balance",
            "insufficient credit",
            "insufficient funds",
            "out of credit",
            "not enough credit",
            "arrear",
            "status_code#1008",
            "余额不足",
            "欠费",
        ],
        NO_BALANCE,
    ),
    (
        &[
            "#401",
            "#403",
            "unauthorized",
            "unauthenticated",
            "not authenticated",
            "authentication",
            "api key",
            "api_key",
            "api-key",
            "apikey",
            "invalid token",
            "token expired",
            "token has expired",
            "permission",
            "forbidden",
            "access denied",
            "status_code#1004",
            "status_code#2049",
        ],
        KEY,
    ),
    (
        &["#502", "#503", "#529", "overloaded", "capacity", "unavailable", "server is busy", "upstream connect error"],
        "the model's provider is overloaded: wait, then try again",
    ),
    (
        &["#404", "model_not_found", "model not found", "no such model", "unknown model", "not_found_error"],
        "the model's provider does not know the model",
    ),
    (&["#408", "#504", "timed out", "timeout"], "the model's provider took too long: try again"),
];

/// Where servers put what is wrong. Nothing else of an error is looked at: it may hold what was asked.
const FIELDS: [&str; 22] = [
    "error",
    "errors",
    "base_resp",
    "code",
    "type",
    "status",
    "message",
    "msg",
    "detail",
    "details",
    "status_code",
    "status_msg",
    "error_code",
    "error_msg",
    "error_message",
    "errmsg",
    "errcode",
    "error_description",
    "reason",
    "title",
    "metadata",
    "raw",
];
/// How deep errors lie in each other, and how many of a list are read.
const DEPTH_MAX: usize = 4;
const ERRORS_MAX: usize = 8;

/// The sentence for an upstream's error: the value of an `error` field, or a whole error body.
pub fn explain(error: &str) -> &'static str {
    known(error).unwrap_or(FAILED)
}

/// Why an error with one of our sentences is a refusal, if it is one.
pub fn refusal(sentence: &str) -> Option<Refused> {
    match sentence {
        CONTENT => Some(Refused::Content),
        LIMITED => Some(Refused::Limited { retry_after: None }),
        NO_BALANCE | KEY => Some(Refused::Credentials),
        _ => None,
    }
}

/// The same of an error of which nothing but itself came.
pub(super) fn explain_refusal(error: &str) -> &'static str {
    known(error).unwrap_or(REFUSED)
}

fn known(error: &str) -> Option<&'static str> {
    let mut signs = String::new();
    match serde_json::from_str(error) {
        Ok(value) => gather(&value, "", DEPTH_MAX, &mut signs),
        Err(_) => signs = error.to_lowercase(),
    }
    let known = KNOWN.iter().find(|(words, _)| words.iter().any(|word| signs.contains(word)));
    known.map(|(_, sentence)| *sentence)
}

fn gather(value: &Value, field: &str, depth: usize, signs: &mut String) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::String(text) => signs.extend([" #", &text.to_lowercase()]),
        Value::Number(code) => signs.extend([" ", field, "#", &code.to_string()]),
        Value::Array(errors) => errors.iter().take(ERRORS_MAX).for_each(|error| gather(error, field, depth, signs)),
        Value::Object(fields) => {
            let told = fields.iter().filter(|(name, _)| FIELDS.contains(&name.as_str()));
            told.for_each(|(name, value)| gather(value, name, depth, signs));
        }
        _ => {}
    }
}

/// Whether a chunk without words is an error in other words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// It says so.
    Certain,
    /// It may be one: if nothing else explains why there is no reply, it was.
    Possible,
}

/// What a document is that has no choices, if it is a complaint.
pub(super) fn complaint(document: &str) -> Option<Complaint> {
    let Ok(Value::Object(fields)) = serde_json::from_str(document) else { return None };
    let code_of = |names: &[&str]| {
        let codes =
            names.iter().filter_map(|name| fields.get(*name)).filter(|code| code.is_number() || code.is_string());
        codes.map(|code| code.as_str().map_or_else(|| code.to_string(), str::to_lowercase)).collect::<Vec<_>>()
    };
    if fields.get("base_resp").is_some_and(is_refusal) {
        return Some(Complaint::Certain);
    }
    let says_error = ["object", "type", "status"].iter().any(|name| {
        fields.get(*name).and_then(Value::as_str).is_some_and(|word| ["error", "failed", "fail"].contains(&word))
    });
    if says_error || fields.get("success") == Some(&Value::Bool(false)) {
        return Some(Complaint::Certain);
    }
    let codes = code_of(&["code", "status_code", "error_code", "errcode"]);
    let is_fine = |code: &String| ["", "0", "200", "ok", "success"].contains(&code.as_str());
    if !codes.is_empty() {
        return (!codes.iter().all(is_fine)).then_some(Complaint::Possible);
    }
    let tells =
        ["message", "msg", "detail", "details", "errors", "error_msg", "error_message", "errmsg", "title", "reason"];
    let told = tells.iter().filter_map(|name| fields.get(*name)).any(|value| match value {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(errors) => !errors.is_empty(),
        _ => false,
    });
    told.then_some(Complaint::Possible)
}

/// Whether MiniMax's status, which comes with good replies too, is of a bad one.
pub(super) fn is_refusal(base_resp: &Value) -> bool {
    base_resp["status_code"].as_f64().is_some_and(|code| code != 0.0)
}

/// Whether a server says that it has not loaded its model as yet.
pub fn is_loading(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("loading model") || said.contains("model is loading") || said.contains("currently loading")
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
            (r#"[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]"#, "limiting"),
            (r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#, "balance"),
            (r#"{"base_resp":{"status_code":1002,"status_msg":"x"}}"#, "limiting"),
            (r#"{"code":1002,"msg":"x"}"#, FAILED),
            (r#"{"code":401,"msg":"token expired or incorrect","success":false}"#, "key"),
            (r#"{"detail":"Not authenticated"}"#, "key"),
            (r#"{"detail":[{"loc":["body"],"msg":"no such model","input":"rate limit"}]}"#, "know the model"),
            (r#"{"message":"Too many requests","object":"error","code":429}"#, "limiting"),
            (
                r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"code\":\"rate_limit\"}"}}}"#,
                "limiting",
            ),
            (r#"{"errors":[{"message":"Model not found"}]}"#, "know the model"),
            ("upstream connect error or disconnect/reset before headers", "overloaded"),
            ("<html><h1>504 Gateway Time-out</h1>", FAILED),
        ] {
            assert!(explain(error).contains(has), "{error}: {}", explain(error));
        }
    }

    #[test]
    fn a_document_without_choices_is_a_complaint_or_none() {
        use Complaint::{Certain, Possible};
        for (document, expected) in [
            (r#"{"base_resp":{"status_code":1008}}"#, Some(Certain)),
            (r#"{"base_resp":{"status_code":0,"status_msg":"success"}}"#, None),
            (r#"{"success":false}"#, Some(Certain)),
            (r#"{"object":"error"}"#, Some(Certain)),
            (r#"{"type":"error","code":0}"#, Some(Certain)),
            (r#"{"code":401,"msg":"x"}"#, Some(Possible)),
            (r#"{"code":"401","msg":"x"}"#, Some(Possible)),
            (r#"{"code":200,"msg":"ok"}"#, None),
            (r#"{"code":"0","message":"success"}"#, None),
            (r#"{"detail":"x"}"#, Some(Possible)),
            (r#"{"detail":[{"msg":"x"}]}"#, Some(Possible)),
            (r#"{"message":"x"}"#, Some(Possible)),
            (r#"{"message":{"role":"assistant"},"done":false}"#, None),
            (r#"{"message":null,"code":null}"#, None),
            (r#"{"type":"ping"}"#, None),
            (r#"{"id":"x","object":"chat.completion.chunk","choices":[],"usage":{}}"#, None),
            ("[]", None),
            ("{", None),
        ] {
            assert_eq!(complaint(document), expected, "{document}");
        }
    }

    #[test]
    fn an_error_lies_as_deep_as_the_bound_and_no_deeper() {
        let deep = |depth: usize| "{\"error\":".repeat(depth) + "\"overloaded\"" + &"}".repeat(depth);
        for (depth, is_known) in [(DEPTH_MAX - 2, true), (DEPTH_MAX - 1, true), (DEPTH_MAX, false)] {
            assert_eq!(known(&deep(depth)).is_some(), is_known, "{depth}");
        }
        let list = |before: usize| format!("[{}\"overloaded\"]", "\"x\",".repeat(before));
        for (before, is_known) in [(ERRORS_MAX - 2, true), (ERRORS_MAX - 1, true), (ERRORS_MAX, false)] {
            assert_eq!(known(&list(before)).is_some(), is_known, "{before}");
        }
    }
}
