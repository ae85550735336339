//! The real binary on a folder that outlives it: started, killed with SIGKILL, started again.
//!
//! Rule: nothing of this process keeps the file open while a server is killed, so the next one finds it as a crash leaves
//! it: a log to be replayed, and nobody who remembers.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::Client,
    harness::{PATIENCE, alm, until},
};

/// What it says when it listens.
const LISTENING: &str = "listening on ";
/// Lines of its log that a failure shows.
const LOG_LINES_MAX: usize = 60;

/// A process that may be killed at any moment.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    told: Vec<String>,
    started: Instant,
    url: String,
}

impl Server {
    /// Begins to start; nothing is waited for.
    pub fn spawn(folder: &Path, flags: &[&str]) -> Self {
        let mut command = alm(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(flags).env("ALM_DATA_DIR", folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let (line, lines) = channel();
        forward(child.stdout.take().unwrap(), line.clone());
        forward(child.stderr.take().unwrap(), line);
        Server { child, lines, told: Vec::new(), started, url: String::new() }
    }

    /// Waits until it is ready; answers how long that took since it was started.
    pub fn ready(&mut self) -> Duration {
        let listens = self.hears(LISTENING, PATIENCE);
        assert!(listens, "the server does not start:\n{}", self.log());
        let said = self.told.last().unwrap().split_once(LISTENING).unwrap().1;
        self.url = said.trim().to_owned();
        let anyone = Client::new(&self.url, None);
        until("the server to be ready", || (anyone.get("/readyz").status == 200).then_some(()));
        self.started.elapsed()
    }

    /// Waits for a line with these words, but not for longer than `patience`.
    fn hears(&mut self, words: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.told.push(line);
            if self.told.last().unwrap().contains(words) {
                return true;
            }
        }
        false
    }

    /// Is killed that long after it began to start, or when it listens.
    pub fn dies_after(mut self, life: Duration) {
        self.hears(LISTENING, life);
        self.kill();
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Is told to go, and goes.
    pub fn stop(&mut self) {
        let pid = self.process().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        let left = until("the server to end", || self.child.try_wait().unwrap());
        assert!(left.success(), "{left}");
    }

    /// The id of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        // It may have been killed already.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }

    /// The last lines of what it said.
    pub fn log(&mut self) -> String {
        self.told.extend(self.lines.try_iter());
        self.told[self.told.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("the server said:\n{}", self.log());
        }
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
}
