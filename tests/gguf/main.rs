//! One command and one file: `alm serve --gguf FILE`, whose child is a llama-server without a model.
//!
//! The child is a program of this suite's, which lives, answers, refuses and ends as the real one does; `tests/local` holds
//! both to that. Rule: what is asked goes over HTTP, and what becomes of the child is seen from outside.
//! A line `proof: gguf.<what> <figure>` is a figure for the reader.

#[allow(dead_code)] // the API's suite uses the rest
#[path = "../support/mod.rs"]
mod support;

mod contract; // what is true of the real one as well
mod ends; // how a child ends, and what is left of it
mod files; // files and programs that are refused
mod kills; // the child and the server, killed again and again
mod llama_server; // the child
mod people; // who asks it
mod queue; // who waits for it
mod starts; // what a child is given, and its states
mod stops; // stops, and slots that do not come free
mod system; // what the system says of processes

#[path = "../../src/model/gguf/sample.rs"]
#[allow(dead_code)] // the unit tests use all of it
mod sample; // files of models

/// A figure of this suite's.
fn proof(name: &str, value: impl std::fmt::Display) {
    println!("proof: gguf.{name} {value}");
}
