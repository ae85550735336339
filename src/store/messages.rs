//! Messages: what was said, in order, and what a search finds of it.
//!
//! A page is handed out row by row, borrowed from SQLite, so that 200 messages cost 200 copies and no tree of values.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Org, SessionRow, TurnRow,
    fault::unless_taken,
    message::COLUMNS,
    search::{self, Query, snippet},
    sessions, waiting,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

pub use super::message::{Message, NewMessage, Role, Status};

/// Messages of one session that a turn looks at; a session of more has long outgrown every model's window.
const HISTORY_MESSAGES_MAX: usize = 10_000;

/// Which part of a history.
#[derive(Debug, Clone, Default)]
pub struct MessagePage<'a> {
    /// The id of the last message of the page before.
    pub cursor: Option<&'a str>,
    pub page_size: usize,
    /// From the newest back, rather than from the oldest on.
    pub newest_first: bool,
    /// Where a page ends early: a message that would take it past so many bytes is the next page's.
    pub bytes_max: Option<usize>,
    /// What becomes of a page whose first message alone is larger than that.
    pub oversize: Oversize,
}

/// A first message that is larger than a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Oversize {
    /// It is a page of its own.
    #[default]
    Shown,
    /// It is not even read: [`PageEnd::TooLarge`].
    Left,
}

/// How a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEnd {
    /// With the last message there is.
    Last,
    /// Others follow.
    More,
    /// Before it began, at a message that is too large for the reader.
    TooLarge,
}

/// What a message takes, in bytes. SQLite knows it without reading the texts.
const BYTES: &str = "octet_length(metadata) + octet_length(content) + octet_length(parts)";
/// Where that stands in a page's rows.
const BYTES_COLUMN: usize = 8;

/// A message that a search found.
#[derive(Debug, Clone)]
pub struct Found {
    pub session_id: String,
    pub session_label: String,
    pub role: Role,
    pub snippet: String,
    pub created_at: Timestamp,
}

impl Org<'_> {
    /// Shows `each` the messages of one page of a session's history; says how it ended. A message that is being
    /// written is none of them, not even a continued one: a page that resumes it reads all of it from its stream.
    pub fn messages(
        &self,
        session_id: &str,
        page: &MessagePage<'_>,
        mut each: impl FnMut(Message<&str>),
    ) -> Result<PageEnd> {
        self.read(|c| {
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?;
            // Both at one moment, or a reply that ends in between would be missing.
            let c = &c.unchecked_transaction()?;
            let unfinished = running_answer(c, session.seq)?;
            let is_whole = |message: &Message<&str>| Some(message.id) != unfinished.as_deref();
            read_page(c, &self.tenant.org_id, session.seq, page, &mut |message| {
                if is_whole(&message) {
                    each(message)
                }
            })
        })
    }

    /// The message of that id in a session's history, if it is there.
    pub fn message(&self, session_id: &str, id: &str) -> Result<Option<Message>> {
        self.read(|c| {
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?;
            find(c, session.seq, id)
        })
    }

    /// Whether a session's history holds the message.
    pub fn holds_message(&self, session_id: &str, id: &str) -> Result<bool> {
        self.read(|c| {
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?;
            Ok(seq_of(c, session.seq, id)?.is_some())
        })
    }

    /// Bytes of the parts of a session's history, files included. It looks at no text.
    pub fn history_bytes(&self, session: SessionRow) -> Result<u64> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT coalesce(sum(octet_length(parts)), 0) FROM message
                 WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org)
                     AND superseded_by IS NULL",
            )?;
            let parameters = named_params! { ":session": session, ":org": self.tenant.org_id };
            Ok(statement.query_row(parameters, |row| row.get::<_, i64>(0))?.unsigned_abs())
        })
    }

    /// The newest messages of a session's history, oldest first, as many as fit `bytes_max` of parts, and how many
    /// older ones were left out. Those of another organization's session are none.
    pub fn history(&self, session: SessionRow, bytes_max: usize) -> Result<(Vec<Message>, usize)> {
        let mut kept = Vec::new();
        let left_out = self.read(|c| {
            // All at one moment, or what was appended in between would be counted as older.
            let c = &c.unchecked_transaction()?;
            let page_size = how_many_fit(c, &self.tenant.org_id, session, bytes_max)?;
            if page_size == 0 {
                return Ok(0);
            }
            let page = MessagePage { page_size, newest_first: true, ..Default::default() };
            read_page(c, &self.tenant.org_id, session, &page, &mut |message| kept.push(message.to_owned()))?;
            Ok(count(c, session)?.saturating_sub(page_size))
        })?;
        kept.reverse();
        Ok((kept, left_out))
    }

    /// The messages that fit `words` best, of every session the person may see but `except`. It scans.
    pub fn search_messages(&self, words: &str, except: &str, limit: usize) -> Result<Vec<Found>> {
        let query = Query::of(words);
        if query.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT s.id, s.label, m.role, m.content, m.created_at
                 FROM message_fts JOIN message m ON m.seq = message_fts.rowid JOIN session s ON s.seq = m.session
                     LEFT JOIN project p ON p.id = s.project_id
                 WHERE message_fts MATCH :words AND m.superseded_by IS NULL AND s.org_id = :org AND s.deleted_at IS NULL
                     AND s.id <> :except AND (p.id IS NULL OR p.visibility = 'team' OR p.user_id = :user)
                 ORDER BY rank LIMIT :limit",
            )?;
            let found = statement.query_map(
                named_params! {
                    ":words": query.expression(), ":org": self.tenant.org_id, ":user": self.tenant.user_id,
                    ":except": except, ":limit": limit as i64,
                },
                |row| {
                    Ok(Found {
                        session_id: row.get(0)?,
                        session_label: row.get(1)?,
                        role: row.get(2)?,
                        snippet: snippet(row.get_ref(3)?.as_str()?, &query),
                        created_at: Timestamp::from_millis(row.get(4)?),
                    })
                },
            )?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }

    /// Appends a message; one of the same id that is there already is returned instead, with `false`.
    pub async fn append_message(&self, session_id: String, new: NewMessage) -> Result<(Message, bool)> {
        self.write(move |c, tenant| {
            let session = sessions::find(c, tenant, &session_id)?.ok_or(Error::NotFound("session"))?;
            if let Some(known) = find(c, session.seq, &new.id)? {
                return Ok((known, false));
            }
            sessions::refuse_running(c, session.seq)?;
            let last = last(c, session.seq)?.map(|last| last.id);
            waiting::refuse_open(c, session.seq, last.as_deref())?;
            insert(c, session.seq, None, &new)?;
            touch(c, session.seq)?;
            let kept = find(c, session.seq, &new.id)?.ok_or(Error::NotFound("message"))?;
            Ok((kept, true))
        })
        .await
    }
}

