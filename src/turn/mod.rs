//! One answer, from message to stored reply.

pub mod chunk;
pub mod fold;
