//! Who sits at the terminal: a question and its answer.

use std::{
    io::{BufRead, IsTerminal, stdin},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::output::ask;

/// A line from the terminal; a secret one is not shown as it is typed.
pub fn answered(question: &str, is_secret: bool) -> Option<String> {
    ask(question);
    let terminal = stdin();
    let shown = tcgetattr(terminal.as_fd()).ok().filter(|_| is_secret);
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal.as_fd(), OptionalActions::Now, &hidden).ok()?;
    }
    let mut line = String::new();
    let read = terminal.lock().read_line(&mut line);
    if let Some(shown) = &shown {
        tcsetattr(terminal.as_fd(), OptionalActions::Now, shown).ok()?;
        ask("\n");
    }
    read.ok().filter(|bytes| *bytes > 0).map(|_| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Whether the person at the terminal says yes; without one it is no.
pub fn agrees(question: &str) -> bool {
    stdin().is_terminal()
        && answered(&format!("{question} [y/N] "), false)
            .is_some_and(|answer| ["y", "yes"].contains(&&*answer.trim().to_lowercase()))
}
