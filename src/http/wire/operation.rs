//! What an operation declares of itself beside its types: the cap of its body, what becomes of its response, and who is
//! refused before the body is read.
//!
//! Rule: `JsonBody` and the layers around an operation read the same row. An operation without a row is never served.

use poem::Request;

use crate::error::Result;

/// The cap of an ordinary body.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// The cap where whole histories with their files travel.
pub const HISTORY_BYTES_MAX: usize = 20 * 1024 * 1024;

/// One row of the table of operations.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its operation id.
    pub id: &'static str,
    /// The cap of its body, in bytes.
    pub body_bytes_max: usize,
    pub repeats: Repeats,
    /// Refuses everyone whom its handler would refuse, from the request's head. Absent where people sign in.
    pub admits: Option<fn(&Request) -> Result<()>>,
    /// What it counts towards, if anything.
    pub counted: Option<Rate>,
}

/// What a person does only so often in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Chats, and messages that are appended.
    Chats,
    /// What a model is asked on the OpenAI-compatible face.
    V1,
}

impl Operation {
    /// One that counts towards the person's rate of chats.
    pub const fn counted(self) -> Self {
        Operation { counted: Some(Rate::Chats), ..self }
    }
}

/// What an `Idempotency-Key` does for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// The response is stored, and a repeat receives it.
    Replayed,
    /// The response holds a secret and is not stored: a repeat is refused.
    Refused,
    /// The header is ignored.
    Executed,
}

/// Whether an operation must have a row: it takes a body, or `Idempotency-Key` applies to its method.
pub fn needs_row(method: &str, takes_body: bool) -> bool {
    takes_body || method.eq_ignore_ascii_case("POST")
}
