//! `alm backup`: a checked copy of the database, beside a running server or without one.
//!
//! Rule: the key file is not in it. A backup that is stolen opens no provider's key.

use std::path::PathBuf;

use serde_json::json;

use super::{
    globals::Globals,
    text::{count_text, size_text},
};
use crate::{
    error::{Error, Result},
    store::file::copy,
};

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// Where to write it
    file: PathBuf,
    /// Replace an earlier backup
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let database = globals.database()?;
        let backup = copy::back_up(&database, &self.file, self.force)?;
        let bytes = std::fs::metadata(&self.file).map_err(Error::internal)?.len();
        let (orgs, schema) = (backup.orgs_count()?, backup.version()?);
        let (file, key_file) = (self.file.display().to_string(), globals.key_file()?.display().to_string());
        let json = || json!({ "file": file, "bytes": bytes, "schema": schema, "orgs": orgs, "keyFile": key_file });
        let text = || {
            format!(
                "{file}: {}, {}, schema {schema}; pages, references and ledger checked\n\
                 Providers' keys in it are sealed with {key_file}, which is not in it: a stolen backup reveals none.\n\
                 Keep a copy of that file too, but not with the backups: without it those keys are lost.",
                size_text(bytes),
                count_text(orgs, "organization")
            )
        };
        globals.report(json, text);
        Ok(())
    }
}
