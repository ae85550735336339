//! `alm mcp`: servers of tools.

pub mod entry;
