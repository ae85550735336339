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
    /// What the answer had before, if it goes on, as events for those who do not hold it. They follow the first one.
    before: Vec<u8>,
    /// Where each event ends: whoever asks for one by its number holds the lock, and so the turn, for no search.
    ends: Vec<usize>,
    over: bool,
    /// Who waits for more. A reader that left meanwhile is woken for nothing, once.
    waiting: Vec<Waker>,
    /// How often those who waited were woken: with it a reader knows whether it still stands in the list.
    wakes: u64,
}

impl Journal {
    fn add(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            chunk.write_to(&mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    fn end(&mut self) {
        self.bytes.extend_from_slice(DONE.as_bytes());
        self.ends.push(self.bytes.len());
        self.over = true;
    }

    /// Where the event of that number ends; they are counted from 1.
    fn end_of_event(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |at| self.ends[at])
    }

    /// What follows after `position`, as the bytes are.
    fn plain_from(&self, position: usize) -> &[u8] {
        let there = &self.bytes[position..];
        &there[..there.len().min(READ_BYTES_MAX)]
    }

    /// The events that follow after the event `last`, each with its number.
    fn numbered_after(&self, last: &mut usize) -> Vec<u8> {
        let mut numbered = Vec::new();
        while *last < self.ends.len() && numbered.len() < READ_BYTES_MAX {
            let from = self.end_of_event(*last);
            *last += 1;
            let event = &self.bytes[from..self.end_of_event(*last)];
            if *last == 1 && !self.before.is_empty() {
                numbered.extend_from_slice(event);
                numbered.extend_from_slice(&self.before);
                continue;
            }
            numbered.extend_from_slice(number_line(*last).as_bytes());
            numbered.extend_from_slice(event);
        }
        numbered
    }
}

impl Live {
    /// An empty journal.
    pub fn new() -> Arc<Self> {
        Arc::new(Live { journal: Mutex::default(), stop: watch::channel(None).0 })
    }

    /// Appends the first chunk, and keeps what the answer had before for those who read it from outside: whoever goes on
    /// with an answer holds that already.
    ///
    /// Only the last of these events has a number, the first one's. Who is cut off before it has to begin again.
    pub fn begin(&self, start: &Chunk, before: &[Chunk]) {
        self.append(|journal| {
            journal.add(std::slice::from_ref(start));
            for (at, chunk) in before.iter().enumerate() {
                if at + 1 == before.len() {
                    journal.before.extend_from_slice(number_line(1).as_bytes());
                }
                chunk.write_to(&mut journal.before);
            }
        });
    }

    /// Appends chunks; every reader is woken once for all of them.
    pub fn push(&self, chunks: &[Chunk]) {
        self.append(|journal| journal.add(chunks));
    }

    /// Appends the last chunks and ends the stream.
    pub fn end(&self, chunks: &[Chunk]) {
        self.append(|journal| {
            journal.add(chunks);
            journal.end();
        });
    }

    /// Whether the stream has ended.
    pub fn is_over(&self) -> bool {
        self.lock().over
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
        reader.at = Position::Byte(self.len());
        while reader.next().await.is_some() {}
    }

    /// A reader from the first chunk on.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader {
            live: self.clone(),
            at: Position::Byte(0),
            opened: false,
            waits: None,
            quiet_since: Instant::now(),
            heartbeat: Box::pin(tokio::time::sleep(HEARTBEAT)),
        }
    }

    /// A reader whose events are numbered from 1, and which begins after the event `last`; 0 is the beginning. A number
    /// that no event has yet is from another stream, and begins there as well.
    ///
    /// The AI SDK passes over the numbers; `EventSource` and plain readers go on with them where they were cut off.
    pub fn numbered_reader(self: &Arc<Self>, last: usize) -> Reader {
        let is_ours = last <= self.lock().ends.len();
        Reader { at: Position::Event(if is_ours { last } else { 0 }), ..self.reader() }
    }

    fn append(&self, write: impl FnOnce(&mut Journal)) {
        let waiting = {
            let mut journal = self.lock();
            write(&mut journal);
            journal.wakes += 1;
            std::mem::take(&mut journal.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A panic under the lock leaves whole events, and at most the start of one behind them; reading on is right.
    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of a running turn: server-sent events from the first chunk to `[DONE]`, with heartbeats.
pub struct Reader {
    live: Arc<Live>,
    at: Position,
    opened: bool,
    /// Its place among those who wait: which list, counted in wakes, and where in it.
    waits: Option<(u64, usize)>,
    quiet_since: Instant,
    heartbeat: Pin<Box<Sleep>>,
}

/// How far a reader has come.
enum Position {
    /// So many bytes, for a reader of plain events.
    Byte(usize),
    /// So many events, for one whose events are numbered.
    Event(usize),
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
        let piece = match &mut self.at {
            Position::Byte(position) => {
                let piece = journal.plain_from(*position).to_vec();
                *position += piece.len();
                piece
            }
            Position::Event(last) => journal.numbered_after(last),
        };
        if !piece.is_empty() {
            return Poll::Ready(Some(piece.into()));
        }
        if journal.over {
            return Poll::Ready(None);
        }
        // A reader is also polled for its heartbeat, and need not stand in the list twice.
        let wakes = journal.wakes;
        match self.waits {
            Some((list, place)) if list == wakes => journal.waiting[place].clone_from(context.waker()),
            _ => {
                self.waits = Some((wakes, journal.waiting.len()));
                journal.waiting.push(context.waker().clone());
            }
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

fn number_line(number: usize) -> String {
    format!("id: {number}\n")
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
        for last in 0..=5 {
            let rest = text_of(live.numbered_reader(last)).await;
            assert_eq!(rest, format!(": stream-open\n\n{}", events[last..].concat()));
        }
        assert_eq!(text_of(live.numbered_reader(6)).await, whole, "a number of another stream is none of ours");
    }

    #[tokio::test]
    async fn what_an_answer_had_before_is_told_to_those_who_do_not_hold_it() {
        let live = Live::new();
        live.begin(&delta("start"), &[delta("old"), delta("older")]);
        live.push(&[delta("new")]);
        live.end(&[]);
        let text = |reader| async { text_of(reader).await.replace(": stream-open\n\n", "") };
        let [start, old, older, new] = ["start", "old", "older", "new"].map(|text| {
            let mut frame = Vec::new();
            delta(text).write_to(&mut frame);
            String::from_utf8(frame).unwrap()
        });
        assert_eq!(text(live.reader()).await, format!("{start}{new}{DONE}"));
        let rest = format!("id: 2\n{new}id: 3\n{DONE}");
        assert_eq!(text(live.numbered_reader(0)).await, format!("{start}{old}id: 1\n{older}{rest}"));
        assert_eq!(text(live.numbered_reader(1)).await, rest);
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
