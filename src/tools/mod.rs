//! What an agent may do besides talk: tools, who allows them, and how they run.
//!
//! Rule: a tool's secrets are opened where they are sent, and shown nowhere.

pub mod fingerprint; // what a definition is recognised by
pub mod naming; // what a model calls their tools
pub mod secrets;
