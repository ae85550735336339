//! Whether the open file is still where it was opened.
//!
//! A file that is deleted or replaced stays open, and SQLite would go on to write into it: acknowledged, and gone with
//! the process. Rule: nothing is written into a file that the next start would not find.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    store::fault::FILE_RETRY,
};

/// A path, and the file that was found there. The default is no file at all, which is always in its place.
#[derive(Debug, Default)]
pub struct FileIdentity {
    file: Option<(PathBuf, Identity)>,
}

/// A file's device and its number on it.
type Identity = (u64, u64);

impl FileIdentity {
    /// Of the file at `path`.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        Ok(FileIdentity { file: Some((path.to_owned(), identity(&path.metadata()?))) })
    }

    /// Refuses if another file is there now, or none.
    pub fn check(&self) -> Result<()> {
        let is_there = |(path, known): &(PathBuf, Identity)| path.metadata().is_ok_and(|now| identity(&now) == *known);
        if self.file.as_ref().is_none_or(is_there) {
            return Ok(());
        }
        Err(Error::Unavailable {
            message: "the database file was moved or deleted: put it back, or restart the server".into(),
            retry_after: FILE_RETRY,
        })
    }
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}
