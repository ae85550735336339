//! `alm`: organizations, agents, sessions and streamed replies, from one binary and one SQLite file.
//!
//! The map, in reading order. `schema.sql` comes before all of it.

pub mod error; // what can go wrong, as facts
pub mod id; // UUIDv7, slugs, ids that clients make up
pub mod key; // API keys: made, hashed, never kept
pub mod money; // microcents and prices
pub mod password; // Argon2id
pub mod seal; // providers' keys at rest
pub mod secret; // text that is never shown
pub mod time; // moments

pub mod outbound; // the only outbound HTTP

pub mod catalog; // which models an organization has
pub mod model; // a request in, deltas out
pub mod store; // the only SQL
pub mod turn; // one answer, from message to stored reply

pub mod cli; // one file per command
pub mod http; // the only poem

#[cfg(any(test, fuzzing))]
pub mod properties; // what holds for any bytes: for the tests and the fuzzer
