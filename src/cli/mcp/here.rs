//! What surrounds a file of entries here: this environment, this folder, and who sits at the terminal.

use std::{
    io::{BufRead, IsTerminal, stdin},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::entry::{Input, World};
use crate::{
    cli::{output::ask, text::read_text},
    seal::from_environment,
};

/// The command's own surroundings.
pub(super) struct Here {
    /// Whether standard input is free for answers, and a person's.
    asks: bool,
}

impl Here {
    pub(super) fn new(stdin_is_free: bool) -> Self {
        Here { asks: stdin_is_free && stdin().is_terminal() }
    }
}

impl World for Here {
    fn variable(&self, name: &str) -> Option<String> {
        from_environment(name).map(|secret| secret.expose().to_owned())
    }

    fn ask(&mut self, input: &Input) -> Option<String> {
        if !self.asks {
            return None;
        }
        let default = input.default.as_ref().map(|default| format!(" [{default}]")).unwrap_or_default();
        let options = if input.options.is_empty() { String::new() } else { format!(" ({})", input.options.join(", ")) };
        let answer = answered(&format!("{}{options}{default}: ", input.description), input.is_secret)?;
        if answer.is_empty() { input.default.clone() } else { Some(answer) }
    }

    fn absolute(&self, path: &str) -> PathBuf {
        std::path::absolute(path).unwrap_or_else(|_| path.into())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        read_text(Path::new(path)).map_err(|error| error.to_string())
    }
}

/// A line from the terminal; a secret one is not shown as it is typed.
fn answered(question: &str, is_secret: bool) -> Option<String> {
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
pub(super) fn agrees(question: &str) -> bool {
    stdin().is_terminal()
        && answered(&format!("{question} [y/N] "), false)
            .is_some_and(|answer| ["y", "yes"].contains(&&*answer.trim().to_lowercase()))
}
