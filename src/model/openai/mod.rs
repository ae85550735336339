//! The wire of every OpenAI-compatible server: a request becomes a body, a body becomes deltas.
//!
//! Rule: bytes in, values out; nothing here waits, and nothing an upstream wrote in an error leaves this module.
//! Deliberately absent: more than one choice per reply, and the old `function_call` delta.

mod decode;
mod encode;

pub use decode::Decoder;
pub use encode::{CompletionTokensField, WireOptions, encode};
