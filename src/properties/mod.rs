//! What holds for any bytes: each property stands here once, for the fuzzer (`fuzz/`) and for `cargo test`.
//!
//! Rule: a property is a function of bytes that panics where it does not hold. What is more than bytes (fragments, chunks)
//! is read off a [`tape::Tape`], so that every input is a case and a longer one is only a longer case.
//! In no build but those two: `cfg(any(test, fuzzing))`.

mod cut; // a body → its pieces
mod fold; // chunks → parts that the SDK takes
mod gguf; // a file → a model's header
mod order; // what a client may be sent
mod prompt; // what becomes of replies → what a model reads
mod reply; // a provider's body → deltas → chunks
mod request; // a posted body → what it does to a history
mod tape; // choices, read off bytes
mod tool_calls; // fragments → calls

#[cfg(test)]
mod tests;

pub use fold::{fold, journal};
pub use gguf::gguf;
pub use prompt::prompt;
#[cfg(test)]
pub(crate) use reply::read as read_reply;
pub use reply::{events, reply};
pub use request::request;
#[cfg(test)]
pub(crate) use tool_calls::assert_told;
pub use tool_calls::tool_calls;
