//! The wire of a reply that is not an AI SDK stream: what another API's clients read.
//!
//! Rule: a wire is a plain state machine, chunks in and bytes out. The journal of a turn that is not stored is written in it; a kept
//! turn's journal is read as chunks and written anew.

use std::fmt::Debug;

use super::chunk::{Chunk, DONE};
use crate::model::Usage;

/// What says that a silent stream still runs.
const BEAT: &[u8] = b": keep-alive\n\n";

/// One reply on its way to one client.
pub trait Wire: Debug + Send + Sync {
    /// Appends what a chunk is on this wire, which may be nothing.
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>);

    /// Appends what follows the last chunk: what the reply took, if it came to an end of its own, and the end of the stream.
    fn end(&mut self, usage: &Usage, frames: &mut Vec<u8>);

    /// What tells a client in a long silence that its reply still runs.
    fn heartbeat(&mut self) -> Vec<u8>;
}

/// The AI SDK's stream, of a reply that is not stored.
#[derive(Debug)]
pub struct UiWire;

impl Wire for UiWire {
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        chunk.write_to(frames);
    }

    fn end(&mut self, _usage: &Usage, frames: &mut Vec<u8>) {
        frames.extend_from_slice(DONE.as_bytes());
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        BEAT.to_vec()
    }
}
