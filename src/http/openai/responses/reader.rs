//! One reader of a response that is being written.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;

use crate::{
    http::openai::{responses_wire::ResponsesWire, theirs::Theirs},
    turn::listener::{Heard, Listener},
};

/// The events of a response from one of them on.
pub struct ResponseReader {
    listener: Listener,
    theirs: Theirs,
    wire: ResponsesWire,
    /// Events that this reader had before.
    skipped: u64,
    is_over: bool,
}

impl ResponseReader {
    /// From the event after `skipped` ones.
    pub fn new(listener: Listener, theirs: Theirs, wire: ResponsesWire, skipped: u64) -> Self {
        ResponseReader { listener, theirs, wire, skipped, is_over: false }
    }

    fn write(&mut self, heard: Option<Vec<Heard>>) -> Vec<u8> {
        let mut frames = Vec::new();
        match heard {
            Some(heard) => heard.into_iter().for_each(|heard| match heard {
                Heard::Chunk(chunk) if self.theirs.has(&chunk) => self.wire.chunk(&chunk, &mut frames),
                Heard::Chunk(_) => {}
                Heard::Beat => self.wire.beat(&mut frames),
            }),
            None => {
                self.is_over = true;
                self.wire.end(None, &mut frames);
            }
        }
        skip(frames, &mut self.skipped)
    }
}

/// Events without the first `skipped` ones.
fn skip(mut frames: Vec<u8>, skipped: &mut u64) -> Vec<u8> {
    let mut from = 0;
    while *skipped > 0 && from < frames.len() {
        let end = frames[from..].windows(2).position(|two| two == b"\n\n").map_or(frames.len(), |at| from + at + 2);
        from = end;
        *skipped -= 1;
    }
    frames.split_off(from)
}

impl Stream for ResponseReader {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let reader = &mut *self;
        while !reader.is_over {
            let heard = match Pin::new(&mut reader.listener).poll_next(context) {
                Poll::Ready(heard) => heard,
                Poll::Pending => return Poll::Pending,
            };
            let frames = reader.write(heard);
            if !frames.is_empty() {
                return Poll::Ready(Some(Ok(frames.into())));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_had_some_events_gets_the_others() {
        let frames = b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n".to_vec();
        for (skipped, left, rest) in [(0, 0, 36), (1, 0, 18), (2, 0, 0), (3, 1, 0)] {
            let mut skipped = skipped;
            assert_eq!((skip(frames.clone(), &mut skipped).len(), skipped), (rest, left));
        }
    }
}
