//! One answer, from message to stored reply.

pub mod ask; // what is asked
pub mod chunk; // what is streamed
pub mod fold; // chunks → parts of the stored message
pub mod history; // the stored history → what a model gets
pub mod live; // the journal of a running turn, and its readers
pub mod plan; // what a posted history means for the stored one
pub mod step; // deltas of one model call → chunks
pub mod tools; // what a model may do besides talk
