//! The journal of one running turn: its stream so far, as the bytes that are sent.
//!
//! A chunk is serialised once, appended, and read by index. Rule: a reader never holds the turn up. The journal keeps
//! every frame until the turn is over, so a slow reader is merely behind; the turn bounds the journal's size.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{
    chunk::{Chunk, DONE},
    memory::{Journals, Place},
    wire::Wire,
};
use crate::model::Usage;

/// A comment: readers of events pass over it.
pub const BEAT: &[u8] = b": keep-alive\n\n";
/// Bytes a reader takes at once; what is left over it takes the next time.
const READ_BYTES_MAX: usize = 64 * 1024;

/// What a turn has streamed.
pub struct Journal {
    entries: Mutex<Entries>,
    place: Place,
}

impl Default for Journal {
    fn default() -> Self {
        Journal { entries: Mutex::default(), place: Journals::all().place() }
    }
}

#[derive(Default)]
struct Entries {
    bytes: Vec<u8>,
    /// What the message had before, if it is a continued one, as events for those who do not hold it. They follow the
    /// first one.
    before: Vec<u8>,
    /// How it is written; absent: as an AI SDK stream.
    wire: Option<Box<dyn Wire>>,
    /// Where each event ends: to find one by its number takes no search, which would hold the lock and so the turn.
    ends: Vec<usize>,
    over: bool,
    /// Who waits for more. A reader that left meanwhile is woken for nothing, once.
    waiting: Vec<Waker>,
    /// How often those who waited were woken: with it a reader knows whether it is still in the list.
    wakes: u64,
}

/// How far one reader has come, and where it waits.
pub struct Cursor {
    at: Position,
    /// Its entry in the waiting list: which list, counted in wakes, and where in it.
    waits: Option<(u64, usize)>,
}

enum Position {
    /// So many bytes, for a reader of plain events.
    Byte(usize),
    /// So many events, for one whose events are numbered.
    Event(usize),
}

impl Journal {
    /// One that is written in another API's wire.
    pub fn in_wire(wire: Box<dyn Wire>) -> Self {
        Journal { entries: Mutex::new(Entries { wire: Some(wire), ..Entries::default() }), ..Journal::default() }
    }

