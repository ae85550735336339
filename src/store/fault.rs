//! What SQLite and the file system refuse, as facts of ours.

use std::{io, path::Path, time::Duration};

use rusqlite::ErrorCode;

use crate::error::{Error, Reason, Result};

/// How long a caller waits before it tries again while the file cannot take writes.
pub(super) const FILE_RETRY: Duration = Duration::from_secs(5);

/// A file or a folder that a command or a start cannot use.
pub(super) fn cannot_use(path: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
    let denied_by_system =
        error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied);
    let denied_by_sqlite = error
        .downcast_ref()
        .and_then(rusqlite::Error::sqlite_error_code)
        .is_some_and(|code| matches!(code, ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied));
    let reason = if denied_by_system || denied_by_sqlite { Reason::DataDirDenied } else { Reason::Other };
    Error::failed_because(reason, format!("cannot use {}: {error}", path.display()))
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
