//! Whole copies of the file: backups, restored files, and what an upgrade keeps of before.
//!
//! Rule: a copy has its name only when it is whole, checked and on the disk. Until then it is a draft beside that name,
//! readable by its owner alone, which goes when it fails.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::inspect::Inspected;
use crate::{
    error::{Error, Result},
    store::fault::cannot_use,
};

/// How a draft is called. One that is left over was cut off, and may be deleted.
pub const DRAFT_PREFIX: &str = "alm-draft-";

/// A checked copy without its name.
pub struct Draft {
    file: NamedTempFile,
}

impl Draft {
    /// Copies the database in `from` to a draft in `folder`, and checks it.
    pub fn of(from: &Path, folder: &Path) -> Result<Self> {
        let source = Inspected::open(from)?;
        let made = tempfile::Builder::new().prefix(DRAFT_PREFIX).tempfile_in(folder);
        let file = made.map_err(|error| cannot_use(folder, &error))?;
        source.copy_into(file.path())?;
        file.as_file().sync_all().map_err(|error| cannot_use(file.path(), &error))?;
        Inspected::open(file.path())?.verify(from)?;
        Ok(Draft { file })
    }

    /// Gives it its name, which nothing else has unless it is to be replaced.
    pub fn name(self, name: &Path, replace: bool) -> Result<()> {
        let named = if replace { self.file.persist(name) } else { self.file.persist_noclobber(name) };
        named.map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => is_there(name),
            _ => cannot_use(name, &error.error),
        })?;
        sync_folder(folder_of(name))
    }
}

/// Makes a backup of the database in `from`. `replace` allows for an earlier backup in its place, and for nothing else.
pub fn back_up(from: &Path, to: &Path, replace: bool) -> Result<Inspected> {
    if to.exists() {
        if !replace {
            return Err(is_there(to));
        }
        if same_file(from, to)? {
            return Err(Error::failed(format!("{} is the database itself", to.display())));
        }
        // Whoever mistypes a name keeps what has it.
        drop(Inspected::open(to)?);
    }
    Draft::of(from, folder_of(to))?.name(to, replace)?;
    Inspected::open(to)
}

fn is_there(name: &Path) -> Error {
    Error::Conflict(format!("{} exists: choose another name, or replace it with --force", name.display()))
}

fn same_file(one: &Path, other: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| {
        let facts = std::fs::metadata(path).map_err(|error| cannot_use(path, &error))?;
        Ok::<_, Error>((facts.dev(), facts.ino()))
    };
    Ok(place(one)? == place(other)?)
}

/// The folder that a file's name is in.
pub(super) fn folder_of(name: &Path) -> &Path {
    name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names last: a rename is on the disk when its folder is.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot_use(folder, &error))
}

/// The same name with more at its end, as SQLite calls what belongs to a file.
pub(super) fn with_suffix(name: &Path, suffix: &str) -> PathBuf {
    let mut longer = name.as_os_str().to_owned();
    longer.push(suffix);
    longer.into()
}
