//! The locks of a data folder: one keeps a second server off it, another keeps the file in its place.
//!
//! Rule: held as long as the handle lives, and let go by the kernel when the process dies. Commands that may run beside
//! a server do not ask for the server's. The other is on the folder itself: every process that has the file open shares it, and
//! a process that replaces the file must have it alone.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Write},
    path::Path,
};

use serde_json::json;

use crate::{
    error::{Error, Reason, Result},
    store::fault::cannot_use,
};

/// The lock file's name in the data folder.
pub const LOCK_NAME: &str = "alm.lock";

/// The most that is read of what a server says there, in bytes.
const SAID_BYTES_MAX: u64 = 4_096;

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

/// Says in the lock file where its server listens.
pub fn announce(mut lock: &File, url: &str) -> io::Result<()> {
    let said = json!({ "pid": std::process::id(), "url": url, "version": env!("CARGO_PKG_VERSION") });
    lock.set_len(0)?;
    lock.write_all(format!("{said}\n").as_bytes())
}

/// Where the server listens that holds the lock, if it says so. What is left of an earlier one means nothing: ask who was refused it.
pub fn announced(folder: &Path) -> Option<String> {
    let mut said = String::new();
    File::open(folder.join(LOCK_NAME)).ok()?.take(SAID_BYTES_MAX).read_to_string(&mut said).ok()?;
    let said: serde_json::Value = serde_json::from_str(&said).ok()?;
    said["url"].as_str().map(str::to_owned)
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
    fn a_server_says_where_it_listens_and_no_more_is_read_than_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(announced(folder.path()), None);
        let held = lock(folder.path()).unwrap();
        assert_eq!(announced(folder.path()), None);
        announce(&held, "http://127.0.0.1:2560").unwrap();
        assert_eq!(announced(folder.path()).as_deref(), Some("http://127.0.0.1:2560"));
        for (bytes, is_read) in [(SAID_BYTES_MAX - 1, true), (SAID_BYTES_MAX, true), (SAID_BYTES_MAX + 1, false)] {
            let said = r#"{"url":"u"}"#;
            let long = format!("{}{said}", " ".repeat(bytes as usize - said.len()));
            std::fs::write(folder.path().join(LOCK_NAME), long).unwrap();
            assert_eq!(announced(folder.path()).is_some(), is_read, "{bytes}");
        }
    }

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
