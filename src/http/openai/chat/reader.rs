//! One reader of a chat completion that is kept: the turn's chunks, written anew.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;

use crate::{
    http::openai::{chat_wire::ChatWire, theirs::Theirs},
    model::Usage,
    turn::{
        bill::usage_of,
        chunk::Chunk,
        listener::{Heard, Listener},
        wire::Wire,
    },
};

/// The reply from its beginning.
pub struct ChatReader {
    listener: Listener,
    theirs: Theirs,
    wire: ChatWire,
    usage: Usage,
    /// Whether something went out since the last beat.
    spoke: bool,
    is_over: bool,
}

impl ChatReader {
    /// Of a turn that is listened to, of which its client sees these calls, in that wire.
    pub fn new(listener: Listener, theirs: Theirs, wire: ChatWire) -> Self {
        ChatReader { listener, theirs, wire, usage: Usage::default(), spoke: false, is_over: false }
    }

    fn write(&mut self, heard: Option<Vec<Heard>>) -> Vec<u8> {
        let mut frames = Vec::new();
        let Some(heard) = heard else {
            self.is_over = true;
            self.wire.end(&self.usage, &mut frames);
            return frames;
        };
        for heard in heard {
            match heard {
                Heard::Chunk(chunk) => self.chunk(&chunk, &mut frames),
                Heard::Beat if std::mem::take(&mut self.spoke) => {}
                Heard::Beat => frames.extend(self.wire.heartbeat()),
            }
        }
        frames
    }

    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        if let Chunk::Finish { message_metadata, .. } = chunk {
            self.usage = usage_of(&message_metadata["usage"]);
        }
        if self.theirs.has(chunk) {
            let before = frames.len();
            self.wire.chunk(chunk, frames);
            self.spoke |= frames.len() > before;
        }
    }
}

impl Stream for ChatReader {
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
