//! What goes wrong on these paths, as clients of OpenAI read it: four keys, always all four.
//!
//! Rule: a failure that the client's own retry cannot mend is no 5xx and no 429 without `x-should-retry: false`, since SDKs
//! repeat those by themselves. A message is ours and never an upstream's.

use std::time::Duration;

use poem::{
    Response,
    error::ResponseError,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use serde_json::{Value, json};

use super::messages_error;
use crate::{
    error::{Error, Invalid, Refused},
    http::{
        auth::OTHER_ORG,
        state::in_flight::OTHER_BODY,
        wire::{
            data::{JSON, json_of},
            envelope::ApiError,
        },
    },
    turn::chunk::ErrorData,
};

/// The four words that there are for what went wrong: whose fault it is.
pub const INVALID_REQUEST: &str = "invalid_request_error";
const AUTHENTICATION: &str = "authentication_error";
const PERMISSION: &str = "permission_error";
const INSUFFICIENT_QUOTA: &str = "insufficient_quota";
const RATE_LIMIT: &str = "rate_limit_error";
const SERVER: &str = "server_error";

/// How long to wait where a model's server limits requests and does not say how long.
const LIMITED_RETRY: Duration = Duration::from_secs(5);
/// What it says is told between these bounds.
const LIMITED_RETRY_MIN: Duration = Duration::from_secs(1);
const LIMITED_RETRY_MAX: Duration = Duration::from_secs(120);

/// Tells SDKs whether to try again by themselves, whatever the status says.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whose clients read a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    OpenAi,
    Anthropic,
}

