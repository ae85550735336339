//! Where lines are made, by a thread of its own.
//!
//! Rule: a line holds no secret that is known when it is written. Where it cannot be told which they are, nothing is kept.

use std::sync::{
    atomic::{AtomicU64, AtomicUsize, Ordering},
    mpsc::{Receiver, SyncSender},
};

use crate::{
    error::{Error, Result},
    model::{
        Request,
        cassette::{Appended, Exchange, Keys, Line, Scrubber, ToolExchange, Writer},
    },
    secret::Secret,
};

/// Reads every secret that is known at that moment: while a file is recorded, keys come and go.
pub type KnownSecrets = Box<dyn Fn() -> Result<Vec<Secret>> + Send>;

/// What a desk is given to do.
pub(super) enum Job {
    Model(Box<Taken>),
    Tool(ToolExchange, usize),
    /// Is told once all before it is written.
    Flush(SyncSender<()>),
}

/// An exchange that is over, or runs.
pub(super) struct Taken {
    pub request: Request,
    pub secrets: Vec<Secret>,
    pub exchange: Exchange,
    /// What it holds.
    pub bytes: usize,
}

pub(super) struct Desk {
    writer: Writer,
    known: KnownSecrets,
    with_files: bool,
    /// The file takes no more, which was said.
    is_full: bool,
    /// The last line could not be made or written, which was said.
    is_failing: bool,
}

impl Desk {
    pub(super) fn new(writer: Writer, known: KnownSecrets, with_files: bool) -> Self {
        Desk { writer, known, with_files, is_full: false, is_failing: false }
    }

    pub(super) fn work(mut self, waiting: Receiver<Job>, held: &AtomicUsize, kept: &AtomicU64) {
        for job in waiting {
            let (line, bytes) = match job {
                Job::Flush(done) => {
                    // Whoever asked may have gone.
                    done.try_send(()).unwrap_or_default();
                    continue;
                }
                Job::Tool(_, bytes) if self.is_full => (None, bytes),
                Job::Model(taken) if self.is_full => (None, taken.bytes),
                Job::Tool(exchange, bytes) => (self.line_of_tool(exchange), bytes),
                Job::Model(taken) => {
                    let bytes = taken.bytes;
                    (self.line(*taken), bytes)
                }
            };
            if line.is_some_and(|line| self.write(line)) {
                kept.fetch_add(1, Ordering::Relaxed);
            }
            held.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// What leaves out the secrets that are known now; none if they cannot be read.
    fn scrubber(&mut self) -> Option<Scrubber> {
        (self.known)().map(Scrubber::new).map_err(|error| self.fails(&error)).ok()
    }

    fn line_of_tool(&mut self, mut exchange: ToolExchange) -> Option<Line> {
        self.scrubber()?.tool(&mut exchange);
        Some(Line::Tool(exchange))
    }

    /// What stands of an exchange in the file; nothing if its answer holds a secret.
    fn line(&mut self, Taken { request, secrets, mut exchange, .. }: Taken) -> Option<Line> {
        let scrubber = self.scrubber()?.with(&secrets);
        if let Some(kind) = scrubber.secret_in(&exchange) {
            let id = self.writer.next_id();
            tracing::warn!("Exchange {id} was not kept: its answer holds what looks like a secret ({kind}).");
            return None;
        }
        let Keys { key, shape, step, asked, request, .. } = Keys::of(&request, &scrubber, self.with_files);
        (exchange.key, exchange.shape) = (Some(key), Some(shape));
        (exchange.step, exchange.asked, exchange.request) = (step, asked, Some(request));
        Some(Line::Model(exchange))
    }

    /// Whether a line was written.
    fn write(&mut self, line: Line) -> bool {
        let appended = match self.writer.append(line) {
            Ok(appended) => appended,
            Err(error) => {
                self.fails(&error);
                return false;
            }
        };
        self.is_failing = false;
        match appended {
            Appended::Kept(_) => return true,
            Appended::TooLong(sentence) => tracing::warn!("{sentence}"),
            Appended::Full(sentence) => {
                self.is_full = true;
                tracing::warn!("{sentence}");
            }
        }
        false
    }

    /// Says once that nothing can be kept.
    fn fails(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(%error, "nothing is recorded until the disk takes it");
        }
    }
}
