//! What is in the folder: the database and the key file.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use super::{check::Check, machine::OTHERS};
use crate::{
    cli::{
        globals::Globals,
        text::{count_text, size_text},
    },
    error::Result,
    seal::Sealer,
    store::file::{self, inspect::Inspected},
    time::Timestamp,
    tools::secrets::{self, Kept, Secrets},
};

/// How far ahead of the clock a file may be: another machine's clock, corrected.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Database and key are their owner's alone.
pub(super) fn check_modes(folder: &Path, key_file: &Path) -> Vec<Check> {
    let open_to_others = |file: &Path| {
        let mode = std::fs::metadata(file).ok()?.permissions().mode();
        let file = file.display();
        (mode & OTHERS != 0)
            .then(|| Check::fail("permissions", format!("other users can read {file}: run `chmod 600 {file}`")))
    };
    let wrong: Vec<_> = [&folder.join(file::FILE_NAME), key_file].into_iter().filter_map(open_to_others).collect();
    if wrong.is_empty() {
        vec![Check::ok("permissions", "only the owner can read the database and the key file")]
    } else {
        wrong
    }
}

/// Whether this binary knows the file's schema.
pub(super) fn check_version(file: &Inspected, path: &Path) -> Check {
    let look = || {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |facts| facts.len());
        // What is in the log is not in the file yet.
        let bytes = size(path) + size(&path.with_extension("db-wal"));
        let facts = format!("{}, {}, schema {}", path.display(), size_text(bytes), file.version()?);
        Ok(match file.age()? {
            std::cmp::Ordering::Equal => Check::ok("file", facts),
            std::cmp::Ordering::Less => {
                Check::ok("file", format!("{facts}: the next command copies it, then upgrades it"))
            }
            std::cmp::Ordering::Greater => Check::fail(
                "file",
                format!("{facts} is newer than this alm: use the alm that wrote it, or a newer one"),
            ),
        })
    };
    Check::of("file", look())
}

/// Whether the schema is ours: triggers and checks guard the money.
pub(super) fn check_schema(file: &Inspected) -> Check {
    let judge = |foreign: Vec<String>| match foreign.first() {
        None => Check::ok("schema", "tables, indexes and triggers are alm's own"),
        Some(first) => Check::fail("schema", format!("{first}: restore a backup with `alm restore FILE --force`")),
    };
    Check::of("schema", file.foreign().map(judge))
}

/// Whether every page, index and reference is whole.
pub(super) fn check_pages(file: &Inspected) -> Check {
    let judge = |faults: Vec<String>| match faults.first() {
        None => Check::ok("integrity", "pages, indexes and references are intact"),
        Some(first) => Check::fail("integrity", format!("{first}: restore a backup with `alm restore FILE --force`")),
    };
    Check::of("integrity", file.faults().map(judge))
}

/// Whether the money adds up.
pub(super) fn check_ledger(file: &Inspected) -> Check {
    let judge = |audit: file::audit::Audit| match audit.findings.first() {
        None => Check::ok("ledger", format!("adds up for {}", count_text(audit.books.len() as u64, "organization"))),
        Some(first) => Check::fail("ledger", format!("{first}: `alm ledger verify` lists the rest")),
    };
    Check::of("ledger", file.audit().map(judge))
}

/// Whether the clock is behind what was written by it.
pub(super) fn check_clock(file: &Inspected) -> Check {
    Check::of("clock", file.newest().map(|newest| of_clock(Timestamp::now(), newest)))
}

fn of_clock(now: Timestamp, newest: Option<Timestamp>) -> Check {
    match newest {
        Some(newest) if newest.since(now) > AHEAD_MAX => {
            Check::fail("clock", format!("it is {now}, but the file has an entry of {newest}: set the clock"))
        }
        _ => Check::ok("clock", now.to_string()),
    }
}

/// What is sealed in the file: what it is for, the sealed text, and its context.
fn sealed_in(file: &Inspected) -> Result<Vec<(String, Vec<u8>, String)>> {
    let mut sealed = Vec::new();
    for (org, provider) in file.providers()? {
        let context = provider.seal_context();
        sealed.extend(provider.api_key_sealed.map(|key| (format!("{} of {org}", provider.slug), key, context)));
    }
    let mut of_tools = |what: String, secrets: &str, place: String| {
        let secrets = Secrets::from_json(secrets).unwrap_or_default();
        for (name, kept) in secrets.iter() {
            if let Kept::Sealed { text, .. } = kept {
                sealed.push((what.clone(), text.clone(), secrets::context(&place, name)));
            }
        }
    };
    for (org, tool) in file.http_tools()? {
        of_tools(format!("{} of {org}", tool.name), &tool.secrets, format!("tool/{}", tool.id));
    }
    for (org, server) in file.mcp_servers()? {
        of_tools(format!("{} of {org}", server.slug), &server.secrets, format!("mcp/{}", server.id));
    }
    Ok(sealed)
}

/// Whether the key file opens what was sealed with it. It is not created here, so that a wrong path shows.
pub(in crate::cli) fn check_key_file(globals: &Globals, file: &Inspected) -> Check {
    let look = || -> Result<Check> {
        let key_file = globals.key_file()?;
        let name = key_file.display();
        if !file.is_current()? {
            return Ok(Check::warn(
                "key file",
                "not checked: the file has an older schema; run this again after its upgrade",
            ));
        }
        let sealed = sealed_in(file)?;
        let keys = count_text(sealed.len() as u64, "sealed key");
        if !key_file.exists() && sealed.is_empty() {
            return Ok(Check::ok("key file", format!("{name} is created when the first secret is stored")));
        }
        if !key_file.exists() {
            return Ok(Check::fail(
                "key file",
                format!(
                    "{name} is missing, and without it {keys} cannot be opened: put it back, or add what they are for again"
                ),
            ));
        }
        let sealer = Sealer::open(&key_file)?;
        let shut = sealed.iter().find(|(_, sealed, context)| sealer.unseal(sealed, context).is_err());
        Ok(match shut {
            None => Check::ok("key file", format!("{name} opens {keys}")),
            Some((what, ..)) => Check::fail(
                "key file",
                format!(
                    "{name} does not open the key of {what}: put back the file that it was sealed with, or add that again"
                ),
            ),
        })
    };
    Check::of("key file", look())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::Level;

    #[test]
    fn a_clock_that_is_behind_the_file_fails() {
        let now = Timestamp::parse("2026-11-26T12:00:00Z").unwrap();
        let level = |newest: &str| of_clock(now, Timestamp::parse(newest)).level;
        let ahead =
            |more: i64| of_clock(now, Some(Timestamp::from_millis(now.plus(AHEAD_MAX).as_millis() + more))).level;
        assert_eq!([-1, 0, 1].map(ahead), [Level::Ok, Level::Ok, Level::Fail]);
        assert_eq!(level("2025-11-26T12:00:00Z"), Level::Ok);
        assert_eq!(of_clock(now, None).level, Level::Ok);
    }
}
