//! `alm completions` and `alm man`: what shells and `man` know of the command line.
//!
//! Rule: both come from the command line's own definition, so a flag that is there is in them.

use std::{fs, path::PathBuf};

use clap_complete::{Shell, generate};

use super::{globals::Globals, output};
use crate::error::{Error, Result};

/// The program's name, as it is typed.
const NAME: &str = "alm";

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// Whose completions
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, command: clap::Command) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut shown(command), NAME, &mut script);
        output::print(&String::from_utf8(script).map_err(Error::internal)?)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder that gets the pages, one for each command
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(self, globals: &Globals, command: clap::Command) -> Result<()> {
        let failed = |error| Error::failed(format!("cannot write to {}: {error}", self.folder.display()));
        fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(shown(command), &self.folder).map_err(failed)?;
        let folder = self.folder.display();
        globals.report(
            || serde_json::json!({ "folder": self.folder }),
            || format!("Wrote the pages to {folder}: man {folder}/{NAME}.1"),
        );
        Ok(())
    }
}

/// The commands that people type.
fn shown(command: clap::Command) -> clap::Command {
    let all: Vec<_> = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let about = command.get_about().cloned().unwrap_or_default();
    let flags: Vec<_> = command.get_arguments().cloned().collect();
    clap::Command::new(NAME).about(about).version(env!("CARGO_PKG_VERSION")).args(flags).subcommands(all)
}