/// Shows `each` the messages of one page; says how it ended.
pub(super) fn read_page(
    c: &Connection,
    org_id: &str,
    session: SessionRow,
    page: &MessagePage<'_>,
    each: &mut impl FnMut(Message<&str>),
) -> Result<PageEnd> {
    let after = match page.cursor {
        Some(cursor) => Some(seq_of(c, session, cursor)?.ok_or_else(bad_cursor)?),
        None => None,
    };
    let mut statement = c.prepare_cached(&match page.newest_first {
        false => page_sql("seq > coalesce(:after, 0)", "seq"),
        true => page_sql("seq < coalesce(:after, 9223372036854775807)", "seq DESC"),
    })?;
    let rows = page.page_size as i64 + 1;
    let parameters = named_params! { ":org": org_id, ":session": session, ":after": after, ":rows": rows };
    let mut rows = statement.query(parameters)?;
    let mut bytes = 0;
    for nth in 0..page.page_size {
        let Some(row) = rows.next()? else { return Ok(PageEnd::Last) };
        bytes += row.get::<_, i64>(BYTES_COLUMN)? as usize;
        match (page.bytes_max.is_some_and(|max| bytes > max), nth, page.oversize) {
            (false, ..) | (true, 0, Oversize::Shown) => each(Message::from_row(row)?),
            (true, 0, Oversize::Left) => return Ok(PageEnd::TooLarge),
            (true, ..) => return Ok(PageEnd::More),
        }
    }
    Ok(if rows.next()?.is_some() { PageEnd::More } else { PageEnd::Last })
}

/// How many of a history's newest messages fit `bytes_max` of parts, but one at least if there is one. It looks at no text.
fn how_many_fit(c: &Connection, org_id: &str, session: SessionRow, bytes_max: usize) -> Result<usize> {
    let mut statement = c.prepare_cached(
        "SELECT octet_length(parts) FROM message
         WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org) AND superseded_by IS NULL
         ORDER BY seq DESC LIMIT :rows",
    )?;
    let rows = HISTORY_MESSAGES_MAX as i64;
    let mut rows = statement.query(named_params! { ":org": org_id, ":session": session, ":rows": rows })?;
    let (mut fit, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        bytes += row.get::<_, i64>(0)? as usize;
        if bytes > bytes_max && fit > 0 {
            break;
        }
        fit += 1;
    }
    Ok(fit)
}

fn page_sql(beyond: &str, order: &str) -> String {
    format!(
        "SELECT {COLUMNS}, {BYTES} FROM message
         WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org)
             AND superseded_by IS NULL AND {beyond} ORDER BY {order} LIMIT :rows"
    )
}

/// The id of the message that is being written.
fn running_answer(c: &Connection, session: SessionRow) -> Result<Option<String>> {
    let mut statement = c.prepare_cached("SELECT message_id FROM turn WHERE session = ?1 AND status = 'running'")?;
    Ok(statement.query_row([session], |row| row.get(0)).optional()?)
}

fn bad_cursor() -> Error {
    Error::invalid("cursor", "must be the id of a message of this session")
}

/// How many messages a session's history has.
fn count(c: &Connection, session: SessionRow) -> Result<usize> {
    let mut statement = c.prepare_cached("SELECT message_count FROM session WHERE seq = ?1")?;
    Ok(statement.query_row([session], |row| row.get::<_, i64>(0))? as usize)
}

