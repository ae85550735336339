//! The thread that starts children.

use std::{
    io,
    path::PathBuf,
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    thread,
};

use tokio::sync::oneshot;

use super::process::Process;

/// What hands children to the thread. With the last of it the thread ends, and the system kills what it has started.
pub(super) struct Starter {
    jobs: mpsc::Sender<Job>,
}

/// A child that was started.
pub(super) struct Born {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
    pub process: Process,
}

/// One to start.
struct Job {
    command: Command,
    pid_file: PathBuf,
    /// Whoever waits no longer drops what was started, which ends it.
    answer: oneshot::Sender<io::Result<Born>>,
}

impl Starter {
    pub(super) fn new() -> Self {
        let (jobs, taken) = mpsc::channel::<Job>();
        let work = move || {
            while let Ok(Job { command, pid_file, answer }) = taken.recv() {
                drop(answer.send(born(command, pid_file)));
            }
        };
        // Without the thread nobody takes a job, which whoever brings one is told.
        drop(thread::Builder::new().name("alm-children".into()).spawn(work));
        Starter { jobs }
    }

    /// Starts a command, with all three pipes.
    pub(super) async fn start(&self, command: Command, pid_file: PathBuf) -> io::Result<Born> {
        let gone = || io::Error::other("the thread that starts commands is gone");
        let (answer, born) = oneshot::channel();
        self.jobs.send(Job { command, pid_file, answer }).map_err(|_| gone())?;
        born.await.map_err(|_| gone())?
    }
}

fn born(mut command: Command, pid_file: PathBuf) -> io::Result<Born> {
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let process = Process::watch(child, pid_file)?;
    match (stdin, stdout, stderr) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok(Born { stdin, stdout, stderr, process }),
        _ => Err(io::Error::other("it has no pipes")),
    }
}
