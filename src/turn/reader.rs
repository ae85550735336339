//! The readers of a running turn: server-sent events from the first chunk to `[DONE]`, with heartbeats.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

use super::journal::{Cursor, Journal};

/// Silence after which a reader gets a comment, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Pieces that are handed over in a row. Then the connection gets its turn: whether its client is still there is looked at between them.
const PIECES_IN_A_ROW: u32 = 4;

/// One reader of a running turn.
pub struct Reader {
    journal: Arc<Journal>,
    cursor: Cursor,
    opened: bool,
    in_a_row: u32,
    quiet_since: Instant,
    heartbeat: Pin<Box<Sleep>>,
}

impl Reader {
    /// From where `cursor` is.
    pub fn new(journal: Arc<Journal>, cursor: Cursor) -> Self {
        Reader {
            journal,
            cursor,
            opened: false,
            in_a_row: 0,
            quiet_since: Instant::now(),
            heartbeat: Box::pin(tokio::time::sleep(HEARTBEAT)),
        }
    }

    /// The timer is moved only when it fires: moving it for every chunk would cost more than the chunk.
    fn beat(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        while self.heartbeat.as_mut().poll(context).is_ready() {
            let due = self.quiet_since + HEARTBEAT;
            if Instant::now() < due {
                self.heartbeat.as_mut().reset(due);
                continue;
            }
            self.quiet_since = Instant::now();
            let next = self.quiet_since + HEARTBEAT;
            self.heartbeat.as_mut().reset(next);
            return Poll::Ready(self.journal.heartbeat().into());
        }
        Poll::Pending
    }
}

impl Stream for Reader {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.opened {
            // A comment first: it carries the response head through proxies before the first word is there.
            self.opened = true;
            let opening = self.journal.opening();
            if !opening.is_empty() {
                return Poll::Ready(Some(Ok(Bytes::from_static(opening))));
            }
        }
        let reader = &mut *self;
        if reader.in_a_row == PIECES_IN_A_ROW {
            reader.in_a_row = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match reader.journal.poll_read(&mut reader.cursor, context) {
            Poll::Ready(Some(bytes)) => {
                reader.quiet_since = Instant::now();
                reader.in_a_row += 1;
                Poll::Ready(Some(Ok(bytes.into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                reader.in_a_row = 0;
                reader.beat(context).map(|bytes| Some(Ok(bytes)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::turn::chunk::{Chunk, DONE};

    fn delta(text: &str) -> Chunk {
        Chunk::TextDelta { id: "p0".into(), delta: text.into() }
    }

    fn plain(journal: &Arc<Journal>) -> Reader {
        Reader::new(journal.clone(), journal.from_start())
    }

    fn numbered(journal: &Arc<Journal>, last: usize) -> Reader {
        Reader::new(journal.clone(), journal.after_event(last))
    }

    async fn text_of(reader: Reader) -> String {
        let pieces: Vec<Bytes> = reader.map(|piece| piece.unwrap()).collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn a_reader_that_is_behind_gives_way_after_some_pieces() {
        let journal = Arc::new(Journal::default());
        journal.push(&[delta(&"x".repeat(1_000_000))]);
        let mut reader = plain(&journal);
        reader.next().await.unwrap().unwrap();
        for _ in 0..PIECES_IN_A_ROW {
            assert!(reader.next().now_or_never().is_some());
        }
        assert!(reader.next().now_or_never().is_none(), "once");
        assert!(reader.next().now_or_never().is_some());
    }

    #[tokio::test]
    async fn early_late_and_slow_readers_see_the_same_stream() {
        let journal = Arc::new(Journal::default());
        let early = tokio::spawn(text_of(plain(&journal)));
        let slow = plain(&journal);
        for word in ["one", "two", "three"] {
            journal.push(&[delta(word)]);
            tokio::task::yield_now().await;
        }
        journal.end(&[Chunk::Abort]);
        let (late, slow, early) = (text_of(plain(&journal)).await, text_of(slow).await, early.await.unwrap());
        assert!(late.starts_with(": stream-open\n\ndata: {\"type\":\"text-delta\""), "{late}");
        assert!(late.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{late}");
        assert!(late == slow && late == early);
    }

    #[tokio::test]
    async fn a_numbered_reader_goes_on_exactly_after_what_it_had() {
        let journal = Arc::new(Journal::default());
        journal.push(&[delta("one"), delta("two"), delta("three")]);
        journal.end(&[Chunk::Abort]);
        let whole = text_of(numbered(&journal, 0)).await;
        let events: Vec<&str> = whole.split_inclusive("\n\n").skip(1).collect();
        assert_eq!(events.len(), 5, "{whole}");
        assert!(events[0].starts_with("id: 1\ndata: {") && events[4] == "id: 5\ndata: [DONE]\n\n", "{whole}");
        for last in 0..=5 {
            let rest = text_of(numbered(&journal, last)).await;
            assert_eq!(rest, format!(": stream-open\n\n{}", events[last..].concat()));
        }
        assert_eq!(text_of(numbered(&journal, 6)).await, whole, "a number of another stream is none of ours");
    }

    #[tokio::test]
    async fn what_a_message_had_before_is_sent_to_those_who_do_not_hold_it() {
        let journal = Arc::new(Journal::default());
        journal.begin(&delta("start"), &[delta("old"), delta("older")]);
        journal.push(&[delta("new")]);
        journal.end(&[]);
        let text = |reader| async { text_of(reader).await.replace(": stream-open\n\n", "") };
        let [start, old, older, new] = ["start", "old", "older", "new"].map(|text| {
            let mut frame = Vec::new();
            delta(text).write_to(&mut frame);
            String::from_utf8(frame).unwrap()
        });
        assert_eq!(text(plain(&journal)).await, format!("{start}{new}{DONE}"));
        let rest = format!("id: 2\n{new}id: 3\n{DONE}");
        assert_eq!(text(numbered(&journal, 0)).await, format!("{start}{old}id: 1\n{older}{rest}"));
        assert_eq!(text(numbered(&journal, 1)).await, rest);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments_and_only_silence() {
        let journal = Arc::new(Journal::default());
        let mut reader = plain(&journal);
        assert_eq!(reader.next().await.unwrap().unwrap(), ": stream-open\n\n");
        tokio::time::advance(HEARTBEAT - Duration::from_secs(1)).await;
        journal.push(&[delta("x")]);
        assert!(reader.next().await.unwrap().unwrap().starts_with(b"data: "));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(reader.next().now_or_never().is_none(), "the chunk moved the heartbeat");
        assert_eq!(reader.next().await.unwrap().unwrap(), ": keep-alive\n\n");
    }
}
