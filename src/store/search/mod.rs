//! Full-text search in labels and messages.
//!
//! SQLite's tokenizers take a sentence without spaces for one word, so text is taken apart here (`terms.rs`), and the index
//! holds terms and no text: FTS5 tables without content, whose tokenizer only splits at spaces. Rule: a row of the index comes
//! with its text by the functions below, and goes with it by trigger, which needs nothing of ours: any SQLite may
//! delete. The index spans organizations, and every question joins it back to one.

mod letters; // what of a letter counts
mod query; // what a person searches for
mod snippet; // where it was found
mod terms; // what the index holds

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, ToSql};

use self::terms::each_term;
pub(super) use self::{query::Query, snippet::snippet};
use crate::error::Result;

/// Bytes of a text's terms that are kept; words past it are not found.
const TERMS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A common table `hit (session, message)`: each session that holds `:words`, with its newest message that does; NULL: its
/// label does.
pub(super) const HITS: &str = "WITH found (session, message) AS (
        SELECT rowid, NULL FROM session_fts WHERE session_fts MATCH :words
        UNION ALL
        SELECT m.session, m.seq FROM message_fts JOIN message m ON m.seq = message_fts.rowid
        WHERE message_fts MATCH :words AND m.superseded_by IS NULL
    ), hit AS (SELECT session, max(message) AS message FROM found GROUP BY session)";

/// Where a hit is: in that message, or in the label.
pub(super) fn snippet_of_hit(c: &Connection, message: Option<i64>, label: &str, query: &Query) -> Result<String> {
    let mut statement = c.prepare_cached("SELECT content FROM message WHERE seq = ?1")?;
    let content = statement.query_row([message], |row| row.get::<_, String>(0)).optional()?;
    Ok(snippet(content.as_deref().unwrap_or(label), query))
}

/// Makes a new message's text searchable.
pub(super) fn index_message(c: &Connection, seq: i64, content: &str) -> Result<()> {
    c.prepare_cached("INSERT INTO message_fts (rowid, content) VALUES (?1, ?2)")?.execute((seq, terms_of(content)))?;
    Ok(())
}

/// Makes a new or a changed label searchable.
pub(super) fn index_label(c: &Connection, session: impl ToSql, label: &str) -> Result<()> {
    c.prepare_cached("INSERT INTO session_fts (rowid, label) VALUES (?1, ?2)")?.execute((session, terms_of(label)))?;
    Ok(())
}

/// Makes searchable what came into the file by other ways than one by one: all that is newer than the index.
pub(super) fn index_the_rest(c: &Connection) -> Result<()> {
    let newest = |table: &str| -> Result<i64> {
        Ok(c.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}_docsize"), [], |row| row.get(0))?)
    };
    let mut messages = c.prepare("SELECT seq, content FROM message WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = messages.query([newest("message_fts")?])?;
    while let Some(row) = rows.next()? {
        index_message(c, row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
    }
    let mut sessions = c.prepare("SELECT seq, label FROM session WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = sessions.query([newest("session_fts")?])?;
    while let Some(row) = rows.next()? {
        index_label(c, row.get::<_, i64>(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
    }
    Ok(())
}

/// A text's terms, with spaces between them.
fn terms_of(text: &str) -> String {
    let mut terms = String::with_capacity(text.len().min(TERMS_BYTES_MAX));
    each_term(text, |term| {
        if terms.len() + term.text.len() >= TERMS_BYTES_MAX {
            return ControlFlow::Break(());
        }
        terms.push_str(term.text);
        terms.push(' ');
        ControlFlow::Continue(())
    });
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_indexed_up_to_its_bound() {
        // Each letter but the last of a run is a term of seven bytes with its space, the last one of four.
        let filler = "好".repeat(TERMS_BYTES_MAX / 7);
        let room = TERMS_BYTES_MAX - terms_of(&filler).len() - 1;
        for (bytes, is_held) in [(room - 1, true), (room, true), (room + 1, false)] {
            let terms = terms_of(&format!("{filler} {}", "z".repeat(bytes)));
            assert_eq!(terms.ends_with("z "), is_held, "{bytes}");
            assert!(terms.len() <= TERMS_BYTES_MAX);
        }
    }
}
