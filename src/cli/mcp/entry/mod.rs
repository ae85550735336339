//! Entries of `mcp.json`, as Claude Desktop, Claude Code, Cursor, Windsurf, Gemini and VS Code write them: what each means here.
//!
//! Rule: plain functions over texts. What surrounds them (variables, a person to ask, folders) is a [`World`]. What cannot
//! be taken over is said, and a value that stands in a file is sealed.
//! Reading order: `declared.rs`, `jsonc.rs`, `reference.rs`, `read.rs`, `text.rs`; `timeout.rs`; `print.rs` writes an
//! entry.

mod declared;
mod jsonc;
mod print;
mod read;
mod reference;
#[cfg(test)]
mod tests;
mod text;
mod timeout;

pub use declared::{Entry, Input, Left, Way, World};
pub use print::{Printed, PrintedWay, print};
pub use read::{File, read, variables};
pub use text::is_secret_name;
pub use timeout::Program;
