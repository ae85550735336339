//! What is recorded, from the request to the last byte of its answer, and the thread that writes it down.
//!
//! Rule: recording changes nothing of a turn. Nobody waits for the disk, what it does not take is left out, and each reason for that
//! is said once.
//! Rule: what is held is bounded by what a file may hold: more could not be kept.

mod desk; // where lines are made

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

pub use self::desk::KnownSecrets;
use self::desk::{Desk, Job, Taken};
use super::{
    End, Exchange, Piece, ToolExchange, Writer,
    file::{CASSETTE_BYTES_MAX, CASSETTE_LINE_BYTES_MAX, name_of},
};
use crate::{
    error::{Error, Result},
    model::{Content, Message, Request, ToolSpec},
    secret::Secret,
};

/// Exchanges that wait to be written. Past it the disk is too slow, and they are left out.
const WAITING_MAX: usize = 1_024;
/// How long whoever goes waits for what is not written yet.
const FLUSH_WAIT: Duration = Duration::from_secs(5);

/// Writes down what models and tools are asked and answer. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

/// How a file is recorded.
#[derive(Debug, Clone, Default)]
pub struct RecordOptions {
    /// The terms of its answers, for a file that is new.
    pub licence: Option<String>,
    /// Whether the files that people send are kept.
    pub with_files: bool,
}

struct Inner {
    path: PathBuf,
    /// Absent once it is over.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Bytes of exchanges that run or wait.
    held: Arc<AtomicUsize>,
    /// Lines that were written.
    kept: Arc<AtomicU64>,
    /// Whether it was said that something is left out before it comes to the file.
    told: AtomicBool,
}

/// The head of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Head {
    pub status: u16,
    pub media_type: Option<String>,
    /// Seconds.
    pub retry_after: Option<u64>,
}

/// An exchange that runs. Dropped before its end, whoever asked has stopped it.
pub struct Recording {
    recorder: Recorder,
    /// Absent: nothing of it is kept, since it has become too long, or there is no room.
    taken: Option<Box<Taken>>,
    began: Instant,
    head_at: Instant,
    /// An event that has not come to its end.
    open: Vec<u8>,
    /// Bytes of the body.
    heard: usize,
}

impl Recorder {
    /// Opens or begins the file, which holds none of the `known` secrets. It is locked until the last clone is dropped.
    pub fn open(path: &Path, how: RecordOptions, known: KnownSecrets) -> Result<Self> {
        let writer = Writer::open(path, how.licence.as_deref())?;
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        let (held, kept) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let desk = Desk::new(writer, known, how.with_files);
        let (of_desk, kept_by_desk) = (held.clone(), kept.clone());
        let write = move || desk.work(waiting, &of_desk, &kept_by_desk);
        let thread = thread::Builder::new().name("alm-recorder".into()).spawn(write).map_err(Error::internal)?;
        let (path, told) = (path.to_owned(), AtomicBool::new(false));
        Ok(Recorder(Arc::new(Inner { path, jobs: Some(jobs), thread: Some(thread), held, kept, told })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Its name, without its folder.
    pub fn file_name(&self) -> String {
        name_of(&self.0.path)
    }

    /// Lines that it has written.
    pub fn kept(&self) -> u64 {
        self.0.kept.load(Ordering::Relaxed)
    }

    /// Begins an exchange; `secrets` are what its provider is sent besides.
    pub fn begin(&self, request: &Request, secrets: Vec<Secret>) -> Recording {
        let exchange = Exchange { model: request.model.clone(), ..Exchange::default() };
        let (request, bytes) = (without_specs(request), bytes_of(request));
        let is_held = self.hold(bytes);
        let now = Instant::now();
        Recording {
            recorder: self.clone(),
            taken: is_held.then(|| Box::new(Taken { request, secrets, exchange, bytes })),
            began: now,
            head_at: now,
            open: Vec::new(),
            heard: 0,
        }
    }

    /// Takes what a tool was asked and answered.
    pub fn tool(&self, exchange: ToolExchange) {
        let text = |value: &Value| value.to_string().len();
        let bytes = text(&exchange.input) + exchange.output.as_ref().map_or(0, text);
        if self.hold(bytes) {
            self.send(Job::Tool(exchange, bytes), bytes);
        }
    }

    /// Waits until all that is over is written. Blocks, but not for ever.
    pub fn flush(&self) -> Result<()> {
        let (done, told) = sync_channel(1);
        let is_sent = self.0.jobs.as_ref().is_some_and(|jobs| jobs.send(Job::Flush(done)).is_ok());
        // Where nobody takes it any more nothing is left to wait for.
        match is_sent && told.recv_timeout(FLUSH_WAIT).is_err() {
            true => {
                Err(Error::failed(format!("{}: the disk is too slow to record the last answers", self.file_name())))
            }
            false => Ok(()),
        }
    }

    /// Whether there is room for so many bytes more, which are held then.
    fn hold(&self, bytes: usize) -> bool {
        let held = self.0.held.fetch_add(bytes, Ordering::Relaxed);
        let has_room = held + bytes <= CASSETTE_BYTES_MAX;
        if !has_room {
            self.let_go(bytes);
            self.say_once("more runs at once than can be recorded, so some of it is left out");
        }
        has_room
    }

    fn let_go(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn send(&self, job: Job, bytes: usize) {
        if self.0.jobs.as_ref().is_none_or(|jobs| jobs.try_send(job).is_err()) {
            self.let_go(bytes);
            self.say_once("the disk is slower than what is recorded, so some of it is left out");
        }
    }

    fn say_once(&self, what: &str) {
        if !self.0.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("recording to {}: {what}", self.0.path.display());
        }
    }
}

impl Drop for Inner {
    /// The file is free afterwards: what is over is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was said.
            thread.join().unwrap_or_default();
        }
    }
}

impl Recording {
    /// The head has come; `omitted` is what the model was not sent, `in_thoughts` whether its reply is known to begin there.
    pub fn head(&mut self, head: Head, omitted: &[String], in_thoughts: bool) {
        self.head_at = Instant::now();
        let wait = self.head_at - self.began;
        let Some(Taken { exchange, .. }) = self.taken.as_deref_mut() else { return };
        exchange.wait_ms = wait.as_millis() as u64;
        exchange.status = Some(head.status);
        exchange.media_type = head.media_type;
        exchange.retry_after = head.retry_after;
        exchange.omitted = omitted.to_vec();
        exchange.in_thoughts = in_thoughts;
    }