/// The message of that id in a session's history.
pub(super) fn find(c: &Connection, session: SessionRow, id: &str) -> Result<Option<Message>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message WHERE session = ?1 AND id = ?2 AND superseded_by IS NULL"
    ))?;
    Ok(statement.query_row((session, id), |row| Ok(Message::from_row(row)?.to_owned())).optional()?)
}

/// Shows `each` the messages of a session's history, oldest first, as long as it wants more of them.
pub(super) fn each(c: &Connection, session: SessionRow, mut each: impl FnMut(Message) -> Result<bool>) -> Result<()> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message WHERE session = ?1 AND superseded_by IS NULL ORDER BY seq"
    ))?;
    let mut rows = statement.query([session])?;
    while let Some(row) = rows.next()? {
        if !each(Message::from_row(row)?.to_owned())? {
            break;
        }
    }
    Ok(())
}

/// The last message of a session's history.
pub(super) fn last(c: &Connection, session: SessionRow) -> Result<Option<Message>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message WHERE session = ?1 AND superseded_by IS NULL ORDER BY seq DESC LIMIT 1"
    ))?;
    Ok(statement.query_row([session], |row| Ok(Message::from_row(row)?.to_owned())).optional()?)
}

fn seq_of(c: &Connection, session: SessionRow, id: &str) -> Result<Option<i64>> {
    let mut statement =
        c.prepare_cached("SELECT seq FROM message WHERE session = ?1 AND id = ?2 AND superseded_by IS NULL")?;
    Ok(statement.query_row((session, id), |row| row.get(0)).optional()?)
}

/// Keeps a message at the end of a session's history, which must not hold its id.
pub(super) fn insert(c: &Connection, session: SessionRow, turn: Option<TurnRow>, new: &NewMessage) -> Result<()> {
    let mut statement = c.prepare_cached(
        "INSERT INTO message (session, id, role, status, turn, created_at, metadata, content, parts)
         VALUES (:session, :id, :role, :status, :turn, :now, :metadata, :content, :parts)",
    )?;
    let inserted = statement.execute(named_params! {
        ":session": session, ":id": new.id, ":role": new.role, ":status": new.status, ":turn": turn,
        ":now": Timestamp::now().as_millis(), ":metadata": new.metadata, ":content": new.content, ":parts": new.parts,
    });
    unless_taken(inserted, || Error::Conflict(format!("messages: the id {} is used twice", new.id)))?;
    search::index_message(c, c.last_insert_rowid(), &new.content)
}

/// Takes the messages from `seq` on out of the history, in favour of what `turn` brings.
pub(super) fn supersede_from(c: &Connection, session: SessionRow, seq: i64, turn: TurnRow) -> Result<()> {
    c.prepare_cached(
        "UPDATE message SET superseded_by = ?3 WHERE session = ?1 AND seq >= ?2 AND superseded_by IS NULL",
    )?
    .execute((session, seq, turn))?;
    Ok(())
}

/// Moves a session to the top of the list.
pub(super) fn touch(c: &Connection, session: SessionRow) -> Result<()> {
    c.prepare_cached("UPDATE session SET updated_at = ?2 WHERE seq = ?1")?
        .execute((session, Timestamp::now().as_millis()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::store::{Store, sessions::NewSession};

    /// Adds messages, each with its number for an id and `[]` for its parts.
    fn add(store: &Store, session: SessionRow, numbers: Range<usize>) {
        let mut numbers = numbers.map(|n| n.to_string());
        let new = |id| NewMessage { id, ..NewMessage::new(Role::User, String::new(), "[]".into()) };
        store.writer.write_blocking(move |c| numbers.try_for_each(|id| insert(c, session, None, &new(id)))).unwrap();
    }

    #[test]
    fn a_history_ends_where_its_messages_or_their_bytes_reach_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let owned = tenant.clone();
        let session = store.writer.write_blocking(move |c| sessions::insert(c, &owned, &NewSession::default()));
        let session = session.unwrap().seq;
        let history = |bytes_max: usize| {
            let (kept, left_out) = store.org(&tenant).history(session, bytes_max).unwrap();
            let ids = kept.first().zip(kept.last()).map(|(first, last)| [first.id.clone(), last.id.clone()]);
            (kept.len(), left_out, ids.unwrap())
        };
        let ids = |first: usize, last: usize| [first, last].map(|n| n.to_string());
        add(&store, session, 0..3);
        // Two bytes each; the newest is there whatever its size.
        for (bytes_max, kept) in [(0, 1), (1, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
            assert_eq!(history(bytes_max), (kept, 3 - kept, ids(3 - kept, 2)), "{bytes_max}");
        }
        let mut there = 3;
        for (messages, left_out) in
            [(HISTORY_MESSAGES_MAX - 1, 0), (HISTORY_MESSAGES_MAX, 0), (HISTORY_MESSAGES_MAX + 1, 1)]
        {
            add(&store, session, there..messages);
            there = messages;
            assert_eq!(history(usize::MAX), (messages - left_out, left_out, ids(left_out, messages - 1)));
        }
    }
}
