//! The only SQL. `schema.sql` is the model; the files here are what may be asked of it.
//!
//! Reading order: `scope.rs` (who may reach what), `writer.rs`, then a table's file. `file/` is the file as a whole.

mod claim; // that a request was done
mod ending; // how a turn ends
mod fault; // what SQLite refuses, as facts of ours
pub mod file; // the file as a whole
mod message; // a message's row
mod open;
mod outcome; // how a turn ended
mod page;
mod rows; // row numbers that were found for an organization
#[cfg(any(test, fuzzing))]
pub mod sandbox; // a session in memory
mod scope;
pub mod via;
mod waiting; // calls that wait for a person
mod words; // the schema's words, as types
mod writer;

pub mod agent_versions; // agents as they were
pub mod agents;
pub mod around; // messages around one
pub mod audit; // who changed what
pub mod changes; // what changed, for those who listen
pub mod decisions;
pub mod idempotency;
pub mod invitations;
pub mod journal;
pub mod key_month; // what keys may spend
pub mod keys;
pub mod ledger;
pub mod mcp;
pub mod mcp_lists; // what those servers told
pub mod members;
pub mod messages;
pub mod orgs;
pub mod projects;
pub mod providers;
pub mod provision; // what a program wants there to be
mod recent; // the newest messages of a history
pub mod requests; // the log of what was asked of models
pub mod responses;
pub mod search;
pub mod sessions;
pub mod sign_ins;
pub mod tool_calls;
pub mod tools;
pub mod turn_calls;
pub mod turns;
pub mod unstored; // turns of which no word is stored
pub mod usage;
pub mod versions; // what stood in one place of a history

pub use page::Page;
pub use rows::{SessionRow, TurnRow};
pub use scope::{Org, Store, Tenant};
pub use writer::{Answered, Writer};
