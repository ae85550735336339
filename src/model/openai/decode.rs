//! A body as deltas.

use crate::model::{Delta, Ending, Finish};

/// Reads one reply, however its bytes are split.
#[derive(Debug, Default)]
pub struct Decoder {
    done: bool,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the body and appends what they mean to `out`.
    pub fn feed(&mut self, _bytes: &[u8], _out: &mut Vec<Delta>) {}

    /// Says that the body is over and returns what is known of the reply.
    ///
    /// Its calls may be executed only when the finish is [`Finish::Stop`] or [`Finish::ToolCalls`].
    pub fn finish(&mut self, _out: &mut Vec<Delta>) -> Ending {
        Ending { finish: Finish::Error, usage: None, calls: Vec::new() }
    }

    /// The reply said that it is over: what follows does not matter.
    pub fn is_done(&self) -> bool {
        self.done
    }
}
