//! One answer, from message to stored reply.

pub mod chunk;
pub mod fold;
pub mod step; // deltas of one model call, as chunks
