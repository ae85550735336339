//! A real model of one's own machine: llama.cpp's server with small models, behind the real server.
//!
//! The first half asks llama.cpp itself: what `alm` relies on is true of it, and a newer build that differs fails here. The
//! second half talks through `alm`. Rule: no test knows a model's words or a time; shapes, counts, order, and ratios within
//! one run. `tests/local/make` makes what is needed; without it every test fails and says so.
//! Not part of `cargo test`: `tests/run local`.

#[allow(dead_code)] // the API's suite uses the rest
#[path = "../support/mod.rs"]
mod support;

mod child; // the process as a child of `alm serve --gguf`
#[path = "../gguf/contract.rs"]
mod contract; // what it is as a child, like the one of `tests/gguf`
mod ends; // the life of llama.cpp's process
mod events; // its streams, as they come
mod facts; // what it tells, sends and refuses
mod header; // what our reader says of the files
mod kept; // its prompt cache
mod life; // kills and restarts on both sides
mod people; // who talks to it through alm
mod program; // the process
mod stops; // stops, and what a session is afterwards
mod talk; // conversations
mod templates; // which orders of messages it refuses
mod tools; // a call that the model makes

/// A figure of this suite's.
fn proof(name: &str, value: impl std::fmt::Display) {
    println!("proof: local.{name} {value}");
}
