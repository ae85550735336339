//! `alm doctor`: looks at everything that a server depends on, and says what to do about what is wrong.
//!
//! Rule: it only looks. Nothing is created, upgraded or repaired, so it may run at any moment, beside a server too. What a
//! server cannot live with fails; what somebody should know is a warning. No line holds a secret.

use serde_json::json;

use super::{globals::Globals, local_models::LocalModels, reach::Reach, text::count_text};
use crate::{
    error::{Error, Result},
    store::file::{FILE_NAME, inspect::Inspected},
};

mod check;
mod file;
mod local;
mod machine;
mod providers;
mod tools;

use check::{Check, Level};
pub(super) use file::check_key_file;

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    local: LocalModels,
}

impl Doctor {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let folder = globals.folder()?;
        let mut checks = vec![machine::check_limits()];
        if folder.is_dir() {
            checks.extend([machine::check_folder(&folder), machine::check_disk(&folder)]);
            checks.extend(file::check_modes(&folder, &globals.key_file()?));
            checks.extend(globals.key_folder()?.as_deref().map(machine::check_key_folder));
            checks.extend(self.check_file(globals, &folder.join(FILE_NAME)));
        } else {
            let missing =
                format!("{} does not exist: `alm serve` creates it, or name another folder", folder.display());
            checks.push(Check::fail("folder", missing));
        }
        checks.extend(local::check(&folder, &self.local));
        let failed = checks.iter().filter(|check| check.level == Level::Fail).count();
        globals.print(
            || json!({ "ok": failed == 0, "checks": checks.iter().map(Check::to_json).collect::<Vec<_>>() }),
            || checks.iter().map(Check::to_string).collect::<Vec<_>>().join("\n"),
        )?;
        if failed == 0 {
            return Ok(());
        }
        Err(Error::failed(format!("{} failed", count_text(failed as u64, "check"))))
    }

    fn check_file(&self, globals: &Globals, path: &std::path::Path) -> Vec<Check> {
        if !path.exists() {
            return vec![Check::warn("file", format!("{} does not exist yet: `alm serve` creates it", path.display()))];
        }
        let file = match Inspected::open(path) {
            Ok(file) => file,
            Err(error) => {
                return vec![Check::fail("file", format!("{error}; restore a backup: `alm restore FILE --force`"))];
            }
        };
        let mut checks = vec![file::check_version(&file, path), file::check_schema(&file), file::check_pages(&file)];
        // What is in a file of another schema is for the binary that knows it.
        if file.is_current().unwrap_or(false) {
            checks.extend([file::check_ledger(&file), file::check_clock(&file), check_key_file(globals, &file)]);
            match self.reach.options() {
                Ok(options) => {
                    checks.extend(providers::check(globals, &file, &options));
                    checks.extend(local::check_hiding(&self.local, &file));
                    checks.extend(tools::check(globals, &file, options));
                }
                Err(error) => checks.push(Check::fail("flags", error.to_string())),
            }
        }
        checks
    }
}
