//! What every failure is wrapped in: `{"success":false,"error":{…}}`. Successes are next door, in `data.rs`.
//!
//! Rule: one table says which code has which status and what the document tells of it; nothing else names a status of
//! failure. A cause is in no body.

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Enum, Object,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{Example, Type},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::data::{JSON, json_of};
use crate::error::{Error, INTERNAL_TEXT};

/// The code of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    BadRequest,
    Unauthorized,
    PaymentRequired,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    PayloadTooLarge,
    ValidationError,
    TooManyRequests,
    Internal,
    ModelUnavailable,
    ServiceUnavailable,
}

impl ErrorCode {
    /// Every code, by status.
    pub const ALL: [ErrorCode; 13] = [
        ErrorCode::BadRequest,
        ErrorCode::Unauthorized,
        ErrorCode::PaymentRequired,
        ErrorCode::Forbidden,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::Conflict,
        ErrorCode::PayloadTooLarge,
        ErrorCode::ValidationError,
        ErrorCode::TooManyRequests,
        ErrorCode::Internal,
        ErrorCode::ModelUnavailable,
        ErrorCode::ServiceUnavailable,
    ];

    /// The table: a code's status, and when it is answered.
    const fn row(self) -> (u16, &'static str) {
        match self {
            ErrorCode::BadRequest => (400, "Invalid JSON, a missing field, a wrong type, or another content type."),
            ErrorCode::Unauthorized => (401, "No API key and no sign-in, or one that is unknown or has expired."),
            ErrorCode::PaymentRequired => (402, "The balance cannot pay for a reply of this model."),
            ErrorCode::Forbidden => {
                (403, "Not allowed: a scope, another organization or a browser sign-in is required.")
            }
            ErrorCode::NotFound => (404, "It does not exist, or is not visible to this organization."),
            ErrorCode::MethodNotAllowed => (405, "The path does not accept this method."),
            ErrorCode::Conflict => (409, "In conflict with the current state: a slug is taken, or a reply is running."),
            ErrorCode::PayloadTooLarge => (413, "The body is too large."),
            ErrorCode::ValidationError => (422, "A value is out of range; `details.fields` lists them."),
            ErrorCode::TooManyRequests => (429, "Too many requests."),
            ErrorCode::Internal => (500, "An internal error; the server's log has the cause under the request id."),
            ErrorCode::ModelUnavailable => (502, "The model refused, failed or could not be reached."),
            ErrorCode::ServiceUnavailable => {
                (503, "Temporarily unavailable: shutting down, disk full, or at capacity.")
            }
        }
    }

    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).expect("the table holds valid statuses")
    }

    /// The header that comes with it, and what that header says.
    const fn header(self) -> Option<(&'static str, &'static str)> {
        match self {
            ErrorCode::Unauthorized => Some(("WWW-Authenticate", "`Bearer`")),
            ErrorCode::TooManyRequests | ErrorCode::ServiceUnavailable => {
                Some(("Retry-After", "Seconds to wait before retrying."))
            }
            ErrorCode::MethodNotAllowed => Some(("Allow", "The methods this path accepts.")),
            _ => None,
        }
    }
}

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
    /// Details for programs: `fields` of a 422, `retryAfterMs` of a 429, `balanceMicrocents` of a 402.
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

/// A failure as it will be answered, still without its request id.
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

    /// The answer.
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
        let refuse = |code| Refusal::new(code, error.to_string());
        match error {
            Error::BadRequest(_) => refuse(ErrorCode::BadRequest),
            Error::Unauthorized(_) => {
                refuse(ErrorCode::Unauthorized).header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Error::PaymentRequired { balance, model } => {
                refuse(ErrorCode::PaymentRequired).details(json!({ "balanceMicrocents": balance, "model": model }))
            }
            Error::Forbidden { step_up: true, .. } => refuse(ErrorCode::Forbidden).details(json!({ "stepUp": true })),
            Error::Forbidden { .. } => refuse(ErrorCode::Forbidden),
            Error::NotFound(_) => refuse(ErrorCode::NotFound),
            Error::Conflict(_) => refuse(ErrorCode::Conflict),
            Error::PayloadTooLarge { .. } => refuse(ErrorCode::PayloadTooLarge),
            Error::Invalid(fields) => {
                let fields: Vec<_> = fields.iter().map(|i| json!({ "field": i.field, "message": i.message })).collect();
                refuse(ErrorCode::ValidationError).details(json!({ "fields": fields }))
            }
            Error::TooManyRequests { retry_after } => refuse(ErrorCode::TooManyRequests)
                .details(json!({ "retryAfterMs": retry_after.as_millis() as u64 }))
                .retry_after(*retry_after),
            Error::ModelUnavailable(_) => refuse(ErrorCode::ModelUnavailable),
            Error::Unavailable { retry_after, .. } => refuse(ErrorCode::ServiceUnavailable).retry_after(*retry_after),
            Error::Failed { .. } | Error::Internal(_) => Refusal::internal(),
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
    /// Every status that an operation can answer, each once: two entries of one status make a document invalid.
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
