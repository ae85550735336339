//! Chat completions: decoded, asked, and written in their own wire.

pub mod messages; // what was said so far
pub mod request; // all that is asked
