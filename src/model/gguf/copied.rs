//! A file copied, and its SHA-256.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::{ioctl_ficlone, statvfs};
use sha2::{Digest, Sha256};

use super::file::open_file;
use crate::error::{Error, Result};

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 1_024 * 1_024;
/// A copy is its owner's alone.
const FILE_MODE: u32 = 0o600;
/// What a copy leaves free, in bytes: the database may lie on the same disk.
pub(super) const SPACE_BYTES_MIN: u64 = 64 * 1_024 * 1_024;

/// Copies each file to the name beside it. Where the file system can, both then share one place on the disk.
pub(super) fn copy(files: &[(&Path, &Path)], folder: &Path) -> Result<()> {
    let mut has_space = false;
    for (at, (from, to)) in files.iter().enumerate() {
        let (mut source, _) = open_file(from)?;
        let made = File::options().write(true).create_new(true).mode(FILE_MODE).open(to);
        let mut copy = made.map_err(|error| unwritten(folder, &error))?;
        if ioctl_ficlone(&copy, &source).is_err() {
            if !has_space {
                let rest = files[at..].iter().map(|(from, _)| Ok(open_file(from)?.1)).sum::<Result<u64>>()?;
                check_space(rest, free(folder)?, folder)?;
                has_space = true;
            }
            io::copy(&mut source, &mut copy).map_err(|error| unwritten(folder, &error))?;
        }
        copy.sync_all().map_err(|error| unwritten(folder, &error))?;
    }
    Ok(())
}

fn free(folder: &Path) -> Result<u64> {
    let facts = statvfs(folder).map_err(|error| unwritten(folder, &error.into()))?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

pub(super) fn check_space(bytes: u64, free: u64, folder: &Path) -> Result<()> {
    if bytes.saturating_add(SPACE_BYTES_MIN) <= free {
        return Ok(());
    }
    let folder = folder.display();
    let gb = |bytes: u64| bytes as f64 / 1e9;
    Err(Error::failed(format!(
        "the copy takes {:.1} GB, and {:.1} GB are free in {folder}: make room, or leave the file where it is with --link",
        gb(bytes),
        gb(free)
    )))
}

/// What is wrong with the place of a copy.
pub(super) fn unwritten(folder: &Path, error: &io::Error) -> Error {
    let folder = folder.display();
    Error::failed(match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("there is no room in {folder} ({error}): make some, or leave the file where it is with --link")
        }
        _ => format!("cannot write to {folder}: {error}"),
    })
}

/// The SHA-256 of a file, in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let (mut file, _) = open_file(path)?;
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::failed(format!("{} cannot be read: {error}", path.display()))),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
