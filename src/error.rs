//! What can go wrong, as facts.
//!
//! Rule: no HTTP here. `http::wire::envelope` gives every variant its code and status, and says what the caller may read.
//! Deliberately absent: a variant for each cause. A variant exists where a caller would act differently.

use std::{borrow::Cow, time::Duration};

use rustix::io::Errno;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One thing that went wrong.
///
/// Every text but that of [`Error::Internal`] reaches the client, so it says what to do and holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// Nobody known is calling.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The organization's balance cannot pay for the cheapest possible answer. The balance is in microcents.
    #[error("the balance cannot pay for a reply of {model}: make a deposit, or choose a free model")]
    PaymentRequired { balance: i64, model: String },
    /// What is left of a key's month cannot pay for the cheapest possible answer. The limit is in microcents; the moment is RFC 3339.
    #[error("{message}")]
    KeyLimit { limit: i64, resets_at: String, message: String },
    /// Known, but not allowed.
    #[error("{message}")]
    Forbidden { message: String, step_up: bool },
    /// Missing, or not the caller's: nobody learns which.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// True only of another state than the present one.
    #[error("{0}")]
    Conflict(String),
    /// The body has more bytes, or more values, than it may.
    #[error("{0}")]
    PayloadTooLarge(String),
    /// The right shape with a value that is out of range.
    #[error("{}", invalid_text(.0))]
    Invalid(Vec<Invalid>),
    /// There is no model of that id.
    #[error("model: {}", unknown_model_text(.0))]
    UnknownModel(String),
    /// A reply waits for answers to these calls: the approval's id (of a client's own tool the call's), and the tool.
    #[error("approvals: required for every call that waits")]
    Pending(Vec<(String, String)>),
    /// The question alone is longer than the model's window. In tokens, as far as they are known.
    #[error("{}", too_long_text(model, *window, *prompt))]
    TooLong { model: String, window: Option<u32>, prompt: Option<u32> },
    /// Too fast.
    #[error("too many requests: wait, then try again")]
    TooManyRequests { retry_after: Duration },
    /// The upstream model failed or could not be reached.
    #[error("{0}")]
    ModelUnavailable(String),
    /// The upstream model's server answered, and refused.
    #[error("{message}")]
    ModelRefused { why: Refused, message: String },
    /// A provider's test failed, for its owner alone: of which model, and what its server said in its own words, without secrets.
    #[error("{failed}")]
    TestFailed { failed: Box<Error>, model: Option<String>, said: Option<String> },
    /// Not now: draining, disk full, every place taken.
    #[error("{message}")]
    Unavailable { message: Cow<'static, str>, retry_after: Duration },
    /// A command or a start could not do its work. Its text is for the person who ran it, and reaches no client.
    #[error("{message}")]
    Failed { reason: Reason, message: String },
    /// Ours. The cause goes to the log and nowhere else.
    #[error("{0}")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

/// Why a model's server refused, where a caller would act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It does not take the request: a field, a file.
    Request,
    /// It does not take this field, which whoever asks cannot do without.
    Field(&'static str),
    /// It does not answer to such words.
    Content,
    /// It does not take the provider's key.
    Credentials,
    /// It was asked too often.
    Limited { retry_after: Option<Duration> },
}

impl Refused {
    /// Its word in a stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Refused::Request | Refused::Field(_) => "request",
            Refused::Content => "content",
            Refused::Credentials => "credentials",
            Refused::Limited { .. } => "limited",
        }
    }
}

/// Why a command or a start failed, where a program that runs it would act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Another server uses the data folder.
    DataDirInUse,
    /// Another program listens at the address.
    AddressInUse,
    /// The database file was written by a newer version.
    NewerFile,
    /// The data folder or a file in it may not be written.
    DataDirDenied,
    /// Anything else.
    Other,
}

/// The contract's name for what went wrong, as programs read it in an envelope or in a running stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not understood.
    BadRequest,
    /// Nobody known.
    Unauthorized,
    /// The balance is too low.
    PaymentRequired,
    /// Not allowed.
    Forbidden,
    /// Missing, or not the caller's.
    NotFound,
    /// The path exists, with other methods.
    MethodNotAllowed,
    /// Not in the present state.
    Conflict,
    /// Too large a body.
    PayloadTooLarge,
    /// A value out of range.
    ValidationError,
    /// Too fast.
    TooManyRequests,
    /// A fault of the server.
    Internal,
    /// The model failed.
    ModelUnavailable,
    /// Not now.
    ServiceUnavailable,
}

/// A field whose value is out of range, and what would be in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field's path in the body or query, as the caller wrote it: `settings.maxSteps`.
    pub field: String,
    /// What the field has to be.
    pub message: String,
}

