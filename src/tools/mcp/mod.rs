//! Tools of MCP servers.

pub mod stdio; // servers that are commands
