//! How a connection is set up: the writer's, and a reader's.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

/// How long a connection waits for another process's write, such as a command beside a running server, and a reader for
/// a connection.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements each connection keeps compiled.
const STATEMENTS_MAX: usize = 128;

/// A path that SQLite takes for one: `file:x` and `:memory:` mean something else to it.
pub(in crate::store) fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

/// Opens a file to write to, which is made if it is missing.
pub(in crate::store) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(plain(path), flags)
}

/// `synchronous=FULL` and WAL: a commit is on the disk before anyone hears of it, and readers never wait for it.
pub(in crate::store) fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    prepare_any(connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;",
    )
}

/// A connection that only reads.
pub(in crate::store) fn prepare_reader(connection: &mut Connection) -> rusqlite::Result<()> {
    prepare_any(connection)?;
    connection.execute_batch("PRAGMA query_only = 1; PRAGMA temp_store = MEMORY;")
}

fn prepare_any(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A plan must not hang on what is bound to it: else every new `LIMIT` compiles its statement once more.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // What a file's own schema may call: only what can do no harm. A file may come from elsewhere.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}
