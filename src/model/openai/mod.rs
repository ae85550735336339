//! The wire of every OpenAI-compatible server: a request becomes a body, a body becomes deltas.
//!
//! Rule: bytes in, values out; nothing here waits, and nothing an upstream wrote in an error leaves this module.
//! Deliberately absent: more than one choice per reply, and the old `function_call` delta.

mod data_url; // files that travel inside their URL
mod decode; // a body as deltas
mod encode; // a request as a body
mod fault; // errors in words of ours
mod lenient; // values on which servers do not agree
mod mend; // JSON that is almost JSON
mod usage; // what a reply's tokens are
mod voice; // what the model says, of the pieces that come
mod wire; // a chunk as servers write it

pub use decode::Decoder;
pub use encode::{CompletionTokensField, WireOptions, encode};
pub use fault::explain;
pub use mend::sound_json;
