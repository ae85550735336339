//! Lines on their way to a stream, and the thread that writes them.
//!
//! Rule: whoever adds a line never waits. What finds the queue full is dropped, what the stream does not take is gone;
//! both are counted, and a line says how many as soon as one can be written again.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::fd::AsFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::getpgrp,
    termios::{LocalModes, tcgetattr, tcgetpgrp},
};

use super::format::LogFormat;
use crate::cli::output::Patient;

/// Lines that wait to be written; what comes while they are that many is dropped and counted.
const LOG_LINES_MAX: usize = 4_096;
/// How often a terminal is asked whether a process in the background may write to it again.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);

/// Lines on their way to a stream.
pub struct Queue {
    format: LogFormat,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Lines that nobody will read.
    pub lost: Arc<AtomicU64>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// Lines that were dropped since the last that was taken.
    dropped: u64,
    is_writing: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Line(String),
    /// So many lines were dropped here.
    Gap(u64),
}

impl Queue {
    /// An empty queue, and the thread that writes it out.
    pub fn start(stream: impl AsFd + Send + 'static, format: LogFormat) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Queue::new(format));
        let mut out = Out { stream: Patient(stream), is_torn: false };
        let taken = queue.clone();
        thread::Builder::new().name("log".into()).spawn(move || {
            let mut lost = 0;
            loop {
                let entry = taken.next();
                taken.write(&mut out, entry, &mut lost);
            }
        })?;
        Ok(queue)
    }

    fn new(format: LogFormat) -> Self {
        Queue { format, waiting: Mutex::default(), changed: Condvar::new(), lost: Arc::default() }
    }

