//! The log: lines on standard error, written by a thread of its own.
//!
//! Rule: nobody waits for whoever reads the log. A line goes into a queue that has a bound; what finds it full is dropped
//! and counted, and so is what cannot be written. Only the exit waits for the rest, and not long.
//! A library has no part in this: it logs through `tracing` alone.

mod format; // the form of a line
mod queue; // lines on their way to a stream

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::{Arc, OnceLock, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

pub use self::format::LogFormat;
use self::queue::Queue;
use super::output::complain;
use crate::error::{Error, Result};

/// How long the exit waits for what is not written yet.
const LOG_PATIENCE: Duration = Duration::from_secs(1);
/// What is logged unless RUST_LOG says otherwise: what someone should know, not every request.
const LOG_DEFAULT: &str = "alm=info,rmcp=off,warn";

/// The process's log, once it has one.
static LOG: OnceLock<Log> = OnceLock::new();

struct Log {
    format: LogFormat,
    lines: Arc<Queue>,
    /// Standard output, where a server says one thing.
    said: Arc<Queue>,
    /// Whether a program reads standard output, which then has that program's line alone.
    is_read_by_program: bool,
}

/// Starts the log of this process; answers where its lost lines are counted. Where a program reads standard output, what is said to
/// people goes to the log as well.
pub fn start(format: LogFormat, is_read_by_program: bool) -> Result<Arc<AtomicU64>> {
    let lines = Queue::start(io::stderr(), format).map_err(Error::internal)?;
    let said = Queue::start(io::stdout(), format).map_err(Error::internal)?;
    let lost = lines.lost.clone();
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, wrong) = match wanted.trim() {
        "" => (EnvFilter::new(LOG_DEFAULT), None),
        text => EnvFilter::builder()
            .parse(text)
            .map_or_else(|error| (EnvFilter::new(LOG_DEFAULT), Some(error)), |filter| (filter, None)),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines(lines.clone())).with_target(false);
    // A log that goes to a file or to journald is no place for colours. What cannot be written is counted here.
    let log = log.with_ansi(io::stderr().is_terminal()).log_internal_errors(false);
    if LOG.set(Log { format, lines, said, is_read_by_program }).is_err() {
        return Err(Error::internal("the log was started twice"));
    }
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    panic::set_hook(Box::new(log_panic));
    if let Some(error) = wrong {
        tracing::warn!(%error, "RUST_LOG is not understood, and not used");
    }
    Ok(lost)
}

/// Says something to people, on standard output where no program reads that. Nobody waits for it.
pub fn say(text: &str) {
    match LOG.get() {
        Some(log) if log.is_read_by_program => tell(text, json!({ "message": text })),
        Some(_) => answer(text),
        None => {}
    }
}

/// A line of standard output, for whatever reads that.
pub fn answer(line: &str) {
    if let Some(log) = LOG.get() {
        log.said.push(format!("{line}\n"));
    }
}

/// Tells the operator something: `text` for people, `fields` where the log is for programs.
pub fn tell(text: &str, fields: Value) {
    if let Some(log) = LOG.get() {
        log.lines.push(log.format.line("INFO", text, fields));
    }
}

/// Says why a command failed.
pub fn fail(error: &Error) {
    match LOG.get() {
        Some(log) => {
            let text = format!("alm: {error}");
            let fields = json!({ "message": text });
            log.lines.push(log.format.line("ERROR", &text, fields));
        }
        None => complain(&error.to_string()),
    }
}

/// Waits for what is not written yet, if there is a log, and not long.
pub fn finish() {
    if let Some(log) = LOG.get() {
        let deadline = Instant::now() + LOG_PATIENCE;
        log.said.finish(deadline);
        log.lines.finish(deadline);
    }
}

/// A panic is a line of the log like any other: the usual one is written by whoever panics, and waits for the reader.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let Some(log) = LOG.get() else { return };
    let name = thread::current().name().unwrap_or("unnamed").to_owned();
    let mut text = format!("thread {name} {panic}");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        text += &format!("\n{trace}");
    }
    let fields = json!({ "message": text });
    log.lines.push(log.format.line("ERROR", &text, fields));
}

/// Where `tracing` writes: each write is a line.
struct Lines(Arc<Queue>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
