//! The command line.

pub mod walk;
