//! Tools of MCP servers: their lists, their calls, and what they answer.
//!
//! Reading order: `servers.rs` (every server of a process), `wire.rs` (one connection), `http.rs` and `lines.rs` (the two ways there); plain are
//! `list.rs`, `merge.rs`, `offer.rs` and `result.rs`.
//! Deliberately absent: what servers may offer besides tools, and what they may ask of a client.

mod asked; // what was asked over HTTP, and what its answer means
mod envelope; // answers as they pass through the library
mod events; // events of a body
mod failed; // why a request has no answer
mod http; // a server by URL
mod keeper; // who looks after a server
mod known; // what is known of one
mod lines; // a server by its command
mod list; // a list, tool by tool
mod listening; // what a server says of its list
mod merge; // what becomes of tools that are listed again
mod offer; // what a turn is offered
mod open; // how a server is reached
mod param_headers; // arguments that are headers too
mod questions; // what a server asks of us
mod refusal; // why there is no result
mod report; // the test of a server
mod result; // what a call was answered
mod servers; // all of them
pub mod stdio; // servers that are commands
mod target; // which tool of which server
mod wire; // one connection
mod words; // what is said of a server

#[cfg(test)]
mod conversations;
#[cfg(test)]
mod fake; // a server that misbehaves
#[cfg(test)]
mod served;
#[cfg(test)]
mod tests;

pub use self::{
    known::{Seen, State},
    list::MCP_TOOLS_MAX,
    open::Opening,
    report::{Report, Stage},
    result::text,
    servers::{Offered, Servers},
    target::Target,
    wire::{Era, TOOL_TIME_MAX},
};
