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

use serde::{Deserialize, Serialize};
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
    match file.try_lock() {
        Ok(()) => {
            // What an earlier server said of itself is not true of this one.
            file.set_len(0).map_err(|error| cannot_use(&path, &error))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(Error::failed_because(Reason::DataDirInUse, in_use(folder))),
        Err(TryLockError::Error(error)) => Err(cannot_use(&path, &error)),
    }
}

/// Who uses a folder, as far as it has said.
fn in_use(folder: &Path) -> String {
    let user = match announced(folder) {
        Some(Announced { pid, url, version }) => format!("alm {version} uses this folder (pid {pid}, {url})"),
        None => "another server uses this folder".into(),
    };
    format!("{}: {user}: stop it, or choose another folder with --data-dir", folder.display())
}

/// What a server says of itself in its lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    pub pid: u32,
    pub url: String,
    pub version: String,
}

/// Says in the lock file where its server listens.
pub fn announce(mut lock: &File, url: &str) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let said = Announced { pid: std::process::id(), url: url.to_owned(), version };
    lock.set_len(0)?;
    lock.write_all(format!("{}\n", json!(said)).as_bytes())
}

/// Who holds the lock, if it says so. What is left of an earlier server means nothing: ask who was refused the lock.
pub fn announced(folder: &Path) -> Option<Announced> {
    let mut said = String::new();
    File::open(folder.join(LOCK_NAME)).ok()?.take(SAID_BYTES_MAX).read_to_string(&mut said).ok()?;
    serde_json::from_str(&said).ok()
}

/// The same for whoever was not refused it: only while the process that said so is there.
pub fn running(folder: &Path) -> Option<Announced> {
    announced(folder).filter(|said| Path::new("/proc").join(said.pid.to_string()).exists())
}

/// Keeps the file in its place.
pub(in crate::store) fn share(folder: &Path) -> Result<File> {
    let handle = File::open(folder).map_err(|error| cannot_use(folder, &error))?;
    let taken = handle.try_lock_shared();
    got(folder, handle, taken, "a backup is being restored: try again in a moment")
}

/// Makes sure that nobody has the file open.
pub(super) fn alone(folder: &Path) -> Result<File> {
    let handle = File::open(folder).map_err(|error| cannot_use(folder, &error))?;
    let taken = handle.try_lock();
    got(folder, handle, taken, "another command is using the data: try again in a moment")
}

fn got(folder: &Path, handle: File, taken: Result<(), TryLockError>, refusal: &str) -> Result<File> {
    match taken {
        Ok(()) => Ok(handle),
        Err(TryLockError::WouldBlock) => Err(Error::failed(format!("{}: {refusal}", folder.display()))),
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
        let said = announced(folder.path()).unwrap();
        assert_eq!((said.pid, &*said.url), (std::process::id(), "http://127.0.0.1:2560"));
        assert_eq!(running(folder.path()), Some(said.clone()));
        let refused = lock(folder.path()).unwrap_err();
        assert!(matches!(refused, Error::Failed { reason: Reason::DataDirInUse, .. }), "{refused}");
        let who = format!("alm {} uses this folder (pid {}, {})", said.version, said.pid, said.url);
        assert!(refused.to_string().contains(&who), "{refused}");
        // What an earlier server has said is gone before the next one says where it is.
        drop(held);
        let _held = lock(folder.path()).unwrap();
        assert_eq!(announced(folder.path()), None);
        let gone = json!(Announced { pid: u32::MAX, ..said });
        std::fs::write(folder.path().join(LOCK_NAME), gone.to_string()).unwrap();
        assert!(announced(folder.path()).is_some() && running(folder.path()).is_none(), "no process has that number");
        for (bytes, is_read) in [(SAID_BYTES_MAX - 1, true), (SAID_BYTES_MAX, true), (SAID_BYTES_MAX + 1, false)] {
            let said = r#"{"pid":1,"url":"u","version":"0"}"#;
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
