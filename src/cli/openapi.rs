//! `alm openapi`: the document, without a server.

use std::path::PathBuf;

use super::output;
use crate::{
    error::{Error, Result},
    http,
};

#[derive(Debug, clap::Args)]
pub(super) struct Openapi {
    /// Write to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Openapi {
    pub(super) fn run(self) -> Result<()> {
        match self.output {
            None => output::print(http::document()),
            Some(file) => std::fs::write(&file, http::document())
                .map_err(|error| Error::failed(format!("cannot write {}: {error}", file.display()))),
        }
    }
}
