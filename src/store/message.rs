//! A message, as the file holds it and as it is to be kept. What is asked of them is in `messages.rs`.

use rusqlite::Row;

use super::words::words;
use crate::{id, time::Timestamp};

/// The columns of a [`Message`].
pub(super) const COLUMNS: &str = "seq, id, role, status, created_at, metadata, content, parts, version, place";

words! {
    /// Who said it.
    pub enum Role {
        System = "system",
        User = "user",
        Assistant = "assistant",
    }
}

words! {
    /// Whether it is whole, and if not, why.
    pub enum Status {
        Complete = "complete",
        /// Someone stopped the turn that wrote it.
        Stopped = "stopped",
        /// The server went away under the turn that wrote it.
        Interrupted = "interrupted",
        /// The turn that wrote it failed.
        Failed = "error",
    }
}

/// Where in a history a message stands: every message that stood there is a version of it, and a turn that goes on with a message
/// brings the same version once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The row number of the first message that stood there; absent: this is the first.
    pub first: Option<i64>,
    /// Which version it is, from 1.
    pub version: i64,
}

impl Default for Place {
    /// A place of its own.
    fn default() -> Self {
        Place { first: None, version: 1 }
    }
}

/// A message as the file holds it. `S` is `&str` while SQLite lends it, `String` once it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<S = String> {
    /// SQLite's row number: the order of the history; never shown.
    pub seq: i64,
    pub id: S,
    pub role: Role,
    pub status: Status,
    pub created_at: Timestamp,
    /// A JSON object, as text.
    pub metadata: S,
    /// The text of its parts.
    pub content: S,
    /// A JSON array of UIMessage parts, as text.
    pub parts: S,
    pub place: Place,
}

/// A message to be kept.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub id: String,
    pub role: Role,
    pub status: Status,
    pub metadata: String,
    pub content: String,
    pub parts: String,
}

impl<'a> Message<&'a str> {
    pub(super) fn from_row(row: &'a Row<'_>) -> rusqlite::Result<Self> {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        Ok(Message {
            seq: row.get(0)?,
            id: text(1)?,
            role: row.get(2)?,
            status: row.get(3)?,
            created_at: Timestamp::from_millis(row.get(4)?),
            metadata: text(5)?,
            content: text(6)?,
            parts: text(7)?,
            place: Place { version: row.get(8)?, first: row.get(9)? },
        })
    }

    /// A copy that outlives the row.
    pub fn to_owned(&self) -> Message {
        Message {
            seq: self.seq,
            id: self.id.into(),
            role: self.role,
            status: self.status,
            created_at: self.created_at,
            metadata: self.metadata.into(),
            content: self.content.into(),
            parts: self.parts.into(),
            place: self.place,
        }
    }
}

impl Message {
    /// One that is not kept as yet, as it will be.
    pub fn of(new: NewMessage) -> Self {
        Message {
            seq: i64::MAX,
            id: new.id,
            role: new.role,
            status: new.status,
            created_at: Timestamp::now(),
            metadata: new.metadata,
            content: new.content,
            parts: new.parts,
            place: Place::default(),
        }
    }

    /// The same, to be kept once more.
    pub fn again(self) -> NewMessage {
        NewMessage {
            id: self.id,
            role: self.role,
            status: self.status,
            metadata: self.metadata,
            content: self.content,
            parts: self.parts,
        }
    }

    /// As SQLite would lend it.
    pub fn as_deref(&self) -> Message<&str> {
        Message {
            seq: self.seq,
            id: &self.id,
            role: self.role,
            status: self.status,
            created_at: self.created_at,
            metadata: &self.metadata,
            content: &self.content,
            parts: &self.parts,
            place: self.place,
        }
    }
}

impl NewMessage {
    /// A whole message of that role with a new id.
    pub fn new(role: Role, content: String, parts: String) -> Self {
        NewMessage { id: id::generate(), role, status: Status::Complete, metadata: "{}".into(), content, parts }
    }
}
