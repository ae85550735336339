//! What breaks under the server and around it: the disk, the clock, descriptors, clients, models, and the order to go.
//!
//! Rule: every fault is real for the binary. It meets the error where the kernel would have given it, and a test shows
//! three things: a clear answer while it lasts, nothing lost, and recovery without a hand when it ends.
//! A line `proof: faults.<what> <figure>` is a figure for the reader.

#[allow(dead_code)] // the API's suite uses the rest
#[path = "../support/mod.rs"]
mod support;

mod children;
mod clock;
mod commands;
mod connections;
mod disk;
mod drain;
mod log;
mod memory;
mod recording;
mod served;
mod shim;
mod upstreams;

/// A figure of this suite's.
fn proof(name: &str, value: impl std::fmt::Display) {
    println!("proof: faults.{name} {value}");
}

/// Nothing inside the server broke.
#[track_caller]
fn did_not_panic(app: &support::harness::App) {
    let output = app.output();
    assert!(!output.contains("panicked"), "{output}");
}
