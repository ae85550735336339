//! The data folder, and the database's name in it.

use std::{os::unix::fs::DirBuilderExt, path::Path};

use crate::{error::Result, store::fault::cannot_use};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "alm.db";
/// The data folder is its owner's alone, like what is in it.
const FOLDER_MODE: u32 = 0o700;

/// Creates the folder where it is missing.
pub(in crate::store) fn make_folder(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|error| cannot_use(folder, &error))
}

/// The file holds password hashes and everybody's conversations.
pub(in crate::store) fn restrict_to_owner(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).map_err(|error| cannot_use(file, &error))
}
