//! The wire of every OpenAI-compatible server: a request becomes a body, a body becomes deltas.
//!
//! Rule: bytes in, values out; nothing here waits, and nothing an upstream wrote in an error leaves this module.
//! Deliberately absent: more than one choice per reply, and the old `function_call` delta.

mod aside; // what stands beside the words
mod data_url; // files that travel inside their URL
mod decode; // a body as deltas
mod dialect; // how one model wants to be asked
mod encode; // a request as a body
mod fault; // errors in words of ours
mod legacy; // a text to go on with
mod lenient; // values on which servers do not agree
mod mend; // JSON that is almost JSON
mod prompt; // a conversation as every template takes it
mod repair; // what a refused request could do without
mod tags; // thoughts in the text
mod usage; // what a reply's tokens are
mod voice; // what the model says, of the pieces that come
mod wire; // a chunk as servers write it

pub use decode::Decoder;
pub use dialect::{CapField, Dialect, Field, Repair, is_needed};
pub use encode::encode;
pub use fault::{TOO_LONG, explain, is_loading, refusal};
pub use legacy::question;
pub use mend::sound_json;
pub use repair::{TooLong, repair, status_in, too_long};
