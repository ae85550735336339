//! The only SQL. `schema.sql` is the model; the files here are what may be asked of it.
//!
//! Rule: tenant data is reached through [`Store::org`], whose every query binds the organization. The bare [`Store`]
//! finds keys, sign-ins and requests by their hash, makes organizations, recovers turns, reads an organization in, prunes and
//! says whether the file works.
//! Reads borrow a connection for one plain closure, never across an `.await`; writes go to the one writer.

use std::{fs::File, os::unix::fs::DirBuilderExt, path::Path, sync::Arc, time::Duration};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::error::{Error, Result};

pub mod agents;
pub mod audit;
pub mod copy;
pub mod disk;
pub mod idempotency;
pub mod inspect;
pub mod journal;
pub mod keys;
pub mod ledger;
pub mod lock;
pub mod messages;
pub mod orgs;
mod place;
pub mod projects;
pub mod providers;
pub mod prune; // old things, really gone
#[cfg(any(test, fuzzing))]
pub mod rehearsal; // a session in memory
pub mod restore;
pub mod search;
pub mod sessions;
pub mod sign_ins;
pub mod transfer; // one organization as lines of JSON
pub mod turns;
mod upgrade;
pub mod usage;
mod words; // the schema's words, as types
mod writer;

use idempotency::Claim;
use place::Place;
pub use writer::{Answered, Writer};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "alm.db";
/// The data folder is its owner's alone, like what is in it.
const FOLDER_MODE: u32 = 0o700;
/// How long a connection waits for another process's write, such as a command beside a running server, and a reader for
/// a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements each connection keeps compiled.
const STATEMENTS_MAX: usize = 128;
/// What a caller is told to wait while the file cannot take writes.
const FILE_RETRY: Duration = Duration::from_secs(5);

/// The file, open: one writer and a pool of readers.
#[derive(Clone)]
pub struct Store {
    writer: Writer,
    readers: r2d2::Pool<SqliteConnectionManager>,
    /// Nothing is put in the file's place while it is open.
    _in_use: Arc<File>,
}

/// Whose data: the organization, and the person who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The organization's id.
    pub org_id: String,
    /// The person's id: decides which private projects are visible.
    pub user_id: String,
}

/// The store as one organization sees it.
pub struct Org<'a> {
    store: &'a Store,
    tenant: &'a Tenant,
    claim: Option<&'a Claim>,
}

impl Store {
    /// Opens the file in `folder`, making both where they are missing. `readers_max` connections read at once.
    pub fn open(folder: &Path, readers_max: u32) -> Result<Self> {
        make_folder(folder)?;
        disk::refuse_network(folder)?;
        let in_use = lock::share(folder)?;
        let file = folder.join(FILE_NAME);
        let connection = Connection::open(&file).map_err(|error| cannot_use(&file, &error))?;
        prepare_writer(&connection).map_err(|error| cannot_use(&file, &error))?;
        restrict_to_owner(&file)?;
        upgrade::bring_to_version(&connection, folder)?;
        let place = Place::of(&file).map_err(|error| cannot_use(&file, &error))?;
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let manager = SqliteConnectionManager::file(&file).with_flags(read_only).with_init(prepare_reader);
        // All are opened now and none is ever closed: who reads needs no descriptor when there is none left.
        let readers = r2d2::Pool::builder()
            .max_size(readers_max)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_on_check_out(false)
            .build(manager)
            .map_err(Error::internal)?;
        Ok(Store { writer: Writer::start(connection, place)?, readers, _in_use: Arc::new(in_use) })
    }

    /// The data of one organization, and of no other.
    pub fn org<'a>(&'a self, tenant: &'a Tenant) -> Org<'a> {
        Org { store: self, tenant, claim: None }
    }

    /// Whether the file can be read and written, as `/readyz` asks.
    pub async fn check(&self) -> Result<()> {
        self.read(|c| Ok(c.query_row("SELECT 1 FROM org LIMIT 1", [], |_| Ok(())).or_else(none_is_fine)?))?;
        // Writing the number that stands there is a write all the same: a full disk or a lost file shows here.
        self.writer.write(|c| Ok(c.pragma_update(None, "user_version", upgrade::VERSION)?)).await
    }

