//! Messages: what was said, in order, and what a search finds of it.
//!
//! A page is handed out row by row, borrowed from SQLite, so that 200 messages cost 200 copies and no tree of values.

use rusqlite::{Connection, OptionalExtension, Row, Rows, named_params};

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

pub use super::message::{Message, NewMessage, Place, Role, Status};

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
pub(super) const BYTES: &str = "octet_length(metadata) + octet_length(content) + octet_length(parts)";
/// Where that stands in a page's rows.
pub(super) const BYTES_COLUMN: usize = 10;
/// How many versions its place has, of all but the first: that one is known by its own number.
const VERSIONS: &str = "(SELECT max(version) FROM message v WHERE v.place = message.place)";

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
        mut each: impl FnMut(Message<&str>, i64),
    ) -> Result<PageEnd> {
        self.read(|c| {
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?;
            // Both at one moment, or a reply that ends in between would be missing.
            let c = &c.unchecked_transaction()?;
            let unfinished = running_answer(c, session.seq)?;
            let is_whole = |message: &Message<&str>| Some(message.id) != unfinished.as_deref();
            read_page(c, &self.tenant.org_id, session.seq, page, &mut |message, versions| {
                if is_whole(&message) {
                    each(message, versions)
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
            insert(c, session.seq, None, &new, Place::default())?;
            touch(c, session.seq)?;
            let kept = find(c, session.seq, &new.id)?.ok_or(Error::NotFound("message"))?;
            Ok((kept, true))
        })
        .await
    }
}

/// Shows `each` the messages of one page, and how many versions each has; says how it ended.
pub(super) fn read_page(
    c: &Connection,
    org_id: &str,
    session: SessionRow,
    page: &MessagePage<'_>,
    each: &mut impl FnMut(Message<&str>, i64),
) -> Result<PageEnd> {
    let after = match page.cursor {
        Some(cursor) => Some(seq_of(c, session, cursor)?.ok_or_else(bad_cursor)?),
        None => None,
    };
    read_after(c, org_id, session, after, page, each)
}

/// The same from after a row on.
pub(super) fn read_after(
    c: &Connection,
    org_id: &str,
    session: SessionRow,
    after: Option<i64>,
    page: &MessagePage<'_>,
    each: &mut impl FnMut(Message<&str>, i64),
) -> Result<PageEnd> {
    let mut statement = c.prepare_cached(&match page.newest_first {
        false => page_sql("seq > coalesce(:after, 0)", "seq"),
        true => page_sql("seq < coalesce(:after, 9223372036854775807)", "seq DESC"),
    })?;
    let rows = page.page_size as i64 + 1;
    let parameters = named_params! { ":org": org_id, ":session": session, ":after": after, ":rows": rows };
    hand_out(statement.query(parameters)?, page, &mut |row| {
        each(Message::from_row(row)?, row.get::<_, Option<i64>>(BYTES_COLUMN + 1)?.unwrap_or(1));
        Ok(())
    })
}

/// Shows `each` the rows of one page; says how it ended.
pub(super) fn hand_out(
    mut rows: Rows<'_>,
    page: &MessagePage<'_>,
    each: &mut impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<PageEnd> {
    let mut bytes = 0;
    for nth in 0..page.page_size {
        let Some(row) = rows.next()? else { return Ok(PageEnd::Last) };
        bytes += row.get::<_, i64>(BYTES_COLUMN)? as usize;
        match (page.bytes_max.is_some_and(|max| bytes > max), nth, page.oversize) {
            (false, ..) | (true, 0, Oversize::Shown) => each(row)?,
            (true, 0, Oversize::Left) => return Ok(PageEnd::TooLarge),
            (true, ..) => return Ok(PageEnd::More),
        }
    }
    Ok(if rows.next()?.is_some() { PageEnd::More } else { PageEnd::Last })
}

fn page_sql(beyond: &str, order: &str) -> String {
    format!(
        "SELECT {COLUMNS}, {BYTES}, {VERSIONS} FROM message
         WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org)
             AND superseded_by IS NULL AND {beyond} ORDER BY {order} LIMIT :rows"
    )
}

/// The id of the message that is being written.
pub(super) fn running_answer(c: &Connection, session: SessionRow) -> Result<Option<String>> {
    let mut statement = c.prepare_cached("SELECT message_id FROM turn WHERE session = ?1 AND status = 'running'")?;
    Ok(statement.query_row([session], |row| row.get(0)).optional()?)
}

fn bad_cursor() -> Error {
    Error::invalid("cursor", "must be the id of a message of this session")
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

pub(super) fn seq_of(c: &Connection, session: SessionRow, id: &str) -> Result<Option<i64>> {
    let mut statement =
        c.prepare_cached("SELECT seq FROM message WHERE session = ?1 AND id = ?2 AND superseded_by IS NULL")?;
    Ok(statement.query_row((session, id), |row| row.get(0)).optional()?)
}

/// Keeps a message at the end of a session's history, which must not hold its id.
pub(super) fn insert(
    c: &Connection,
    session: SessionRow,
    turn: Option<TurnRow>,
    new: &NewMessage,
    place: Place,
) -> Result<()> {
    insert_said_at(c, session, turn, new, place, Timestamp::now())
}

/// The same of what was said at another time.
pub(super) fn insert_said_at(
    c: &Connection,
    session: SessionRow,
    turn: Option<TurnRow>,
    new: &NewMessage,
    place: Place,
    said_at: Timestamp,
) -> Result<()> {
    let mut statement = c.prepare_cached(
        "INSERT INTO message (session, id, role, status, turn, created_at, metadata, content, parts, version, place)
         VALUES (:session, :id, :role, :status, :turn, :now, :metadata, :content, :parts, :version, :place)",
    )?;
    let inserted = statement.execute(named_params! {
        ":session": session, ":id": new.id, ":role": new.role, ":status": new.status, ":turn": turn,
        ":now": said_at.as_millis(), ":metadata": new.metadata, ":content": new.content, ":parts": new.parts,
        ":version": place.version, ":place": place.first,
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
