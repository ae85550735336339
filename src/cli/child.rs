//! `alm __child`: what a server runs to start a command. It becomes that command.

use std::{ffi::OsString, path::Path};

use crate::{
    child::become_command,
    error::{Error, Result},
};

#[derive(Debug, clap::Args)]
pub(super) struct Child {
    /// The process that has started it, and without which it ends
    parent: u32,
    /// The file that names it as long as it runs
    #[arg(long)]
    mark: Option<OsString>,
    /// How much it gives way to other processes
    #[arg(long)]
    nice: Option<i32>,
    /// What it becomes: a path and arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Child {
    pub(super) fn run(self) -> Result<()> {
        let error = become_command(self.parent, self.mark.as_deref().map(Path::new), self.nice, &self.command);
        let program = self.command.first().map(|program| program.display().to_string()).unwrap_or_default();
        Err(Error::failed(format!("{program} does not start: {error}")))
    }
}