/// One failure, as it will be sent.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub status: StatusCode,
    /// Whose fault it is.
    pub kind: &'static str,
    pub code: Option<&'static str>,
    /// The field, as the client wrote it: `messages[2].content[1]`.
    pub param: Option<String>,
    pub message: String,
    /// Headers of this failure alone.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Fault {
    /// Without a field.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        code: impl Into<Option<&'static str>>,
        message: impl Into<String>,
    ) -> Self {
        let (code, message) = (code.into(), message.into());
        Fault { status, kind, code, param: None, message, headers: Vec::new() }
    }

    fn of_field(code: &'static str, param: impl Into<String>, what: &str) -> Self {
        let param = param.into();
        let message = format!("{param}: {what}");
        Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, code, message).param(param)
    }

    /// A field of the wrong type: `expected a string`.
    pub fn invalid_type(param: impl Into<String>, what: &str) -> Self {
        Self::of_field("invalid_type", param, what)
    }

    /// A field that must be there and is not.
    pub fn missing_field(param: impl Into<String>) -> Self {
        Self::of_field("missing_field", param, "required")
    }

    /// A field out of range: `must be at least 1`.
    pub fn invalid_value(param: impl Into<String>, what: &str) -> Self {
        Self::of_field("invalid_value", param, what)
    }

    /// A field that is not served.
    pub fn unsupported_parameter(param: impl Into<String>, what: &str) -> Self {
        Self::of_field("unsupported_parameter", param, what)
    }

    /// A value that is not served, of a field that is.
    pub fn unsupported_value(param: impl Into<String>, what: &str) -> Self {
        Self::of_field("unsupported_value", param, what)
    }

    /// There is no model of that name for the caller.
    pub fn model_not_found(asked: &str) -> Self {
        let message = format!("no model called {asked}: GET /v1/models lists those there are");
        Self::not_found("model_not_found", message).param("model")
    }

    /// There is none, or it is not the caller's.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, code, message)
    }

    /// True only of another state than the present one. SDKs try again by themselves.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, INVALID_REQUEST, code, message)
    }

    /// Ours, or a panic. The message is completed with the request's id.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, "internal_error", "something went wrong inside the server")
    }

    /// Of a reply that failed after its head: the same words, by what the other API's stream says.
    pub fn of_stream(data: &ErrorData) -> Self {
        let failed = |status, kind, code| Fault::new(status, kind, Some(code), &*data.message);
        match &*data.code {
            "MODEL_UNAVAILABLE" => match data.reason.as_deref() {
                Some("request") => failed(StatusCode::BAD_REQUEST, INVALID_REQUEST, "upstream_refused"),
                Some("content") => failed(StatusCode::BAD_REQUEST, INVALID_REQUEST, "content_filter"),
                Some("credentials") => failed(StatusCode::BAD_GATEWAY, SERVER, "upstream_credentials"),
                Some("limited") => failed(StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT, "upstream_rate_limited"),
                _ => failed(StatusCode::BAD_GATEWAY, SERVER, "model_unavailable"),
            },
            "PAYMENT_REQUIRED" => failed(StatusCode::TOO_MANY_REQUESTS, INSUFFICIENT_QUOTA, "insufficient_quota"),
            "VALIDATION_ERROR" => {
                failed(StatusCode::BAD_REQUEST, INVALID_REQUEST, "context_length_exceeded").param("messages")
            }
            "SERVICE_UNAVAILABLE" => failed(StatusCode::SERVICE_UNAVAILABLE, SERVER, "overloaded"),
            _ => Fault::internal(),
        }
    }

    /// Names the field.
    pub fn param(self, param: impl Into<String>) -> Self {
        Fault { param: Some(param.into()), ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
        self
    }

    /// Rounded up, so that nobody who waits that long comes too early.
    fn retry_after(self, wait: Duration) -> Self {
        self.header(header::RETRY_AFTER, seconds(wait).to_string())
    }

    fn no_retry(self) -> Self {
        self.header(SHOULD_RETRY, HeaderValue::from_static("false"))
    }

    /// The object that clients read, within a body or an event of a stream.
    pub fn object(&self) -> Value {
        json!({ "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code } })
    }

    /// The response.
    pub fn into_response(mut self, request_id: &str, shape: Shape) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            self.message = format!("{}: its log has the cause under the request id {request_id}", self.message);
        }
        let body = match shape {
            Shape::OpenAi => self.object(),
            Shape::Anthropic => {
                messages_error::json(self.status.as_u16(), self.code.unwrap_or_default(), &self.message, request_id)
            }
        };
        let mut response = Response::builder().status(self.status).content_type(JSON).body(json_of(&body));
        response
            .headers_mut()
            .extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
        response
    }
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u128 {
    wait.as_millis().div_ceil(1000).max(1)
}

/// What a refusal of the model's server is.
fn refused_by_model(why: Refused, text: String) -> Fault {
    match why {
        Refused::Request => {
            let text = "the model's server refused the request: a field or file it does not take";
            Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, "upstream_refused", text)
        }
        Refused::Field(param) => {
            Fault::unsupported_parameter(param, "the model's server does not take it for this model")
        }
        Refused::Content => Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, "content_filter", text),
        Refused::Credentials => Fault::new(StatusCode::BAD_GATEWAY, SERVER, "upstream_credentials", text).no_retry(),
        Refused::Limited { retry_after } => {
            let wait = retry_after.unwrap_or(LIMITED_RETRY).clamp(LIMITED_RETRY_MIN, LIMITED_RETRY_MAX);
            Fault::new(StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT, "upstream_rate_limited", text).retry_after(wait)
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.public_text();
        let refused = |status, kind, code| Fault::new(status, kind, code, text.clone());
        match error {
            Error::BadRequest(_) => refused(StatusCode::BAD_REQUEST, INVALID_REQUEST, None),
            Error::Invalid(fields) => invalid(&fields, text),
            Error::UnknownModel(id) => Fault::model_not_found(&id),
            Error::Pending(_) => Fault::conflict("conflict", text),
            Error::TooLong { .. } => {
                refused(StatusCode::BAD_REQUEST, INVALID_REQUEST, Some("context_length_exceeded")).param("messages")
            }
            Error::Unauthorized(_) => refused(StatusCode::UNAUTHORIZED, AUTHENTICATION, Some("invalid_api_key"))
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
                .no_retry(),
            Error::Forbidden { message, .. } => {
                let code = if message == OTHER_ORG { "org_mismatch" } else { "insufficient_scope" };
                refused(StatusCode::FORBIDDEN, PERMISSION, Some(code)).no_retry()
            }
            Error::PaymentRequired { .. } | Error::KeyLimit { .. } => {
                refused(StatusCode::TOO_MANY_REQUESTS, INSUFFICIENT_QUOTA, Some("insufficient_quota")).no_retry()
            }
            Error::TooManyRequests { retry_after } => {
                let text = format!("too many requests: try again in {}s", seconds(retry_after));
                Fault::new(StatusCode::TOO_MANY_REQUESTS, RATE_LIMIT, "rate_limit_exceeded", text)
                    .retry_after(retry_after)
            }
            Error::NotFound(_) => Fault::not_found("not_found", text),
            Error::Conflict(_) => Fault::conflict("conflict", text),
            Error::PayloadTooLarge(_) => {
                refused(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, Some("request_too_large"))
            }
            Error::ModelUnavailable(_) => refused(StatusCode::BAD_GATEWAY, SERVER, Some("model_unavailable")),
            Error::TestFailed { failed, .. } => Fault::from(*failed),
            Error::ModelRefused { why, .. } => refused_by_model(why, text),
            Error::Unavailable { retry_after, .. } => {
                refused(StatusCode::SERVICE_UNAVAILABLE, SERVER, Some("overloaded")).retry_after(retry_after)
            }
            cause @ (Error::Failed { .. } | Error::Internal(_)) => {
                tracing::error!(%cause, "internal error");
                Fault::internal()
            }
        }
    }
}

/// The first field is named, and all of them are told.
fn invalid(fields: &[Invalid], text: String) -> Fault {
    let first = fields.first().map_or("", |invalid| &*invalid.field);
    let is_reused = fields.iter().any(|invalid| invalid.message == OTHER_BODY);
    let code = if is_reused { "idempotency_key_reused" } else { "invalid_value" };
    Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, code, text).param(first)
}

impl ResponseError for Fault {
    fn status(&self) -> StatusCode {
        self.status
    }
}

/// What a failure is that a handler, or a layer around it, has returned.
pub fn fault_of(error: poem::Error) -> Fault {
    let error = match error.downcast::<Fault>() {
        Ok(fault) => return fault,
        Err(error) => error,
    };
    match error.downcast::<ApiError>() {
        Ok(ApiError(error)) => error.into(),
        Err(error) => {
            tracing::error!(%error, "internal error");
            Fault::internal()
        }
    }
}

#[cfg(test)]
mod tests;