    /// What begins its stream, for proxies: a comment, where its wire knows those.
    pub fn opening(&self) -> &'static [u8] {
        if self.lock().wire.is_some() { b"" } else { b": stream-open\n\n" }
    }

    /// What tells a reader in a long silence that the reply still runs.
    pub fn heartbeat(&self) -> Vec<u8> {
        self.lock().wire.as_mut().map_or_else(|| BEAT.to_vec(), |wire| wire.heartbeat())
    }

    /// Appends the first chunk, and keeps what the message had before for those who read from outside: a client that
    /// continues a message holds that already.
    ///
    /// Only the last of these events has a number, the first one's. A client that is cut off before it begins again.
    pub fn begin(&self, start: &Chunk, before: &[Chunk]) {
        self.append(|entries| {
            entries.add([start]);
            for (at, chunk) in before.iter().enumerate() {
                if at + 1 == before.len() {
                    entries.before.extend_from_slice(number_line(1).as_bytes());
                }
                chunk.write_to(&mut entries.before);
            }
        });
    }

    /// Appends chunks; every reader is woken once for all of them.
    pub fn push<'a>(&self, chunks: impl IntoIterator<Item = &'a Chunk>) {
        self.append(|entries| entries.add(chunks));
    }

    /// Appends the last chunks and ends the stream.
    pub fn end(&self, chunks: &[Chunk]) {
        self.end_with(chunks, &Usage::default());
    }

    /// The same of a reply that took so much.
    pub fn end_with(&self, chunks: &[Chunk], usage: &Usage) {
        self.append(|entries| {
            entries.add(chunks);
            entries.end(usage);
        });
        self.place.settle();
    }

    /// Appends a comment that says that the turn is still there. It has no number: it belongs to the event before it.
    pub fn beat(&self) {
        self.append(Entries::beat);
    }

    /// Whether the stream has ended.
    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    /// How many bytes have been streamed.
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Whether all running turns together keep too much, and this one is to end.
    pub fn must_end(&self) -> bool {
        self.place.must_end()
    }

    /// Whether nothing has been streamed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been streamed since there were `from` bytes.
    pub fn since(&self, from: usize) -> Vec<u8> {
        self.lock().bytes[from..].to_vec()
    }

    /// Before the first byte, for a reader of plain events.
    pub fn from_start(&self) -> Cursor {
        Cursor { at: Position::Byte(0), waits: None }
    }

    /// After the last byte so far, for a reader of plain events.
    pub fn from_here(&self) -> Cursor {
        Cursor { at: Position::Byte(self.len()), waits: None }
    }

    /// After the event `last`, for a reader of numbered events; 0 is the beginning. A number that no event has yet is
    /// from another stream, and begins there as well.
    pub fn after_event(&self, last: usize) -> Cursor {
        let is_ours = last <= self.lock().ends.len();
        Cursor { at: Position::Event(if is_ours { last } else { 0 }), waits: None }
    }

    /// What follows `cursor`, which moves on; `None` at the end of the stream.
    pub fn poll_read(&self, cursor: &mut Cursor, context: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut entries = self.lock();
        let piece = match &mut cursor.at {
            Position::Byte(position) => {
                let piece = entries.plain_from(*position).to_vec();
                *position += piece.len();
                piece
            }
            Position::Event(last) => entries.numbered_after(last),
        };
        if !piece.is_empty() {
            return Poll::Ready(Some(piece));
        }
        if entries.over {
            return Poll::Ready(None);
        }
        // A reader is also polled for its heartbeat, and need not be in the list twice.
        let wakes = entries.wakes;
        match cursor.waits {
            Some((list, at)) if list == wakes => entries.waiting[at].clone_from(context.waker()),
            _ => {
                cursor.waits = Some((wakes, entries.waiting.len()));
                entries.waiting.push(context.waker().clone());
            }
        }
        Poll::Pending
    }

    fn append(&self, write: impl FnOnce(&mut Entries)) {
        let waiting = {
            let mut entries = self.lock();
            write(&mut entries);
            entries.wakes += 1;
            self.place.set(entries.memory());
            std::mem::take(&mut entries.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A panic under the lock leaves whole events, and at most the start of one behind them; reading on is right.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn add<'a>(&mut self, chunks: impl IntoIterator<Item = &'a Chunk>) {
        for chunk in chunks {
            match &mut self.wire {
                Some(wire) => wire.chunk(chunk, &mut self.bytes),
                None => chunk.write_to(&mut self.bytes),
            }
            self.ends.push(self.bytes.len());
        }
    }

    /// Bytes that it keeps. What was streamed is once more in the turn's message.
    fn memory(&self) -> usize {
        self.bytes.capacity() + self.bytes.len() + self.before.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    fn beat(&mut self) {
        if let Some(end) = self.ends.last_mut().filter(|_| !self.over) {
            self.bytes.extend_from_slice(BEAT);
            *end = self.bytes.len();
        }
    }

    fn end(&mut self, usage: &Usage) {
        match &mut self.wire {
            Some(wire) => wire.end(usage, &mut self.bytes),
            None => self.bytes.extend_from_slice(DONE.as_bytes()),
        }
        self.ends.push(self.bytes.len());
        self.over = true;
    }

    /// Where the event of that number ends; they are counted from 1.
    fn end_of_event(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |at| self.ends[at])
    }

    /// What follows `position`, as the bytes are.
    fn plain_from(&self, position: usize) -> &[u8] {
        let there = &self.bytes[position..];
        &there[..there.len().min(READ_BYTES_MAX)]
    }

    /// The events that follow the event `last`, each with its number.
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

fn number_line(number: usize) -> String {
    format!("id: {number}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the pieces that a reader takes of a journal of these bytes.
    fn pieces(journal: &Journal, mut cursor: Cursor) -> Vec<usize> {
        let context = Context::from_waker(Waker::noop());
        let mut sizes = Vec::new();
        while let Poll::Ready(Some(piece)) = journal.poll_read(&mut cursor, &context) {
            sizes.push(piece.len());
        }
        sizes
    }

    #[test]
    fn a_reader_takes_so_much_at_once_and_the_rest_the_next_time() {
        let mut frame = Vec::new();
        let empty = Chunk::TextDelta { id: "p".into(), delta: String::new() };
        empty.write_to(&mut frame);
        for (bytes, plain) in [
            (READ_BYTES_MAX - 1, vec![READ_BYTES_MAX - 1]),
            (READ_BYTES_MAX, vec![READ_BYTES_MAX]),
            (READ_BYTES_MAX + 1, vec![READ_BYTES_MAX, 1]),
        ] {
            let journal = Journal::default();
            journal.push(&[Chunk::TextDelta { id: "p".into(), delta: "x".repeat(bytes - frame.len()) }]);
            assert_eq!(journal.len(), bytes);
            assert_eq!(pieces(&journal, journal.from_start()), plain);
        }
        // Events are not split: the one that reaches the bound is the last of its piece.
        let number = number_line(1).len();
        for (bytes, together) in [(READ_BYTES_MAX - 1, true), (READ_BYTES_MAX, false), (READ_BYTES_MAX + 1, false)] {
            let journal = Journal::default();
            let first = "x".repeat(bytes - frame.len() - number);
            journal.push(&[Chunk::TextDelta { id: "p".into(), delta: first }, empty.clone()]);
            let second = number + frame.len();
            let expected = if together { vec![bytes + second] } else { vec![bytes, second] };
            assert_eq!(pieces(&journal, journal.after_event(0)), expected, "{bytes}");
        }
    }

    #[test]
    fn a_beat_belongs_to_the_event_before_it_and_has_no_number() {
        let delta = |text: &str| Chunk::TextDelta { id: "p".into(), delta: text.into() };
        let journal = Journal::default();
        journal.beat();
        assert!(journal.is_empty(), "there is no event before it");
        journal.push(&[delta("a")]);
        journal.beat();
        journal.push(&[delta("b")]);
        let context = Context::from_waker(Waker::noop());
        let read = |last: usize| {
            let Poll::Ready(Some(piece)) = journal.poll_read(&mut journal.after_event(last), &context) else {
                panic!()
            };
            String::from_utf8(piece).unwrap()
        };
        let whole = read(0);
        assert!(whole.starts_with("id: 1\n") && whole.contains("\n\n: keep-alive\n\nid: 2\n"), "{whole}");
        assert!(read(1).starts_with("id: 2\ndata: "));
    }
}
