//! The only child processes: started, watched and ended.
//!
//! `alm` runs itself as `alm __child`, which becomes the command. One thread starts them all, because a child asks to be
//! killed with the thread that started it: it lives as long as [`Children`].
//!
//! Rule: a child has a session of its own, and ends with all that is in it. Its environment is made, never handed on.
//! Deliberately absent: a shell, and a child's words in our log.

mod becoming; // what `alm __child` does
mod command; // what is started, where and with which environment
mod leftovers; // what a killed server has left
mod process; // one that runs
mod ring; // the end of what it says
mod starter; // the thread
mod system; // what the system says of processes

use std::{
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

pub use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use self::starter::Starter;
pub use self::{
    becoming::become_command,
    command::{Command, HandedOn, in_path, is_program, runtime_folder},
    leftovers::{end_leftovers, leftovers},
    process::{Exit, Process},
    ring::Ring,
};

/// Why the server of a host program that names no `alm` starts none.
pub const NO_PROGRAM: &str = "commands are started by the alm program: name it with Builder::program";

/// What starts children, as long as it lives: with it they go.
pub struct Children {
    /// The `alm` that becomes the command, or why there is none.
    program: Result<PathBuf, &'static str>,
    starter: OnceLock<Starter>,
}

/// A child that runs, and its pipes.
pub struct Started {
    /// What it reads. Most programs end when it is dropped.
    pub stdin: ChildStdin,
    /// What it answers.
    pub stdout: ChildStdout,
    /// What else it says.
    pub stderr: ChildStderr,
    /// The process.
    pub process: Process,
}

impl Children {
    /// What starts children by this `alm`, or why it starts none.
    pub fn new(program: Result<PathBuf, &'static str>) -> Self {
        Children { program, starter: OnceLock::new() }
    }

    /// Whether commands are started at all; why not is a sentence.
    pub fn may_start(&self) -> Result<&Path, String> {
        self.program.as_deref().map_err(|why| (*why).to_owned())
    }

    /// Starts a command; a failure is a sentence. A future that is dropped leaves no process.
    pub async fn start(&self, command: &Command) -> Result<Started, String> {
        let ready = command.prepared(self.may_start()?)?;
        let broken = |error: io::Error| format!("{} does not start: {error}", command.program);
        let starter = self.starter.get_or_init(Starter::new);
        let born = starter.start(ready, command.pid_file.clone()).await.map_err(broken)?;
        Ok(Started {
            stdin: ChildStdin::from_std(born.stdin).map_err(broken)?,
            stdout: ChildStdout::from_std(born.stdout).map_err(broken)?,
            stderr: ChildStderr::from_std(born.stderr).map_err(broken)?,
            process: born.process,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_program_a_command_is_refused_in_words() {
        let command = Command {
            program: "cat".into(),
            args: Vec::new(),
            handed_on: HandedOn::USUAL,
            env: Vec::new(),
            nice: None,
            folder: "/".into(),
            pid_file: "/nowhere/x.pid".into(),
        };
        let refused = Children::new(Err(NO_PROGRAM)).start(&command).await.err().unwrap();
        assert_eq!(refused, "commands are started by the alm program: name it with Builder::program");
    }
}
