//! `alm` turns a machine into a private agent platform: organizations with API keys, agents, sessions with stored
//! history, and a chat endpoint that streams replies from a local or a remote model. Everything is kept in one folder, in
//! one SQLite file.
//!
//! This crate is the server, for programs that run one inside themselves. The binary `alm` is its first user.
//!
//! ```
//! use alm::{Scopes, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let stop = std::future::ready(());
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let server = Server::builder()
//!     .data_dir(folder.path()) // the only setting without a default
//!     .build() // locked, upgraded, recovered, and listening on a free port
//!     .await?;
//! println!("alm listens on {}", server.url().unwrap_or_default());
//!
//! let org = server.handle().ensure_org("acme").await?;
//! let key = org.create_key("app", Scopes::ALL).await?;
//! assert!(key.expose().starts_with("alm_live_"));
//! org.deposit_microcents(5_000_000, "start").await?; // 5 US dollars
//!
//! server.run(stop).await?; // until the future `stop` is ready
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! ```
//!
//! At [`Server::url`] it serves the API that `/docs` there describes. Without any provider there is one model, `demo/ala`,
//! which is built in and free. `examples/embed.rs` in the repository is a whole program that asks it a question.
//!
//! # What it does to its process
//!
//! Nothing: it installs no signal handler, logger or panic hook, sets no limit or variable, and never exits. It logs through
//! `tracing`, and reads the environment only where the [`Builder`] says so, and for the keys of providers that were
//! connected by the name of a variable (`alm providers add --api-key-env`). Several servers can run in one process, each with a
//! folder of its own.
//!
//! SQLite is fastest when it is built with the flags of this repository's `.cargo/config.toml`, which cargo does not take
//! from a dependency.
//!
//! # What is public
//!
//! Only what is listed below. The modules can be reached by this repository's own tests and benches, and may change with
//! any version.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub use server::{
    ApiKey, Approval, Builder, Error, ErrorKind, Handle, ModelFile, Organization, Provider, Provisioned, Scopes,
    Server, Tool, ToolCall, ToolSpec,
};

// The map, in reading order. `schema.sql` comes before all of it.

#[doc(hidden)]
pub mod error; // what can go wrong, as facts
#[doc(hidden)]
pub mod id; // UUIDv7, slugs, ids that clients choose
#[doc(hidden)]
pub mod key; // API keys: created, hashed, never kept
#[doc(hidden)]
pub mod money; // microcents and prices
#[doc(hidden)]
pub mod password; // Argon2id
#[doc(hidden)]
pub mod seal; // secrets at rest
#[doc(hidden)]
pub mod secret; // text that is never shown
#[doc(hidden)]
pub mod time; // moments

#[doc(hidden)]
pub mod child; // the only child processes
#[doc(hidden)]
pub mod outbound; // the only outbound HTTP
#[doc(hidden)]
pub mod store; // the only SQL

#[doc(hidden)]
pub mod catalog; // which models an organization has
#[doc(hidden)]
pub mod model; // a request in, deltas out
#[doc(hidden)]
pub mod tools; // what a model may do besides talk
#[doc(hidden)]
pub mod turn; // one reply, from the posted message to the stored one

#[doc(hidden)]
pub mod http; // the HTTP server; the only module that uses poem
#[doc(hidden)]
pub mod server; // a server put together

#[doc(hidden)]
pub mod cli; // one file for each command

#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod properties; // what holds for any bytes: for the tests and the fuzzer
