//! The wire of every OpenAI-compatible server: a request becomes a body, a body becomes deltas.
//!
//! Rule: bytes in, values out; nothing here waits, and nothing an upstream wrote in an error leaves this module.
//! Deliberately absent: more than one choice per reply, and the old `function_call` delta.

mod data_url; // files that travel inside their URL
mod decode; // a body as deltas
mod encode; // a request as a body
mod fault; // errors in words of ours
mod wire; // a chunk as servers write it

pub use decode::Decoder;
pub use encode::{CompletionTokensField, WireOptions, encode};
pub use fault::explain;
