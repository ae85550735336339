//! Full-text search in labels and messages.
//!
//! SQLite's tokenizers take a sentence without spaces for one word, so text is taken apart here (`terms.rs`), and the index
//! holds terms and no text: FTS5 tables without content, whose tokenizer only splits at spaces. Rule: a row of the index comes
//! with its text by the functions below, and goes with it by trigger, which needs nothing of ours: any SQLite may
//! delete. The index spans organizations, and every question joins it back to one.
//! Labels of new sessions come in batches ([`labels`]), and until then a search looks at them one by one.

mod labels; // those of new sessions, in batches
mod letters; // what of a letter counts
mod query; // what a person searches for
mod snippet; // where it was found
mod terms; // what the index holds

use rusqlite::{Connection, OptionalExtension};

use self::terms::terms_of;
pub(super) use self::{
    labels::{index_again, index_new, unindexed_hits},
    query::Query,
    snippet::snippet,
};
use crate::error::Result;

/// A common table `hit (session, message)`: each session that holds `:words`, with its newest message that does; NULL: its
/// label does. `:unindexed` is what [`unindexed_hits`] found.
pub(super) const HITS: &str = "WITH found (session, message) AS (
        SELECT rowid, NULL FROM session_fts WHERE session_fts MATCH :words
        UNION ALL
        SELECT value, NULL FROM json_each(:unindexed)
        UNION ALL
        SELECT m.session, m.seq FROM message_fts JOIN message m ON m.seq = message_fts.rowid
        WHERE message_fts MATCH :words AND m.superseded_by IS NULL
    ), hit AS (SELECT session, max(message) AS message FROM found GROUP BY session)";

/// Where a hit is: in that message, whose id comes too, or in the label.
pub(super) fn snippet_of_hit(
    c: &Connection,
    message: Option<i64>,
    label: &str,
    query: &Query,
) -> Result<(String, Option<String>)> {
    let mut statement = c.prepare_cached("SELECT content, id FROM message WHERE seq = ?1")?;
    let hit = statement.query_row([message], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()?;
    Ok(match hit {
        Some((content, id)) => (snippet(&content, query), Some(id)),
        None => (snippet(label, query), None),
    })
}

/// Makes a new message's text searchable.
pub(super) fn index_message(c: &Connection, seq: i64, content: &str) -> Result<()> {
    c.prepare_cached("INSERT INTO message_fts (rowid, content) VALUES (?1, ?2)")?.execute((seq, terms_of(content)))?;
    Ok(())
}

/// Makes searchable what came into the file by other ways than one by one: all that is newer than the index.
pub(super) fn index_the_rest(c: &Connection) -> Result<()> {
    let newest: i64 = c.query_row("SELECT coalesce(max(id), 0) FROM message_fts_docsize", [], |row| row.get(0))?;
    let mut messages = c.prepare("SELECT seq, content FROM message WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = messages.query([newest])?;
    while let Some(row) = rows.next()? {
        index_message(c, row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
    }
    labels::index_all(c)
}
