//! The models that are kept in the data folder, each in a folder of its own: `models/NAME`.
//!
//! Rule: a model is there whole or not at all. Its folder is made under another name, synced, then renamed, and whoever
//! changes the shelf holds its lock. What is linked is never written and never deleted.
//! Deliberately absent: downloads.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io::{ErrorKind, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    copied::{copy, sha256, unwritten},
    file::{files, open},
    header::Header,
};
use crate::{
    error::{Error, Result},
    id::{check_slug, slug_from_name},
    time::Timestamp,
};

/// The shelf's name in the data folder.
const FOLDER: &str = "models";
/// What was noted of a model when it was added.
const FACTS_FILE: &str = "model.json";
/// Longest such note, in bytes: a SHA-256 for each part. A longer one is none of ours.
const FACTS_BYTES_MAX: u64 = 64 * 1_024;
/// How folders begin that are being made or taken away. Those left over are swept.
const DRAFT_PREFIX: &str = ".draft-";
/// Only its owner looks at the shelf.
const FOLDER_MODE: u32 = 0o700;

/// The models in a data folder.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// How a model comes onto the shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Its files are copied.
    Copied,
    /// They stay where they are.
    Linked,
}

/// A model on the shelf.
#[derive(Debug)]
pub struct Shelved {
    /// What it is called here, and as `local/NAME`.
    pub name: String,
    /// Its file, the first where there are parts.
    pub file: PathBuf,
    /// Where that file is, if it was not copied.
    pub linked_to: Option<PathBuf>,
    /// When it came.
    pub added_at: Timestamp,
    /// The SHA-256 of each file as it was then, in hexadecimal digits.
    pub sha256: Vec<String>,
    /// What it says of itself.
    pub header: Header,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    added_at: i64,
    sha256: Vec<String>,
}

/// What a model in a file is called, unless somebody chooses: the slug of the file's name.
pub fn name_of(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let is_part = |tail: &str| tail.len() == 15 && tail.is_char_boundary(6) && tail[6..].starts_with("-of-");
    let at = stem.len().saturating_sub(15);
    let whole = stem.get(at..).filter(|tail| is_part(tail)).map_or(&*stem, |_| &stem[..at]);
    slug_from_name(whole, "model")
}

impl Shelf {
    /// The shelf of a data folder.
    pub fn new(data: &Path) -> Self {
        Shelf { folder: data.join(FOLDER) }
    }

    /// Adds a model that can answer.
    pub fn add(&self, file: &Path, name: &str, how: How) -> Result<Shelved> {
        check_slug("--name", name)?;
        let header = open(file)?;
        header.vet(file, true)?;
        let lock = self.lock()?;
        let place = self.folder.join(name);
        if place.symlink_metadata().is_ok() {
            let taken = format!("there is a model {name} already: choose another --name, or remove that one first");
            return Err(Error::Conflict(taken));
        }
        let failed = |error| unwritten(&self.folder, &error);
        let draft = tempfile::Builder::new()
            .prefix(DRAFT_PREFIX)
            .permissions(Permissions::from_mode(FOLDER_MODE))
            .tempdir_in(&self.folder)
            .map_err(failed)?;
        let sha256 = fill(draft.path(), &files(file, &header)?, how)?;
        if open(&draft.path().join(file_name(0, sha256.len())))? != header {
            return Err(Error::failed(format!("{} changed meanwhile: try again", file.display())));
        }
        let facts = Facts { added_at: Timestamp::now().as_millis(), sha256 };
        let text = serde_json::to_vec(&facts).map_err(Error::internal)?;
        let note = draft.path().join(FACTS_FILE);
        fs::write(&note, text).and_then(|()| File::open(&note)?.sync_all()).map_err(failed)?;
        File::open(draft.path()).and_then(|folder| folder.sync_all()).map_err(failed)?;
        fs::rename(draft.path(), &place).map_err(failed)?;
        // It has its name now, and is no draft that goes.
        drop(draft.keep());
        lock.sync_all().map_err(failed)?;
        self.get(name)
    }

