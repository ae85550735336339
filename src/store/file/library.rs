//! The SQLite that is inside.

use rusqlite::Connection;

use crate::error::Result;

/// Its version, and what it was built with.
#[derive(Debug)]
pub struct Library {
    pub version: &'static str,
    pub options: Vec<String>,
}

/// What it says of itself.
pub fn library() -> Result<Library> {
    let connection = Connection::open_in_memory()?;
    let mut statement = connection.prepare("PRAGMA compile_options")?;
    let options = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Library { version: rusqlite::version(), options })
}
