//! A database file looked at from outside: by a backup, a restore, the doctor.
//!
//! Rule: it is only read. Nothing is made, upgraded or repaired here, so a file of any schema may be looked at, beside a
//! running server too.

use std::{cmp::Ordering, path::Path};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    audit::{self, Audit},
    connection::{self, plain, prepare_reader},
    schema, shape,
};
use crate::{
    error::{Error, Result},
    store::{
        fault::{FILE_RETRY, cannot_use},
        mcp::{self, McpServer},
        providers::{self, Provider},
        tools::{self, HttpTool},
    },
    time::Timestamp,
};

/// Faults of a file that are listed; one is enough to know.
const FAULTS_MAX: usize = 10;

/// A file of alm's, open to be looked at.
pub struct Inspected {
    connection: Connection,
}

impl Inspected {
    /// Opens the file; what is no database, or not ours, is refused.
    pub fn open(file: &Path) -> Result<Self> {
        // A pipe would be waited for.
        if std::fs::metadata(file).is_ok_and(|facts| !facts.is_file()) {
            return Err(Error::failed(format!("{} is no file", file.display())));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let unusable = |error: rusqlite::Error| cannot_use(file, &error);
        let mut connection = Connection::open_with_flags(plain(file), flags).map_err(unusable)?;
        prepare_reader(&mut connection).map_err(unusable)?;
        let tables =
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('org', 'turn', 'ledger_entry')";
        let ours = connection.query_row(tables, [], |row| Ok(row.get::<_, i64>(0)? == 3)).map_err(unusable)?;
        if !ours {
            return Err(Error::failed(format!("{} is not an alm database", file.display())));
        }
        Ok(Inspected { connection })
    }

    /// The number of its schema.
    pub fn version(&self) -> Result<i64> {
        schema::version(&self.connection)
    }

    /// Whether its schema is less than today's, or more.
    pub fn age(&self) -> Result<Ordering> {
        Ok(self.version()?.cmp(&schema::VERSION))
    }

    /// Whether its schema is today's.
    pub fn is_current(&self) -> Result<bool> {
        Ok(self.age()? == Ordering::Equal)
    }

    /// What of its schema is not ours: sentences, none if it is that of its number.
    pub fn foreign(&self) -> Result<Vec<String>> {
        shape::faults(&self.connection)
    }

    /// What is wrong with its pages, its indexes and its references: sentences, none if it is whole.
    pub fn faults(&self) -> Result<Vec<String>> {
        let c = &self.connection;
        let mut check = c.prepare(&format!("PRAGMA integrity_check ({FAULTS_MAX})"))?;
        let mut faults: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        faults.retain(|fault| fault != "ok");
        let mut check = c.prepare("PRAGMA foreign_key_check")?;
        let dangling = check.query_map([], |row| {
            let (table, row, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let row = row.map_or_else(String::new, |row| format!(" {row}"));
            Ok(format!("row{row} of {table} refers to a missing row of {parent}"))
        })?;
        for fault in dangling.take(FAULTS_MAX) {
            faults.push(fault?);
        }
        Ok(faults)
    }

    /// Adds its ledgers up. The schema must be today's.
    pub fn audit(&self) -> Result<Audit> {
        audit::audit(&self.connection)
    }

    /// Makes sure that its schema is ours, that it is whole, and that its money adds up where the schema is today's.
    /// What is wrong is said of `name`, which people know it by.
    pub(super) fn verify(&self, name: &Path) -> Result<()> {
        // First, since what is not ours would be asked by all that follows.
        if let Some(first) = self.foreign()?.first() {
            return Err(Error::failed(format!("{} is not as alm makes it: {first}", name.display())));
        }
        let mut wrong = self.faults()?;
        if wrong.is_empty() && self.is_current()? {
            wrong = self.audit()?.findings;
        }
        match wrong.first() {
            None => Ok(()),
            Some(first) => Err(Error::failed(format!("{} is damaged: {first}", name.display()))),
        }
    }

    /// How many organizations it has.
    pub fn orgs_count(&self) -> Result<u64> {
        let count: i64 = self.connection.query_row("SELECT count(*) FROM org", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The newest moment that it knows of.
    pub fn newest(&self) -> Result<Option<Timestamp>> {
        // The last row is the newest but for what a client's import says; a maximum would read every row.
        let newest: Option<i64> = self.connection.query_row(
            "SELECT max(at) FROM (
                 SELECT (SELECT created_at FROM message ORDER BY seq DESC LIMIT 1) AS at
                 UNION ALL SELECT (SELECT coalesce(ended_at, started_at) FROM turn ORDER BY seq DESC LIMIT 1)
                 UNION ALL SELECT (SELECT created_at FROM ledger_entry ORDER BY seq DESC LIMIT 1)
                 UNION ALL SELECT max(created_at) FROM org)",
            [],
            |row| row.get(0),
        )?;
        Ok(newest.map(Timestamp::from_millis))
    }

    /// Every organization's providers, with its slug. The schema must be today's.
    pub fn providers(&self) -> Result<Vec<(String, Provider)>> {
        providers::all(&self.connection)
    }

    /// Every organization's HTTP tools, with its slug. The schema must be today's.
    pub fn http_tools(&self) -> Result<Vec<(String, HttpTool)>> {
        tools::all(&self.connection)
    }

    /// Every organization's MCP servers, with its slug. The schema must be today's.
    pub fn mcp_servers(&self) -> Result<Vec<(String, McpServer)>> {
        mcp::all(&self.connection)
    }

    /// Copies all of it into the empty file `to`, as it is at one moment.
    ///
    /// In one step of SQLite's online backup: a snapshot that neither waits for writers nor is waited for. In many steps
    /// each write of another process would make it begin again, under load for ever. `VACUUM INTO` keeps a snapshot too, but makes
    /// every table and index anew, which takes several times as long, while the log cannot be reset.
    pub(super) fn copy_into(&self, to: &Path) -> Result<()> {
        let unusable = |error: rusqlite::Error| cannot_use(to, &error);
        let mut copy = connection::open(to).map_err(unusable)?;
        // A draft needs no way back: it is synced once, when it is whole. Alone with it, there is no `-shm` either.
        copy.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")?;
        let step = Backup::new(&self.connection, &mut copy)?.step(-1).map_err(unusable)?;
        if step != StepResult::Done {
            let message = "another process has locked the database: try again";
            return Err(Error::Unavailable { message: message.into(), retry_after: FILE_RETRY });
        }
        // One file that any program opens, wherever it may not write. Whoever serves from it turns the log on again.
        copy.execute_batch("PRAGMA journal_mode = DELETE")?;
        copy.close().map_err(|(_, error)| unusable(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, file::FILE_NAME};

    #[test]
    fn faults_are_listed_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), 1).unwrap());
        let file = folder.path().join(FILE_NAME);
        let by_hand = Connection::open(&file).unwrap();
        by_hand.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for n in 1..=FAULTS_MAX + 1 {
            let stray = "INSERT INTO member (org_id, user_id, role, created_at) SELECT 'none', ?1, 'member', 0";
            by_hand.execute("INSERT INTO user (id, email, created_at) VALUES (?1, ?1, 0)", [n.to_string()]).unwrap();
            by_hand.execute(stray, [n.to_string()]).unwrap();
            assert_eq!(Inspected::open(&file).unwrap().faults().unwrap().len(), n.min(FAULTS_MAX));
        }
    }
}
