//! A reader of a running turn that takes chunks and not bytes: what writes them anew for clients of another API.
//!
//! Rule: what it hears is what is in the journal, beats included, so every listener hears the same.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;

use super::{
    chunk::Chunk,
    journal::{Cursor, Journal},
};

/// What is in a journal.
#[derive(Debug, PartialEq)]
pub enum Heard {
    Chunk(Box<Chunk>),
    /// The turn is still there.
    Beat,
}

/// One that hears a turn from its beginning.
pub struct Listener {
    journal: Arc<Journal>,
    cursor: Cursor,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

impl Listener {
    pub(super) fn new(journal: Arc<Journal>) -> Self {
        let cursor = journal.from_start();
        Listener { journal, cursor, rest: Vec::new() }
    }

    fn heard(&mut self, piece: &[u8]) -> Vec<Heard> {
        self.rest.extend_from_slice(piece);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        lines.split(|byte| *byte == b'\n').filter_map(line).collect()
    }
}

fn line(line: &[u8]) -> Option<Heard> {
    match line.strip_prefix(b"data: ") {
        // `[DONE]` is no chunk.
        Some(json) => serde_json::from_slice(json).ok().map(|chunk| Heard::Chunk(Box::new(chunk))),
        None => line.starts_with(b":").then_some(Heard::Beat),
    }
}

impl Stream for Listener {
    type Item = Vec<Heard>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listener = &mut *self;
        loop {
            match listener.journal.poll_read(&mut listener.cursor, context) {
                Poll::Ready(Some(piece)) => {
                    let heard = listener.heard(&piece);
                    if !heard.is_empty() {
                        return Poll::Ready(Some(heard));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_every_chunk_and_beat_in_order() {
        let journal = Arc::new(Journal::default());
        let delta = |text: String| Chunk::TextDelta { id: "p".into(), delta: text };
        journal.push(&[delta("x".repeat(100_000)), delta("y".into())]);
        journal.beat();
        journal.end(&[Chunk::Abort]);
        let heard: Vec<Heard> = Listener::new(journal).flat_map(futures_util::stream::iter).collect().await;
        let chunk = |chunk| Heard::Chunk(Box::new(chunk));
        let expected = [chunk(delta("x".repeat(100_000))), chunk(delta("y".into())), Heard::Beat, chunk(Chunk::Abort)];
        assert_eq!(heard, expected);
    }
}
