//! What SQLite and the file system refuse, as facts of ours.

use std::{path::Path, time::Duration};

use rusqlite::ErrorCode;

use crate::error::{Error, Result};

/// What a caller is told to wait while the file cannot take writes.
pub(super) const FILE_RETRY: Duration = Duration::from_secs(5);

/// A file or a folder that a command or a start cannot use.
pub(super) fn cannot_use(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::BadRequest(format!("cannot use {}: {error}", path.display()))
}

/// What SQLite says of the file itself becomes something a caller can act on; all else is a fault of ours.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let message = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full: free some space, then try again",
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                "the database file cannot be written: let the server write to the data folder"
            }
            // SQLite takes a sector that cannot be read for a damaged file.
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the disk under the database fails, or the file is damaged: the operator finds the reason in the log"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                "another process holds the database: try again"
            }
            _ => return Error::internal(error),
        };
        let code = error.sqlite_error().map(|error| error.extended_code);
        tracing::error!(%error, code, "the database file");
        Error::Unavailable { message, retry_after: FILE_RETRY }
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
