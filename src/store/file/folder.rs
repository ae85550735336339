//! The data folder, and the database's name in it.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Reason, Result},
    store::fault::cannot_use,
};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "alm.db";
/// The data folder is its owner's alone, like what is in it.
const FOLDER_MODE: u32 = 0o700;

/// The bits of a mode by which a group, and by which everybody may write.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;
/// In such a folder everybody may make names, but take away only their own.
const STICKY: u32 = 0o1000;

/// A folder where others could put another file in the place of what is here.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenFolder {
    /// The data folder, or one that it lies in.
    pub path: PathBuf,
    /// The user who owns it, by number, if that is another; else the mode lets others write.
    pub owner: Option<u32>,
}

/// The folder, or one that it lies in, where others could put another file in the place of what is here.
pub fn open_to_writers(folder: &Path) -> io::Result<Option<OpenFolder>> {
    let us = rustix::process::geteuid().as_raw();
    // Root looks after other users' servers, whose database is theirs as well.
    let server = folder.join(FILE_NAME).metadata().ok().filter(|_| us == 0).map(|file| file.uid());
    open_to_others(folder, |owner| [Some(0), Some(us), server].contains(&Some(owner)))
}

fn open_to_others(folder: &Path, is_ours: impl Fn(u32) -> bool) -> io::Result<Option<OpenFolder>> {
    let folder = folder.canonicalize()?;
    for path in folder.ancestors() {
        let facts = path.metadata()?;
        let owner = Some(facts.uid()).filter(|owner| !is_ours(*owner));
        let writes = if path == folder { GROUP_WRITES | ALL_WRITE } else { ALL_WRITE };
        let is_shared = path != folder && facts.mode() & STICKY != 0;
        if owner.is_some() || facts.mode() & writes != 0 && !is_shared {
            return Ok(Some(OpenFolder { path: path.to_owned(), owner }));
        }
    }
    Ok(None)
}

/// Creates the folder where it is missing.
pub(in crate::store) fn make_folder(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|error| match error.kind() {
        // A link to nothing is there as well.
        io::ErrorKind::AlreadyExists => Error::failed(format!("{} is there, and is no folder", folder.display())),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            let text = format!("cannot make {}: {error}: name another folder with --data-dir", folder.display());
            Error::failed_because(Reason::DataDirDenied, text)
        }
        _ => cannot_use(folder, &error),
    })
}

/// The file holds password hashes and everybody's conversations.
pub(in crate::store) fn restrict_to_owner(file: &Path) -> Result<()> {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).map_err(|error| cannot_use(file, &error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_open_where_others_may_write_or_replace_it() {
        let place = tempfile::tempdir().unwrap();
        let (above, folder) = (place.path().join("above"), place.path().join("above/data"));
        make_folder(&folder).unwrap();
        let set = |folder: &Path, mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        for (outer, inner, open) in [
            (0o700, 0o700, None),
            (0o755, 0o755, None),
            (0o775, 0o700, None),
            (0o1777, 0o700, None),
            (0o777, 0o700, Some(&above)),
            (0o700, 0o770, Some(&folder)),
            (0o700, 0o702, Some(&folder)),
            (0o700, 0o1777, Some(&folder)),
        ] {
            set(&above, outer);
            set(&folder, inner);
            let open = open.map(|path| OpenFolder { path: path.canonicalize().unwrap(), owner: None });
            assert_eq!(open_to_writers(&folder).unwrap(), open, "{outer:o} {inner:o}");
        }
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(open_to_writers(&link).unwrap().is_some());
        assert!(open_to_writers(&place.path().join("none")).is_err());
    }

    #[test]
    fn a_folder_of_another_user_is_open() {
        let place = tempfile::tempdir().unwrap();
        let (us, folder) = (place.path().metadata().unwrap().uid(), place.path().canonicalize().unwrap());
        let found = open_to_others(place.path(), |owner| owner != us).unwrap().unwrap();
        assert_eq!(found, OpenFolder { path: folder, owner: Some(us) });
    }
}
