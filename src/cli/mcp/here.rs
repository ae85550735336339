//! What surrounds a file of entries here: this environment, this folder, and who sits at the terminal.

use std::{
    io::{IsTerminal, stdin},
    path::{Path, PathBuf},
};

use super::entry::{Input, World};
use crate::{
    cli::{terminal::answered, text::read_text},
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