    /// Adds the ledgers of all organizations up.
    pub fn audit(&self) -> Result<audit::Audit> {
        self.read(audit::audit)
    }

    fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let reader = self.readers.get_timeout(BUSY_TIMEOUT).map_err(|error| {
            tracing::error!(%error, "every reader is busy");
            Error::Unavailable { message: "the database file is slow to read: try again", retry_after: FILE_RETRY }
        })?;
        question(&reader)
    }
}

impl<'a> Org<'a> {
    /// The same, where a write also notes that `claim` was done.
    pub fn once(self, claim: Option<&'a Claim>) -> Self {
        Org { claim, ..self }
    }

    fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.store.read(question)
    }

    /// Writes through the writer; the closure gets the tenant because it outlives the borrow.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Tenant) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_turn(work, |_| None).await
    }

    /// [`Org::write`] for work that begins a turn, whose row number `turn_of` tells.
    async fn write_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Tenant) -> Result<T> + Send + 'static,
        turn_of: impl FnOnce(&T) -> Option<i64> + Send + 'static,
    ) -> Result<T> {
        let (tenant, claim) = (self.tenant.clone(), self.claim.cloned());
        let noted = move |connection: &Connection| {
            let value = work(connection, &tenant)?;
            if let Some(claim) = claim {
                idempotency::note(connection, &claim, turn_of(&value))?;
            }
            Ok(value)
        };
        self.store.writer.write(noted).await
    }
}

fn none_is_fine(error: rusqlite::Error) -> rusqlite::Result<()> {
    if error == rusqlite::Error::QueryReturnedNoRows { Ok(()) } else { Err(error) }
}

fn cannot_use(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::BadRequest(format!("cannot use {}: {error}", path.display()))
}

fn make_folder(folder: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|error| cannot_use(folder, &error))
}

/// `synchronous=FULL` and WAL: a commit is on the disk before anyone hears of it, and readers never wait for it.
fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    prepare_any(connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;",
    )
}

fn prepare_reader(connection: &mut Connection) -> rusqlite::Result<()> {
    prepare_any(connection)?;
    connection.execute_batch("PRAGMA query_only = 1; PRAGMA temp_store = MEMORY;")
}

fn prepare_any(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A plan must not hang on what is bound to it: else every new `LIMIT` compiles its statement once more.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The file holds password hashes and everybody's conversations.
fn restrict_to_owner(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).map_err(|error| cannot_use(file, &error))
}

/// What SQLite says of the file itself becomes something a caller can act on; all else is a fault of ours.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let message = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full: free some space, then try again",
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                "the database file cannot be written: let the server write to the data folder"
            }
            // SQLite takes a sector that cannot be read for a damaged file.
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the disk under the database fails, or the file is damaged: the operator finds the reason in the log"
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                "another process holds the database: try again"
            }
            _ => return Error::internal(error),
        };
        let code = error.sqlite_error().map(|error| error.extended_code);
        tracing::error!(%error, code, "the database file");
        Error::Unavailable { message, retry_after: FILE_RETRY }
    }
}

/// Whether a write failed because a row of that key is there already.
fn is_duplicate(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let duplicate = [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE];
    error.sqlite_error().is_some_and(|e| duplicate.contains(&e.extended_code))
}

/// Runs a write that a duplicate turns into `taken`.
fn unless_taken<T>(written: rusqlite::Result<T>, taken: impl FnOnce() -> Error) -> Result<T> {
    written.map_err(|error| if is_duplicate(&error) { taken() } else { error.into() })
}

/// A page of a list: what is in it, and the cursor of the next page.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than the page holds: the extra row proves that there is a next page and is not shown.
    fn from_rows(mut rows: Vec<T>, limit: usize, cursor_of: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more { rows.last().map(cursor_of) } else { None };
        Page { items: rows, next_cursor }
    }
}
