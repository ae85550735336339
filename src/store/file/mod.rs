//! The database file as a whole: how it is created, locked, upgraded, copied, checked, pruned and moved.

pub mod audit; // whether the money adds up
pub(super) mod connection;
pub mod copy; // whole copies
pub mod disk; // the disk under the folder
pub(super) mod folder;
pub(super) mod identity; // whether the file is still in its place
pub mod inspect; // a file, looked at from outside
pub mod library; // the SQLite that is inside
pub mod lock;
pub mod prune; // old things, deleted for good
pub mod restore;
pub(super) mod schema;
mod shape; // whether the schema of a file is ours
pub mod transfer; // one organization as lines of JSON
pub(super) mod upgrade;

pub use folder::{FILE_NAME, OpenFolder, open_to_writers};

/// The schema that files have after this version has opened them.
pub fn schema_version() -> i64 {
    schema::VERSION
}
