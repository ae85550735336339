//! Cassettes: what models and tools answered, written down once and played again as often as wanted.
//!
//! Rule: whoever plays a cassette has no way to a network, so a request that it does not fit fails and asks nobody.
//! Rule: a secret is looked for before anything is written and, by the same function, before anything is matched.
//! Reading order: `line.rs` (what stands in a file), `form.rs`, `scrub.rs`, `keys.rs` (what a request is known by), `file.rs`,
//! `writer.rs`, `choose.rs` (which answer), `tape.rs`, then `shelf.rs` and `player.rs`, which wait.

mod album; // a file in memory
mod choose; // which answer
mod file; // a file as it is read
mod form; // texts and values as they are compared
mod heard; // what an answer says
mod keys; // what a request is known by
mod line; // what stands in a file
mod player; // an answer as it is played
mod recorder; // what runs, on its way into a file
mod scrub; // secrets
mod shelf; // the files that are played
mod tape; // how a file is played
mod writer; // a file as it is written

pub use album::Album;
pub use choose::Match;
pub use file::{Cassette, name_of, read};
pub use heard::{Heard, heard};
pub use keys::Keys;
pub use line::{End, Exchange, FORMAT, Header, Line, Piece, ToolExchange};
pub use player::Reply;
pub use recorder::{Head, KnownSecrets, RecordOptions, Recorder, Recording};
pub use scrub::Scrubber;
pub use shelf::Shelf;
pub use tape::{Speed, Tape};
pub use writer::{Appended, Writer};
