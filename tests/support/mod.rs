//! What the suites share: the server, who talks to it, who signs in, and whom it talks to.
//!
//! Rule: nothing here knows a suite. `tests/api` uses all of it, so what nobody needs any more shows there.

pub mod asked; // what a model is asked
pub mod browser; // who signs in
pub mod client; // who talks to the server
pub mod counting; // a service that tools call
pub mod fake_model; // whom the server talks to
pub mod harness; // the server
pub mod index; // what the search has read
pub mod local_server; // the same, as llama.cpp's server and Ollama behave
pub mod tools; // tools and MCP servers in the file
pub mod v1; // failures of the OpenAI-compatible face
