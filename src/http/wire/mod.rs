//! Shapes: what bodies, responses and failures look like, and nothing of what they are about.
//!
//! Rule: no state, and no word of who is calling.

pub mod asking;
pub mod check;
pub mod data;
pub mod envelope;
mod error_code;
pub mod face;
pub mod moment;
pub mod operation;
pub mod request_id;
pub mod stream;
