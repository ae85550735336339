//! The journal of one running turn, and its readers.
//!
//! A chunk is serialised once, appended, and read by index. Rule: a reader never holds the turn up. The journal keeps
//! every frame until the turn is over, so a slow reader is merely behind; the turn bounds the journal's size.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{
    sync::watch,
    time::{Instant, Sleep},
};

use super::chunk::{Chunk, DONE};

/// Silence after which a reader gets a comment, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Bytes a reader takes at once; what is left over it takes the next time.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Why a turn is to end before its answer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Someone asked for it.
    Asked,
    /// The server is going away.
    Draining,
}

/// A running turn, as its readers and those who may stop it see it.
pub struct Live {
    journal: Mutex<Journal>,
    stop: watch::Sender<Option<Stop>>,
}

#[derive(Default)]
struct Journal {
    bytes: Vec<u8>,
    over: bool,
    /// Who waits for more. A reader that left meanwhile is woken for nothing, once.
    waiting: Vec<Waker>,
}

impl Journal {
    /// Where the event of that number ends; the end of the journal if it has fewer.
    fn end_of_event(&self, number: usize) -> usize {
        let ends = self.bytes.windows(2).enumerate().filter(|(_, pair)| pair == b"\n\n").map(|(at, _)| at + 2);
        std::iter::once(0).chain(ends).nth(number).unwrap_or(self.bytes.len())
    }
}

impl Live {
    /// An empty journal.
    pub fn new() -> Arc<Self> {
        Arc::new(Live { journal: Mutex::default(), stop: watch::channel(None).0 })
    }

    /// Appends chunks; every reader is woken once for all of them.
    pub fn push(&self, chunks: &[Chunk]) {
        self.append(|bytes| chunks.iter().for_each(|chunk| chunk.write_to(bytes)), false);
    }

    /// Appends the last chunks and ends the stream.
    pub fn end(&self, chunks: &[Chunk]) {
        let last = |bytes: &mut Vec<u8>| {
            chunks.iter().for_each(|chunk| chunk.write_to(bytes));
            bytes.extend_from_slice(DONE.as_bytes());
        };
        self.append(last, true);
    }

    /// How many bytes have been streamed.
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Whether nothing has been streamed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been streamed since there were `from` bytes.
    pub fn since(&self, from: usize) -> Vec<u8> {
        self.lock().bytes[from..].to_vec()
    }

