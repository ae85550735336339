//! The locks of a data folder: one keeps a second server off it, another keeps the file in its place.
//!
//! Rule: held as long as the handle lives, and let go by the kernel when the process dies. Commands that may run beside
//! a server do not ask for the server's. The other is on the folder itself: every process that has the file open shares it, and
//! a process that replaces the file must have it alone.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use crate::{
    error::{Error, Reason, Result},
    store::fault::cannot_use,
};

/// The lock file's name in the data folder.
pub const LOCK_NAME: &str = "alm.lock";

/// Takes the server's lock of a data folder that is there.
pub fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK_NAME);
    // To open a pipe is to wait for its other end.
    if path.metadata().is_ok_and(|facts| !facts.is_file()) {
        return Err(Error::failed(format!("{} is not a file: move it away", path.display())));
    }
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|error| cannot_use(&path, &error))?;
    let taken = file.try_lock();
    got(
        folder,
        file,
        taken,
        "another server uses this folder: stop it, or choose another --data-dir",
        Reason::DataDirInUse,
    )
}

/// Keeps the file in its place.
pub(in crate::store) fn share(folder: &Path) -> Result<File> {
    let handle = File::open(folder).map_err(|error| cannot_use(folder, &error))?;
    let taken = handle.try_lock_shared();
    got(folder, handle, taken, "a backup is being restored: try again in a moment", Reason::Other)
}

/// Makes sure that nobody has the file open.
pub(super) fn alone(folder: &Path) -> Result<File> {
    let handle = File::open(folder).map_err(|error| cannot_use(folder, &error))?;
    let taken = handle.try_lock();
    got(folder, handle, taken, "another command is using the data: try again in a moment", Reason::Other)
}

fn got(folder: &Path, handle: File, taken: Result<(), TryLockError>, refusal: &str, reason: Reason) -> Result<File> {
    match taken {
        Ok(()) => Ok(handle),
        Err(TryLockError::WouldBlock) => Err(Error::failed_because(reason, format!("{}: {refusal}", folder.display()))),
        Err(TryLockError::Error(error)) => Err(cannot_use(folder, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_is_none_is_refused_in_words_and_not_waited_for() {
        for made in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(LOCK_NAME);
            match made {
                0 => rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap(),
                _ => std::fs::create_dir(&path).unwrap(),
            }
            assert!(lock(folder.path()).err().unwrap().to_string().contains("is not a file"));
        }
    }
}
