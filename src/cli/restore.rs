//! `alm restore`: replaces the database with a backup.

use std::path::PathBuf;

use serde_json::json;

use super::{doctor, globals::Globals, text::count_text};
use crate::{error::Result, store::file::restore};

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup to restore
    file: PathBuf,
    /// Replace the existing database, which is kept under another name
    #[arg(long)]
    force: bool,
}

impl Restore {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let folder = globals.folder()?;
        let restored = restore::restore(&self.file, &folder, self.force)?;
        let orgs = restored.file.orgs_count()?;
        let keys = doctor::check_key_file(globals, &restored.file);
        let kept = restored.kept.as_ref().map(|kept| kept.display().to_string());
        globals.report(
            || json!({ "folder": folder, "orgs": orgs, "kept": kept, "key": keys.to_json() }),
            || {
                let mut lines = vec![format!("restored {}: {}", folder.display(), count_text(orgs, "organization"))];
                lines.extend(kept.iter().map(|kept| format!("the previous database is kept as {kept}")));
                lines.push(keys.to_string());
                lines.join("\n")
            },
        );
        Ok(())
    }
}
