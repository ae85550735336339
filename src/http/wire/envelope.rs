//! What every failure is wrapped in: `{"success":false,"error":{…}}`. Successes are next door, in `data.rs`.
//!
//! Rule: a code's status is in the table of `error_code.rs`; nothing else names a status of failure. A cause is in no
//! body.

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::data::{JSON, json_of};
use crate::error::{Error, ErrorCode, INTERNAL_TEXT, unknown_model_text};

/// The envelope of an error.
#[derive(Debug, Object, Serialize)]
#[oai(example)]
struct Failure {
    /// Always `false`.
    success: bool,
    error: FailureError,
}

/// An error.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct FailureError {
    code: ErrorCode,
    /// A sentence for people. It may change; the code does not.
    message: String,
    /// The request's id, as in `X-Request-Id` and in the server's log.
    request_id: String,
    /// Details for programs: `fields` of a 422, `retryAfterMs` of a 429, `balanceMicrocents` or `keyLimitMicrocents` of a 402, `model`
    /// and `upstreamSaid` of a provider's test.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl Example for Failure {
    fn example() -> Self {
        Failure {
            success: false,
            error: FailureError {
                code: ErrorCode::Unauthorized,
                message: "send an API key: `Authorization: Bearer alm_…`".into(),
                request_id: "019aa7c2-6f7e-7c51-9f0a-1d2b3c4d5e6f".into(),
                details: None,
            },
        }
    }
}

/// A failure as it will be sent, still without its request id.
#[derive(Debug)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    pub details: Option<Value>,
    /// Headers of this failure alone.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// Without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), details: None, headers: Vec::new() }
    }

    /// Ours; the text is the same for every cause.
    pub fn internal() -> Self {
        Self::new(ErrorCode::Internal, INTERNAL_TEXT)
    }

    fn details(self, details: Value) -> Self {
        Refusal { details: Some(details), ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
        self
    }

    /// Rounded up, so that nobody who waits that long comes too early.
    fn retry_after(self, wait: std::time::Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        self.header(header::RETRY_AFTER, seconds.to_string())
    }

    /// The response.
    pub fn into_response(self, request_id: &str) -> Response {
        let Refusal { code, message, details, headers } = self;
        let error = FailureError { code, message, request_id: request_id.to_owned(), details };
        let body = json_of(&Failure { success: false, error });
        let mut response = Response::builder().status(code.status()).content_type(JSON).body(body);
        response.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
        response
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let refusal = Refusal::new(error.code(), error.public_text());
        match error {
            Error::Unauthorized(_) => refusal.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Error::PaymentRequired { balance, model } => {
                refusal.details(json!({ "balanceMicrocents": balance, "model": model }))
            }
            Error::KeyLimit { limit, resets_at, .. } => {
                refusal.details(json!({ "keyLimitMicrocents": limit, "resetsAt": resets_at }))
            }
            Error::Forbidden { step_up: true, .. } => refusal.details(json!({ "stepUp": true })),
            Error::Invalid(fields) => {
                let fields: Vec<_> = fields.iter().map(|i| json!({ "field": i.field, "message": i.message })).collect();
                refusal.details(json!({ "fields": fields }))
            }
            Error::UnknownModel(id) => {
                let message = unknown_model_text(id);
                refusal.details(json!({ "fields": [{ "field": "model", "message": message }] }))
            }
            Error::Pending(calls) => {
                let pending = calls.iter().map(|(id, tool)| json!({ "approvalId": id, "toolName": tool }));
                let fields = json!([{ "field": "approvals", "message": "required for every call that waits" }]);
                refusal.details(json!({ "fields": fields, "pending": pending.collect::<Vec<_>>() }))
            }
            Error::TooLong { .. } => {
                refusal.details(json!({ "fields": [{ "field": "messages", "message": error.public_text() }] }))
            }
            Error::TooManyRequests { retry_after } => {
                refusal.details(json!({ "retryAfterMs": retry_after.as_millis() as u64 })).retry_after(*retry_after)
            }
            Error::TestFailed { failed, model, said } => {
                let refusal = Refusal::from(&**failed);
                let mut details = refusal.details.clone().unwrap_or_else(|| json!({}));
                details["model"] = json!(model);
                details["upstreamSaid"] = json!(said);
                refusal.details(details)
            }
            Error::Unavailable { retry_after, .. } => refusal.retry_after(*retry_after),
            _ => refusal,
        }
    }
}

/// What a handler fails with: a fact, on its way to its code.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ApiError(#[from] pub Error);

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        Refusal::from(&self.0).code.status()
    }
}

impl ApiResponse for ApiError {
    /// Every status that an operation can return, each once: two entries of one status make a document invalid.
    fn meta() -> MetaResponses {
        let of_operations = ErrorCode::ALL.into_iter().filter(|code| *code != ErrorCode::MethodNotAllowed);
        let response = |code: ErrorCode| MetaResponse {
            description: code.row().1,
            status: Some(code.row().0),
            status_range: None,
            content: vec![MetaMediaType { content_type: JSON, schema: Failure::schema_ref() }],
            headers: code.header().map(documented_header).into_iter().collect(),
        };
        MetaResponses { responses: of_operations.map(response).collect() }
    }

    fn register(registry: &mut Registry) {
        Failure::register(registry);
    }
}

/// A header as the document shows it.
pub fn documented_header((name, description): (&str, &str)) -> MetaHeader {
    MetaHeader {
        name: name.into(),
        description: Some(description.into()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_two_codes_share_a_status() {
        let mut statuses: Vec<_> = ErrorCode::ALL.iter().map(|code| code.row().0).collect();
        statuses.dedup();
        assert_eq!(statuses.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn a_cause_of_ours_is_in_no_body() {
        let refusal = Refusal::from(&Error::internal("password is hunter2"));
        assert!(!refusal.message.contains("hunter2"));
    }

    #[test]
    fn who_waits_as_told_is_never_early() {
        for (wait_ms, seconds) in [(1, "1"), (1000, "1"), (1001, "2"), (0, "1")] {
            let refusal = Refusal::from(&Error::TooManyRequests { retry_after: Duration::from_millis(wait_ms) });
            assert_eq!(refusal.headers[0].1, seconds);
        }
    }
}
