//! What holds for any bytes: each property stands here once, for the fuzzer (`fuzz/`) and for `cargo test`.
//!
//! Rule: a property is a function of bytes that panics where it does not hold. What is more than bytes (fragments, chunks)
//! is read off a [`tape::Tape`], so that every input is a case and a longer one is only a longer case.
//! In no build but those two: `cfg(any(test, fuzzing))`.

mod fold; // chunks → parts that the SDK takes
mod order; // what a client may be sent
mod reply; // a provider's body → deltas → chunks
mod request; // a posted body → what it does to a history
mod tape; // choices, read off bytes
mod tool_calls; // fragments → calls

#[cfg(test)]
mod tests;

pub use fold::{fold, journal};
#[cfg(test)]
pub(crate) use reply::read as read_reply;
pub use reply::{events, reply};
pub use request::request;
#[cfg(test)]
pub(crate) use tool_calls::assert_told;
pub use tool_calls::tool_calls;

/// Bytes in front of a body that say how it is cut into pieces.
const CUTS: usize = 4;

/// The pieces of a body, each of at most 256 bytes, by sizes that are used in turn; and the body.
fn cut(bytes: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (sizes, body) = bytes.split_at(CUTS.min(bytes.len()));
    let (mut pieces, mut rest) = (Vec::new(), body);
    for size in sizes.iter().cycle().map(|&size| usize::from(size) + 1) {
        if rest.is_empty() {
            break;
        }
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    (pieces, body)
}
