//! The code of an error on the wire: the one table of statuses, and the code as JSON.
//!
//! Deliberately absent: which error has which code; that is a fact, and in `crate::error`.

use std::{borrow::Cow, iter};

use poem::http::StatusCode;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::ErrorCode;

impl ErrorCode {
    /// The table: a code's status, and when it is returned.
    pub(super) const fn row(self) -> (u16, &'static str) {
        match self {
            ErrorCode::BadRequest => (400, "Invalid JSON, a missing field, a wrong type, or another content type."),
            ErrorCode::Unauthorized => (401, "No API key and no sign-in, or one that is unknown or has expired."),
            ErrorCode::PaymentRequired => {
                (402, "The balance, or what is left of the key's monthly limit, cannot pay for a reply of this model.")
            }
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
    pub(super) const fn header(self) -> Option<(&'static str, &'static str)> {
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

impl Type for ErrorCode {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "ErrorCode".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference(Self::name().into_owned())
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(Self::name().into_owned(), |_| MetaSchema {
            description: Some("The code of an error."),
            enum_items: ErrorCode::ALL.map(|code| code.as_str().into()).to_vec(),
            ..MetaSchema::new("string")
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(iter::once(self))
    }
}

impl ToJSON for ErrorCode {
    fn to_json(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl ParseFromJSON for ErrorCode {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let word = value.as_ref().and_then(Value::as_str).unwrap_or_default();
        let known = ErrorCode::ALL.into_iter().find(|code| code.as_str() == word);
        known.ok_or_else(|| ParseError::custom("must be the code of an error"))
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