    /// Asks the turn to end. Repeating it changes nothing.
    pub fn stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| stop.is_none() && stop.replace(why).is_none());
    }

    /// Waits until someone asks the turn to end.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        loop {
            let why = *stop.borrow_and_update();
            match why {
                Some(why) => return why,
                // It cannot fail: the sender is ours.
                None => drop(stop.changed().await),
            }
        }
    }

    /// Waits until the turn is over.
    pub async fn ended(self: &Arc<Self>) {
        let mut reader = self.reader();
        reader.position = self.len();
        while reader.next().await.is_some() {}
    }

    /// A reader from the first chunk on.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader {
            live: self.clone(),
            position: 0,
            numbers: None,
            opened: false,
            quiet_since: Instant::now(),
            heartbeat: Box::pin(tokio::time::sleep(HEARTBEAT)),
        }
    }

    /// A reader whose events are numbered from 1, and which begins after the event `last`; 0 is the beginning.
    ///
    /// The AI SDK passes over the numbers; `EventSource` and plain readers go on with them where they were cut off.
    pub fn numbered_reader(self: &Arc<Self>, last: usize) -> Reader {
        let mut reader = self.reader();
        reader.position = self.lock().end_of_event(last);
        reader.numbers = Some(last);
        reader
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>), over: bool) {
        let waiting = {
            let mut journal = self.lock();
            write(&mut journal.bytes);
            journal.over |= over;
            std::mem::take(&mut journal.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A panic under the lock leaves bytes that are whole frames or the start of one; reading on is right.
    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of a running turn: server-sent events from the first chunk to `[DONE]`, with heartbeats.
pub struct Reader {
    live: Arc<Live>,
    position: usize,
    /// The number of the last event that was read, if events are numbered.
    numbers: Option<usize>,
    opened: bool,
    quiet_since: Instant,
    heartbeat: Pin<Box<Sleep>>,
}

impl Stream for Reader {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.opened {
            // A comment first: it carries the response head through proxies before the first word is there.
            self.opened = true;
            return Poll::Ready(Some(Ok(Bytes::from_static(b": stream-open\n\n"))));
        }
        match self.poll_journal(context) {
            Poll::Ready(Some(bytes)) => {
                self.quiet_since = Instant::now();
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.beat(context).map(|bytes| Some(Ok(bytes))),
        }
    }
}

impl Reader {
    /// What is read.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    fn poll_journal(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut journal = self.live.lock();
        let there = &journal.bytes[self.position..];
        if !there.is_empty() {
            let (taken, bytes) = match &mut self.numbers {
                None => {
                    let taken = &there[..there.len().min(READ_BYTES_MAX)];
                    (taken.len(), Bytes::copy_from_slice(taken))
                }
                Some(last) => number_events(there, last),
            };
            drop(journal);
            self.position += taken;
            return Poll::Ready(Some(bytes));
        }
        if journal.over {
            return Poll::Ready(None);
        }
        // A reader is also polled for its heartbeat, and need not stand in the list twice.
        if !journal.waiting.iter().any(|waiting| waiting.will_wake(context.waker())) {
            journal.waiting.push(context.waker().clone());
        }
        Poll::Pending
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
            return Poll::Ready(Bytes::from_static(b": keep-alive\n\n"));
        }
        Poll::Pending
    }
}

/// Whole events from the front of `there`, numbered; how many bytes they take there, and the numbered bytes.
fn number_events(there: &[u8], last: &mut usize) -> (usize, Bytes) {
    let (mut taken, mut numbered) = (0, Vec::new());
    // JSON text holds no line break, so an empty line is the end of an event and nothing else.
    while numbered.len() < READ_BYTES_MAX
        && let Some(length) = there[taken..].windows(2).position(|pair| pair == b"\n\n")
    {
        let event = &there[taken..taken + length + 2];
        *last += 1;
        numbered.extend_from_slice(format!("id: {last}\n").as_bytes());
        numbered.extend_from_slice(event);
        taken += event.len();
    }
    (taken, numbered.into())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn delta(text: &str) -> Chunk {
        Chunk::TextDelta { id: "p0".into(), delta: text.into() }
    }

    async fn text_of(reader: Reader) -> String {
        let pieces: Vec<Bytes> = reader.map(|piece| piece.unwrap()).collect().await;
        String::from_utf8(pieces.concat()).unwrap()
    }

    #[tokio::test]
    async fn early_late_and_slow_readers_see_the_same_stream() {
        let live = Live::new();
        let early = tokio::spawn(text_of(live.reader()));
        let slow = live.reader();
        for word in ["one", "two", "three"] {
            live.push(&[delta(word)]);
            tokio::task::yield_now().await;
        }
        live.end(&[Chunk::Abort]);
        let (late, slow, early) = (text_of(live.reader()).await, text_of(slow).await, early.await.unwrap());
        assert!(late.starts_with(": stream-open\n\ndata: {\"type\":\"text-delta\""), "{late}");
        assert!(late.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{late}");
        assert!(late == slow && late == early);
    }

    #[tokio::test]
    async fn a_numbered_reader_goes_on_exactly_after_what_it_had() {
        let live = Live::new();
        live.push(&[delta("one"), delta("two"), delta("three")]);
        live.end(&[Chunk::Abort]);
        let whole = text_of(live.numbered_reader(0)).await;
        let events: Vec<&str> = whole.split_inclusive("\n\n").skip(1).collect();
        assert_eq!(events.len(), 5, "{whole}");
        assert!(events[0].starts_with("id: 1\ndata: {") && events[4] == "id: 5\ndata: [DONE]\n\n", "{whole}");
        for last in 0..=6 {
            let rest = text_of(live.numbered_reader(last)).await;
            assert_eq!(rest, format!(": stream-open\n\n{}", events[last.min(5)..].concat()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments_and_only_silence() {
        let live = Live::new();
        let mut reader = live.reader();
        assert_eq!(reader.next().await.unwrap().unwrap(), ": stream-open\n\n");
        tokio::time::advance(HEARTBEAT - Duration::from_secs(1)).await;
        live.push(&[delta("x")]);
        assert!(reader.next().await.unwrap().unwrap().starts_with(b"data: "));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(reader.next().now_or_never().is_none(), "the chunk moved the heartbeat");
        assert_eq!(reader.next().await.unwrap().unwrap(), ": keep-alive\n\n");
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_stands() {
        let live = Live::new();
        live.stop(Stop::Draining);
        live.stop(Stop::Asked);
        assert_eq!(live.stopped().await, Stop::Draining);
    }
}
