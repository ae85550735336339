//! `alm doctor`: looks at everything that a server depends on, and says what to do about what is wrong.
//!
//! Rule: it only looks. Nothing is created, upgraded or repaired, so it may run at any moment, beside a server too. What a
//! server cannot live with fails; what somebody should know is a warning. No line holds a secret.

use std::{fmt, path::PathBuf};

use serde_json::{Value, json};

use super::{Place, count_text};
use crate::{
    error::{Error, Result},
    store::file::{FILE_NAME, inspect::Inspected},
};

mod file;
mod machine;
mod providers;

pub(super) use file::check_key_file;

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Certificate authorities to trust when asking providers, in PEM, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at, and what to do if it is not well.
#[derive(Debug)]
pub(super) struct Check {
    level: Level,
    what: String,
    text: String,
}

impl Doctor {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let folder = place.folder()?;
        let mut checks = vec![machine::check_limits()];
        if folder.is_dir() {
            checks.extend([machine::check_folder(&folder), machine::check_disk(&folder)]);
            checks.extend(file::check_modes(&folder, &place.key_file()?));
            checks.extend(self.check_file(place, &folder.join(FILE_NAME)));
        } else {
            let missing =
                format!("{} does not exist: `alm serve` creates it, or name another folder", folder.display());
            checks.push(Check::fail("folder", missing));
        }
        let failed = checks.iter().filter(|check| check.level == Level::Fail).count();
        place.print(
            || json!({ "ok": failed == 0, "checks": checks.iter().map(Check::to_json).collect::<Vec<_>>() }),
            || checks.iter().map(Check::to_string).collect::<Vec<_>>().join("\n"),
        );
        if failed == 0 {
            return Ok(());
        }
        Err(Error::failed(format!("{} failed", count_text(failed as u64, "check"))))
    }

    fn check_file(&self, place: &Place, path: &std::path::Path) -> Vec<Check> {
        if !path.exists() {
            return vec![Check::warn("file", format!("{} does not exist yet: `alm serve` creates it", path.display()))];
        }
        let file = match Inspected::open(path) {
            Ok(file) => file,
            Err(error) => {
                return vec![Check::fail("file", format!("{error}; restore a backup: `alm restore FILE --force`"))];
            }
        };
        let mut checks = vec![file::check_version(&file, path), file::check_pages(&file)];
        // What is in a file of another schema is for the binary that knows it.
        if file.is_current().unwrap_or(false) {
            checks.extend([file::check_ledger(&file), file::check_clock(&file), check_key_file(place, &file)]);
            checks.extend(providers::check(place, &file, self.ca_file.clone()));
        }
        checks
    }
}

impl Check {
    fn ok(what: impl Into<String>, text: impl Into<String>) -> Self {
        Check { level: Level::Ok, what: what.into(), text: text.into() }
    }

    fn warn(what: impl Into<String>, text: impl Into<String>) -> Self {
        Check { level: Level::Warn, what: what.into(), text: text.into() }
    }

    fn fail(what: impl Into<String>, text: impl Into<String>) -> Self {
        Check { level: Level::Fail, what: what.into(), text: text.into() }
    }

    /// What could not be looked at has failed.
    fn of(what: &str, looked: Result<Check>) -> Self {
        looked.unwrap_or_else(|error| Check::fail(what, error.to_string()))
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({ "check": self.what, "level": self.level.as_str(), "text": self.text })
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<4}  {}: {}", self.level.as_str(), self.what, self.text)
    }
}