/// What a client reads of a failure of ours.
pub const INTERNAL_TEXT: &str = "something went wrong inside the server: its log has the cause";
/// What is said where nothing can be opened any more.
pub const NO_DESCRIPTOR: &str = "the server has no file descriptor left: raise its limit on open files (ulimit -n)";

/// Whether a call failed because the process, or the machine, has no descriptor left.
pub fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
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

    /// Its word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadRequest => "BAD_REQUEST",
            ErrorCode::Unauthorized => "UNAUTHORIZED",
            ErrorCode::PaymentRequired => "PAYMENT_REQUIRED",
            ErrorCode::Forbidden => "FORBIDDEN",
            ErrorCode::NotFound => "NOT_FOUND",
            ErrorCode::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            ErrorCode::Conflict => "CONFLICT",
            ErrorCode::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            ErrorCode::ValidationError => "VALIDATION_ERROR",
            ErrorCode::TooManyRequests => "TOO_MANY_REQUESTS",
            ErrorCode::Internal => "INTERNAL",
            ErrorCode::ModelUnavailable => "MODEL_UNAVAILABLE",
            ErrorCode::ServiceUnavailable => "SERVICE_UNAVAILABLE",
        }
    }
}

impl Error {
    /// One field out of range.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Invalid(vec![Invalid { field: field.into(), message: message.into() }])
    }

    /// A command or a start that could not do its work.
    pub fn failed(message: impl Into<String>) -> Self {
        Error::failed_because(Reason::Other, message)
    }

    /// The same, for a reason that a program would act on.
    pub fn failed_because(reason: Reason, message: impl Into<String>) -> Self {
        Error::Failed { reason, message: message.into() }
    }

    /// The same of a field that the caller calls otherwise.
    pub fn rename_field(self, inside: &str, outside: &str) -> Self {
        let fields = match self {
            Error::Invalid(fields) => fields,
            Error::UnknownModel(id) if inside == "model" => return Error::invalid(outside, unknown_model_text(&id)),
            other => return other,
        };
        let renamed = |field: Invalid| match field.field == inside {
            true => Invalid { field: outside.into(), ..field },
            false => field,
        };
        Error::Invalid(fields.into_iter().map(renamed).collect())
    }

    /// Not allowed, whatever the caller proves of itself.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Error::Forbidden { message: message.into(), step_up: false }
    }

    /// The contract's name for it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::BadRequest(_) => ErrorCode::BadRequest,
            Error::Unauthorized(_) => ErrorCode::Unauthorized,
            Error::PaymentRequired { .. } | Error::KeyLimit { .. } => ErrorCode::PaymentRequired,
            Error::Forbidden { .. } => ErrorCode::Forbidden,
            Error::NotFound(_) => ErrorCode::NotFound,
            Error::Conflict(_) => ErrorCode::Conflict,
            Error::PayloadTooLarge(_) => ErrorCode::PayloadTooLarge,
            Error::Invalid(_) | Error::UnknownModel(_) | Error::TooLong { .. } | Error::Pending(_) => {
                ErrorCode::ValidationError
            }
            Error::TooManyRequests { .. } => ErrorCode::TooManyRequests,
            Error::ModelUnavailable(_) | Error::ModelRefused { .. } => ErrorCode::ModelUnavailable,
            Error::TestFailed { failed, .. } => failed.code(),
            Error::Unavailable { .. } => ErrorCode::ServiceUnavailable,
            Error::Failed { .. } | Error::Internal(_) => ErrorCode::Internal,
        }
    }

    /// What a client may read of it: all of it, unless it is ours.
    pub fn public_text(&self) -> String {
        match self {
            Error::Failed { .. } | Error::Internal(_) => INTERNAL_TEXT.into(),
            Error::TestFailed { failed, .. } => failed.public_text(),
            other => other.to_string(),
        }
    }

    /// Something of ours broke; `cause` is for the log.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Internal(cause.into())
    }
}

/// What is wrong with the field that names such a model.
pub fn unknown_model_text(id: &str) -> String {
    format!("there is no model {id}: GET /models lists them")
}

fn too_long_text(model: &str, window: Option<u32>, prompt: Option<u32>) -> String {
    let what_to_do = "shorten it, or give the model a larger context";
    match (prompt, window) {
        (Some(prompt), Some(window)) => {
            format!("this message takes about {prompt} tokens, and {model} holds {window}: {what_to_do}")
        }
        (None, Some(window)) => {
            format!("this message is too long for {model}, which holds {window} tokens: {what_to_do}")
        }
        (_, None) => format!("this message is too long for {model}: {what_to_do}"),
    }
}

fn invalid_text(fields: &[Invalid]) -> String {
    let texts: Vec<_> = fields.iter().map(|i| format!("{}: {}", i.field, i.message)).collect();
    texts.join("; ")
}
