//! The lock that keeps a second server off the same folder.
//!
//! Rule: held as long as the handle lives, and let go by the kernel when the process dies. Commands that may run beside
//! a server do not ask for it.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use super::cannot_use;
use crate::error::{Error, Result};

/// The lock file's name in the data folder.
pub const LOCK_NAME: &str = "alm.lock";

/// Takes the lock of a data folder that is there.
pub fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK_NAME);
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|error| cannot_use(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::BadRequest(format!(
            "another server uses {}: stop it, or choose another --data-dir",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot_use(&path, &error)),
    }
}