    /// Takes the next bytes of the body.
    pub fn hears(&mut self, mut bytes: &[u8]) {
        if !self.has_room(bytes.len()) {
            return;
        }
        while let Some(end) = event_end(&self.open, bytes) {
            self.open.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            self.close_event();
        }
        self.open.extend_from_slice(bytes);
    }

    /// The exchange is over.
    pub fn ends(mut self, end: End) {
        self.over(end);
    }

    fn close_event(&mut self) {
        let at = self.head_at.elapsed().as_millis() as u64;
        let Some(Taken { exchange, .. }) = self.taken.as_deref_mut() else { return };
        exchange.body.push((at, Piece::of(&std::mem::take(&mut self.open))));
    }

    /// Whether so many bytes more can be held. If not, nothing of the exchange is kept.
    fn has_room(&mut self, bytes: usize) -> bool {
        let Some(taken) = &mut self.taken else { return false };
        self.heard += bytes;
        let is_too_long = self.heard > CASSETTE_LINE_BYTES_MAX;
        if is_too_long {
            self.recorder.say_once("an answer is longer than a line may be, so it is left out");
        } else if self.recorder.hold(bytes) {
            taken.bytes += bytes;
            return true;
        }
        self.recorder.let_go(taken.bytes);
        (self.taken, self.open) = (None, Vec::new());
        false
    }

    fn over(&mut self, end: End) {
        if !self.open.is_empty() {
            self.close_event();
        }
        if let Some(mut taken) = self.taken.take() {
            taken.exchange.end = end;
            let bytes = taken.bytes;
            self.recorder.send(Job::Model(taken), bytes);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.over(End::Stopped);
    }
}

/// Where the event ends that `open` begins, within `bytes`: behind its blank line.
fn event_end(open: &[u8], bytes: &[u8]) -> Option<usize> {
    let at = |at: usize| open.get(at).or_else(|| bytes.get(at - open.len()));
    let is_end = |end: &usize| match (end.checked_sub(2).and_then(at), end.checked_sub(3).and_then(at)) {
        (Some(b'\n'), _) | (Some(b'\r'), Some(b'\n')) => at(end - 1) == Some(&b'\n'),
        _ => false,
    };
    (open.len() + 1..=open.len() + bytes.len()).find(is_end).map(|end| end - open.len())
}

/// A request without what its tools are told of, which nothing is known by.
fn without_specs(request: &Request) -> Request {
    let named =
        |tool: &ToolSpec| ToolSpec { name: tool.name.clone(), description: String::new(), parameters: Value::Null };
    Request {
        model: request.model.clone(),
        messages: request.messages.clone(),
        tools: request.tools.iter().map(named).collect(),
        sampling: request.sampling.clone(),
        needs: request.needs,
        legacy: request.legacy.clone(),
    }
}

/// What a request holds: its texts and files.
fn bytes_of(request: &Request) -> usize {
    let content = |content: &Content| match content {
        Content::Text(text) => text.len(),
        Content::File { url, .. } => url.len(),
    };
    let message = |message: &Message| match message {
        Message::System(text) => text.len(),
        Message::User(contents) => contents.iter().map(content).sum(),
        Message::Assistant { text, calls, .. } => {
            text.len() + calls.iter().map(|call| call.arguments.len()).sum::<usize>()
        }
        Message::Tool { output, .. } => output.len(),
    };
    request.messages.iter().map(message).sum::<usize>() + request.legacy.as_ref().map_or(0, |text| text.prompt.len())
}

#[cfg(test)]
mod tests;
