//! Who may reach what: the whole store, one organization, one person.
//!
//! Rule: tenant data is reached through [`Store::org`], whose every query binds the organization. The bare [`Store`]
//! finds keys, sign-ins and requests by their hash, makes organizations, recovers turns, reads an organization in, prunes and
//! says whether the file works.
//! Reads borrow a connection for one plain closure, never across an `.await`; writes go to the one writer.

use std::{fs::File, sync::Arc};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OptionalExtension};

use super::{
    changes::{Changes, Listener},
    claim::{self, Claim},
    fault::FILE_RETRY,
    file::{connection::BUSY_TIMEOUT, schema},
    rows::TurnRow,
    via::Via,
    writer::Writer,
};
use crate::error::{Error, Result};

/// The file, open: one writer and a pool of readers.
#[derive(Clone)]
pub struct Store {
    pub(super) writer: Writer,
    pub(super) readers: r2d2::Pool<SqliteConnectionManager>,
    /// The schema that the file had when it was opened, if that was an older one.
    pub(super) upgraded_from: Option<i64>,
    /// What the writer changed, for those who listen.
    pub(super) changes: Changes,
    /// Nothing is put in the file's place while it is open.
    pub(super) _in_use: Arc<File>,
}

/// Whose data: the organization, and the person who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// The organization's id.
    pub org_id: String,
    /// The person's id: decides which private projects are visible.
    pub user_id: String,
}

/// The store as one organization sees it.
pub struct Org<'a> {
    pub(super) store: &'a Store,
    pub(super) tenant: &'a Tenant,
    /// How its person asks.
    pub(super) via: Via,
    claim: Option<&'a Claim>,
}

impl Store {
    /// The schema that the file had when it was opened, if that was an older one.
    pub fn upgraded_from(&self) -> Option<i64> {
        self.upgraded_from
    }

    /// The data of one organization, and of no other.
    pub fn org<'a>(&'a self, tenant: &'a Tenant) -> Org<'a> {
        Org { store: self, tenant, via: Via::Cli, claim: None }
    }

    /// Whether the file can be read and written, as `/readyz` asks.
    pub async fn check(&self) -> Result<()> {
        self.read(|c| Ok(c.query_row("SELECT 1 FROM org LIMIT 1", [], |_| Ok(())).optional()?))?;
        // Writing the same number is a write all the same: a full disk or a lost file shows here.
        self.writer.write(|c| Ok(c.pragma_update(None, "user_version", schema::VERSION)?)).await
    }

    pub(super) fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let reader = self.readers.get_timeout(BUSY_TIMEOUT).map_err(|error| {
            tracing::error!(%error, "every reader is busy");
            Error::Unavailable {
                message: "the database file is slow to read: try again".into(),
                retry_after: FILE_RETRY,
            }
        })?;
        question(&reader)
    }
}

impl<'a> Org<'a> {
    /// The same, as it is asked for by another way than a command.
    pub fn via(self, via: Via) -> Self {
        Org { via, ..self }
    }

    /// The same, where a write also notes that `claim` was done.
    pub fn once(self, claim: Option<&'a Claim>) -> Self {
        Org { claim, ..self }
    }

    pub(super) fn read<T>(&self, question: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.store.read(question)
    }

    /// What changes in the organization from now on, or from after the change of that name.
    pub fn listen(&self, after: Option<&str>) -> Listener {
        self.store.changes.listen(&self.tenant.org_id, after)
    }

    /// Writes through the writer; the closure gets the tenant because it outlives the borrow.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Tenant) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_turn(work, |_| None).await
    }

    /// [`Org::write`] for work that begins a turn, whose row number `turn_of` tells.
    pub(super) async fn write_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &Tenant) -> Result<T> + Send + 'static,
        turn_of: impl FnOnce(&T) -> Option<TurnRow> + Send + 'static,
    ) -> Result<T> {
        let (tenant, claim) = (self.tenant.clone(), self.claim.cloned());
        let noted = move |connection: &Connection| {
            let value = work(connection, &tenant)?;
            if let Some(claim) = claim {
                claim::note(connection, &claim, turn_of(&value))?;
            }
            Ok(value)
        };
        self.store.writer.write(noted).await
    }
}
