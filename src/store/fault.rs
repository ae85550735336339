//! What SQLite and the file system refuse, as facts of ours.

use std::{io, os::unix::fs::MetadataExt, path::Path, time::Duration};

use rusqlite::ErrorCode;
use rustix::process::geteuid;

use crate::error::{Error, Reason, Result};

/// How long a caller waits before it tries again while the file cannot take writes.
pub(super) const FILE_RETRY: Duration = Duration::from_secs(5);

/// A file or a folder that a command or a start cannot use.
pub(super) fn cannot_use(path: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
    let said = || format!("cannot use {}: {error}", path.display());
    let system = error.downcast_ref().map(io::Error::kind);
    let sqlite = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
    let is_denied = matches!(system, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
        || matches!(sqlite, Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied));
    // SQLite says so of much else, too.
    let may_be_denied = is_denied || sqlite == Some(ErrorCode::CannotOpen);
    match denied(path, geteuid().as_raw()).filter(|_| may_be_denied) {
        Some(who) => Error::failed_because(Reason::DataDirDenied, who),
        None if is_denied => Error::failed_because(Reason::DataDirDenied, said()),
        None => Error::failed(said()),
    }
}

/// Who may not write a file, or in its folder, and what lets them. Nothing if they may.
fn denied(path: &Path, us: u32) -> Option<String> {
    let places = [Some(path), path.parent()].into_iter().flatten();
    places.filter_map(|place| Some((place, place.metadata().ok()?))).find_map(|(place, facts)| {
        let (owner, shown) = (facts.uid(), place.display());
        let wanted = if facts.is_dir() { 0o300 } else { 0o200 };
        if us != 0 && owner != us && facts.mode() & (wanted >> 6) != wanted >> 6 {
            return Some(format!(
                "{shown}: user {us} may not write here, it belongs to user {owner}: chown {us} {shown}"
            ));
        }
        let closed = us != 0 && owner == us && facts.mode() & wanted != wanted;
        closed.then(|| format!("{shown}: its mode lets not even its owner write: chmod u+rwX {shown}"))
    })
}

/// What SQLite says of the file itself becomes something a caller can act on; all else is a fault of ours.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let message = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full: free some space, then try again",
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                "the database file is not writable: give the server write permission on the data folder"
            }
            // SQLite takes a sector that cannot be read for a damaged file.
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the database's disk failed or its file is damaged: see the server log"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                "another process has locked the database: try again"
            }
            _ => return Error::internal(error),
        };
        let code = error.sqlite_error().map(|error| error.extended_code);
        tracing::error!(%error, code, "the database file");
        Error::Unavailable { message: message.into(), retry_after: FILE_RETRY }
    }
}

/// Whether a write failed because a row of that key is there already.
pub(super) fn is_duplicate(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let duplicate = [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE];
    error.sqlite_error().is_some_and(|e| duplicate.contains(&e.extended_code))
}

/// Runs a write that a duplicate turns into `taken`.
pub(super) fn unless_taken<T>(written: rusqlite::Result<T>, taken: impl FnOnce() -> Error) -> Result<T> {
    written.map_err(|error| if is_duplicate(&error) { taken() } else { error.into() })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn who_may_not_write_is_told_whose_it_is_and_what_lets_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alm.db");
        let (owner, shown) = (folder.path().metadata().unwrap().uid(), folder.path().display().to_string());
        let stranger = owner + 65_532;
        let expected = format!(
            "{shown}: user {stranger} may not write here, it belongs to user {owner}: chown {stranger} {shown}"
        );
        // The file is not there, or the folder may not be written.
        assert_eq!(denied(&file, stranger).unwrap(), expected);
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(denied(&file, stranger).unwrap(), expected);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(denied(&file, stranger), None);
        if owner != 0 {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
            assert!(denied(&file, owner).unwrap().ends_with(&format!("chmod u+rwX {}", file.display())));
        }
    }
}
