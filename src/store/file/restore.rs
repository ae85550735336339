//! A backup put in the place of the file.
//!
//! Rule: at every moment the folder has one whole file, the old one or the new one, and no log of the one is ever
//! beside the other: SQLite would apply it. So the old file takes its log in, gets a second name, and only then the new
//! one is renamed over the first.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use super::{
    connection::{self, BUSY_TIMEOUT},
    copy::{self, Draft, with_suffix},
    disk,
    folder::{FILE_NAME, make_folder},
    inspect::Inspected,
    lock, schema,
};
use crate::{
    error::{Error, Result},
    store::fault::{FILE_RETRY, cannot_use},
    time::Timestamp,
};

/// What SQLite keeps beside a file while it is open, or was when its process ended.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// What a restore did.
pub struct Restored {
    /// The file, as it is now.
    pub file: Inspected,
    /// What the folder had before.
    pub kept: Option<PathBuf>,
}

/// Puts `backup` into `folder`. A file that is there is kept under another name, and only replaced if `replace` says so.
pub fn restore(backup: &Path, folder: &Path, replace: bool) -> Result<Restored> {
    refuse_newer(&Inspected::open(backup)?, backup)?;
    make_folder(folder)?;
    disk::refuse_network(folder)?;
    let _no_server = lock::lock(folder)?;
    let _nobody_else = lock::alone(folder)?;
    let file = folder.join(FILE_NAME);
    if file.exists() && !replace {
        return Err(Error::Conflict(format!(
            "{} exists: --force sets it aside and replaces it with the backup",
            file.display()
        )));
    }
    let draft = Draft::of(backup, folder)?;
    let kept = put_aside(&file)?;
    // Replaced it is, if it is there: its second name keeps it.
    draft.name(&file, true)?;
    Ok(Restored { file: Inspected::open(&file)?, kept })
}

fn refuse_newer(backup: &Inspected, name: &Path) -> Result<()> {
    match backup.version()? {
        1..=schema::VERSION => Ok(()),
        version => Err(Error::failed(format!(
            "{} has schema {version}, but this alm uses schema {}: restore it with the alm that wrote it, or a newer one",
            name.display(),
            schema::VERSION
        ))),
    }
}

/// Gives the old file a second name, and leaves nothing beside it that the new one could be taken to own.
fn put_aside(file: &Path) -> Result<Option<PathBuf>> {
    let unusable = |error: std::io::Error| cannot_use(file, &error);
    let there = file.exists();
    let kept = with_suffix(file, &format!(".before-restore-{}", Timestamp::now().to_string().replace(':', "")));
    if there {
        take_log_in(file)?;
    }
    // Left only by a file that is too damaged to be opened, or gone: then they belong to what is kept.
    for suffix in COMPANIONS {
        let moved = std::fs::rename(with_suffix(file, suffix), with_suffix(&kept, suffix));
        moved
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .map_err(unusable)?;
    }
    if there {
        std::fs::hard_link(file, &kept).map_err(unusable)?;
    }
    copy::sync_folder(copy::folder_of(file))?;
    Ok(there.then_some(kept))
}

/// Makes one file of the old one and its log. One that is too damaged for that keeps its log; one in use is refused.
fn take_log_in(file: &Path) -> Result<()> {
    let settled = connection::open(file).and_then(|old| {
        old.busy_timeout(BUSY_TIMEOUT)?;
        old.execute_batch("PRAGMA journal_mode = DELETE")
    });
    match settled.map_err(|error| (error.sqlite_error_code(), error)) {
        Err((Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _)) => Err(Error::Unavailable {
            message: "another process has the old file open: stop it, then try again".into(),
            retry_after: FILE_RETRY,
        }),
        Err((_, error)) => {
            tracing::warn!(%error, "the old file is damaged: it is kept unchanged");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