    /// The names on it, in order.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries,
        };
        let named = entries.and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let named = named.map_err(|error| Error::failed(format!("cannot read {}: {error}", self.folder.display())))?;
        let mut names: Vec<_> = named.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| check_slug("name", name).is_ok());
        names.sort();
        Ok(names)
    }

    /// The file of a model, if one of that name is on it.
    pub fn find(&self, name: &str) -> Result<Option<PathBuf>> {
        if check_slug("name", name).is_err() || !self.folder.join(name).is_dir() {
            return Ok(None);
        }
        let facts = self.facts(name)?;
        Ok(Some(self.folder.join(name).join(file_name(0, facts.sha256.len()))))
    }

    /// A model by its name.
    pub fn get(&self, name: &str) -> Result<Shelved> {
        let file = self.find(name)?.ok_or(MISSING)?;
        let facts = self.facts(name)?;
        let header = open(&file)?;
        let linked_to = fs::read_link(&file).ok();
        let added_at = Timestamp::from_millis(facts.added_at);
        Ok(Shelved { name: name.to_owned(), file, linked_to, added_at, sha256: facts.sha256, header })
    }

    /// Compares every byte of a model with what was added.
    pub fn verify(&self, name: &str) -> Result<Shelved> {
        let model = self.get(name)?;
        for (at, noted) in model.sha256.iter().enumerate() {
            let file = self.folder.join(name).join(file_name(at, model.sha256.len()));
            let found = sha256(&file)?;
            if found != *noted {
                let file = file.display();
                return Err(Error::failed(format!(
                    "{file} is not what was added: its SHA-256 is {found}, and was {noted}: remove {name}, and add it again"
                )));
            }
        }
        Ok(model)
    }

    /// Takes a model away. Linked files stay where they are.
    pub fn remove(&self, name: &str) -> Result<()> {
        let place = self.folder.join(name);
        if check_slug("name", name).is_err() || !place.is_dir() {
            return Err(MISSING);
        }
        let _lock = self.lock()?;
        let failed = |error| unwritten(&self.folder, &error);
        // It goes at once; what a crash leaves of it is swept.
        let gone = self.folder.join(format!("{DRAFT_PREFIX}{name}"));
        fs::rename(&place, &gone).map_err(failed)?;
        fs::remove_dir_all(gone).map_err(failed)
    }

    /// The folder, which is made where it is missing and swept, for one who changes it.
    fn lock(&self) -> Result<File> {
        let failed = |error| unwritten(&self.folder, &error);
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.folder).map_err(failed)?;
        let folder = File::open(&self.folder).map_err(failed)?;
        match folder.try_lock() {
            Ok(()) => {
                self.sweep();
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => {
                Err(Error::Conflict("another alm is adding or removing a model: wait until it has ended".into()))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Takes away what was cut off. What cannot go now goes the next time.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let left = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(DRAFT_PREFIX));
        left.for_each(|entry| drop(fs::remove_dir_all(entry.path())));
    }

    fn facts(&self, name: &str) -> Result<Facts> {
        let note = self.folder.join(name).join(FACTS_FILE);
        let mut text = Vec::new();
        let read = File::open(&note).and_then(|file| file.take(FACTS_BYTES_MAX).read_to_end(&mut text));
        let facts = read.ok().and_then(|_| serde_json::from_slice::<Facts>(&text).ok());
        facts
            .filter(|facts| !facts.sha256.is_empty())
            .ok_or_else(|| Error::failed(format!("{} cannot be read: remove {name}, and add it again", note.display())))
    }
}

const MISSING: Error = Error::NotFound("model: alm gguf list names those that there are");

/// The name of a model's file on the shelf, as llama.cpp looks for parts.
fn file_name(at: usize, count: usize) -> String {
    match count {
        1 => "model.gguf".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.gguf", at + 1),
    }
}

/// Puts files into a folder, and says their SHA-256.
fn fill(folder: &Path, files: &[PathBuf], how: How) -> Result<Vec<String>> {
    let names: Vec<_> = (0..files.len()).map(|at| folder.join(file_name(at, files.len()))).collect();
    match how {
        How::Copied => {
            let pairs: Vec<_> = files.iter().zip(&names).map(|(from, to)| (&**from, &**to)).collect();
            copy(&pairs, folder)?;
        }
        How::Linked => {
            for (file, name) in files.iter().zip(&names) {
                let link = file.canonicalize().and_then(|file| symlink(file, name));
                link.map_err(|error| unwritten(folder, &error))?;
            }
        }
    }
    names.iter().map(|name| sha256(name)).collect()
}