    pub fn push(&self, line: String) {
        let line = self.format.within_bound(line);
        let mut waiting = self.waiting();
        if waiting.entries.len() >= LOG_LINES_MAX {
            waiting.dropped += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if waiting.dropped > 0 {
            let dropped = std::mem::take(&mut waiting.dropped);
            waiting.entries.push_back(Entry::Gap(dropped));
        }
        waiting.entries.push_back(Entry::Line(line));
        drop(waiting);
        self.changed.notify_all();
    }

    /// The next entry, when there is one. Whoever asks has written the one before.
    fn next(&self) -> Entry {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        loop {
            if let Some(entry) = waiting.next() {
                waiting.is_writing = true;
                return entry;
            }
            self.changed.notify_all();
            waiting = self.changed.wait(waiting).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Writes an entry, and before it what was `lost`; what cannot be written is lost as well.
    fn write(&self, out: &mut Out<impl AsFd>, entry: Entry, lost: &mut u64) {
        let line = match entry {
            Entry::Line(line) => Some(line),
            Entry::Gap(dropped) => {
                *lost += dropped;
                None
            }
        };
        if *lost > 0 && out.put(&self.format.gap(*lost)).is_ok() {
            *lost = 0;
        }
        if let Some(line) = line
            && (*lost > 0 || out.put(&line).is_err())
        {
            *lost += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written.
    pub fn finish(&self, deadline: Instant) {
        let mut waiting = self.waiting();
        while !waiting.is_done() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(waiting, left);
            (waiting, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Waiting {
    fn next(&mut self) -> Option<Entry> {
        let dropped = |waiting: &mut Self| match std::mem::take(&mut waiting.dropped) {
            0 => None,
            dropped => Some(Entry::Gap(dropped)),
        };
        self.entries.pop_front().or_else(|| dropped(self))
    }

    fn is_done(&self) -> bool {
        self.entries.is_empty() && self.dropped == 0 && !self.is_writing
    }
}

/// A stream of lines.
struct Out<F> {
    stream: Patient<F>,
    /// Whether the last line broke off.
    is_torn: bool,
}

impl<F: AsFd> Out<F> {
    fn put(&mut self, line: &str) -> io::Result<()> {
        while would_stop(&self.stream.0) {
            thread::park_timeout(TERMINAL_INTERVAL);
        }
        if self.is_torn {
            self.stream.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match self.stream.write(rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = &rest[written..],
            }
            self.is_torn = !rest.is_empty();
        }
        Ok(())
    }
}

/// Whether a write would stop this whole process: its terminal wants none from the background.
fn would_stop(stream: impl AsFd) -> bool {
    let wants_none = tcgetattr(&stream).is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP));
    wants_none && tcgetpgrp(&stream).is_ok_and(|foreground| foreground != getpgrp())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{Read, pipe},
    };

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn lost(queue: &Queue) -> u64 {
        queue.lost.load(Ordering::Relaxed)
    }

    #[test]
    fn what_finds_the_queue_full_is_dropped_and_counted_where_it_would_have_stood() {
        let queue = Queue::new(LogFormat::Text);
        for (lines, dropped) in [(LOG_LINES_MAX - 1, 0), (1, 0), (1, 1), (2, 3)] {
            (0..lines).for_each(|n| queue.push(format!("{n}\n")));
            assert_eq!(lost(&queue), dropped);
        }
        assert_eq!(queue.next(), Entry::Line("0\n".into()));
        queue.push("after\n".into());
        let rest: Vec<_> = (0..LOG_LINES_MAX + 1).map(|_| queue.next()).collect();
        assert_eq!(rest[LOG_LINES_MAX - 1..], [Entry::Gap(3), Entry::Line("after\n".into())]);
        // Nothing comes after it: the count is not kept back.
        (0..LOG_LINES_MAX + 2).for_each(|n| queue.push(format!("{n}\n")));
        assert_eq!((0..LOG_LINES_MAX + 1).map(|_| queue.next()).last(), Some(Entry::Gap(2)));
    }

    #[test]
    fn a_reader_that_stops_reading_holds_nobody_up_and_reads_on_later() {
        let (mut reader, writer) = pipe().unwrap();
        let queue = Queue::start(writer, LogFormat::Json).unwrap();
        let line = format!("\"{}\"\n", "x".repeat(1_000));
        let count = 2 * LOG_LINES_MAX;
        (0..count).for_each(|_| queue.push(line.clone()));
        queue.finish(Instant::now());
        let dropped = lost(&queue);
        assert!(dropped > 0, "a pipe does not hold all that");
        let heard = thread::spawn(move || {
            let mut heard = vec![0; (count + 1) * 1_003];
            let mut length = 0;
            let gap = b"{\"lost\":";
            while !heard[..length].windows(gap.len()).any(|bytes| bytes == gap) {
                length += reader.read(&mut heard[length..]).unwrap();
            }
            (reader, heard.len())
        });
        let (reader, _) = heard.join().unwrap();
        drop(reader);
        assert_eq!(lost(&queue), dropped, "what waited was written");
    }

    #[test]
    fn a_stream_that_takes_nothing_loses_lines_and_nothing_else() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let gone = Queue::start(writer, LogFormat::Text).unwrap();
        let full = Queue::start(File::options().write(true).open("/dev/full").unwrap(), LogFormat::Text).unwrap();
        for queue in [gone, full] {
            (0..3).for_each(|n| queue.push(format!("{n}\n")));
            queue.finish(soon());
            assert_eq!(lost(&queue), 3);
        }
    }

    #[test]
    fn what_was_lost_is_said_before_the_next_line_that_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let queue = Queue::new(LogFormat::Json);
        let mut lost = 0;
        let mut full = Out { stream: Patient(File::options().write(true).open("/dev/full").unwrap()), is_torn: false };
        queue.write(&mut full, Entry::Line("1\n".into()), &mut lost);
        queue.write(&mut full, Entry::Gap(4), &mut lost);
        queue.write(&mut full, Entry::Line("2\n".into()), &mut lost);
        // The last line broke off where the disk was full.
        let mut out = Out { stream: Patient(File::create(&path).unwrap()), is_torn: true };
        queue.write(&mut out, Entry::Line("3\n".into()), &mut lost);
        queue.write(&mut out, Entry::Line("4\n".into()), &mut lost);
        assert_eq!(fs::read_to_string(&path).unwrap(), "\n{\"lost\":6}\n3\n4\n");
        assert_eq!(queue.lost.load(Ordering::Relaxed), 2, "what was dropped was counted when it was");
    }
}
