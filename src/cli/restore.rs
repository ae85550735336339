//! `alm restore`: a backup in the place of the database.

use std::path::PathBuf;

use serde_json::json;

use super::{doctor, globals::Globals, text::count_text};
use crate::{error::Result, store::file::restore};

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// Put aside the database that is there, and take the backup in its place
    #[arg(long, value_parser = clap::builder::FalseyValueParser::new())]
    force: bool,
}

impl Restore {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let folder = globals.folder()?;
        let restored = restore::restore(&self.file, &folder, self.force)?;
        let orgs = restored.file.orgs_count()?;
        let keys = doctor::check_key_file(globals, &restored.file);
        let kept = restored.kept.as_ref().map(|kept| kept.display().to_string());
        globals.print(
            || json!({ "folder": folder, "orgs": orgs, "kept": kept, "key": keys.to_json() }),
            || {
                let mut lines =
                    vec![format!("{} is the backup's now: {}", folder.display(), count_text(orgs, "organization"))];
                lines.extend(kept.iter().map(|kept| format!("what was there before is kept as {kept}")));
                lines.push(keys.to_string());
                lines.join("\n")
            },
        );
        Ok(())
    }
}
