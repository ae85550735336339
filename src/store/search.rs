//! Full-text search in labels and messages.
//!
//! Rule: nobody's words are ever FTS5 syntax; [`query`] quotes them. The index spans organizations, every question
//! joins it back to one.

use rusqlite::named_params;

use super::{Org, messages::Role};
use crate::{error::Result, time::Timestamp};

/// Words of a search that count; what follows is ignored.
const WORDS_MAX: usize = 16;
/// Tokens of text around a hit.
const SNIPPET_TOKENS: &str = "16";

/// A common table `hit (session, snippet)`: each session that holds `:words`, with one place where it does.
pub(super) const HITS: &str = "WITH found (session, snippet) AS (
        SELECT rowid, snippet(session_fts, 0, '', '', '…', 16) FROM session_fts WHERE session_fts MATCH :words
        UNION ALL
        SELECT m.session, snippet(message_fts, 0, '', '', '…', 16)
        FROM message_fts JOIN message m ON m.seq = message_fts.rowid
        WHERE message_fts MATCH :words AND m.superseded_by IS NULL
    ), hit AS (SELECT session, max(snippet) AS snippet FROM found GROUP BY session)";

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
    /// The messages that fit `words` best, of every session the person may see but `except`. It scans.
    pub fn search_messages(&self, words: &str, except: &str, limit: usize) -> Result<Vec<Found>> {
        let words = query(words);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT s.id, s.label, m.role, snippet(message_fts, 0, '', '', '…', {SNIPPET_TOKENS}), m.created_at
                 FROM message_fts JOIN message m ON m.seq = message_fts.rowid JOIN session s ON s.seq = m.session
                     LEFT JOIN project p ON p.id = s.project_id
                 WHERE message_fts MATCH :words AND m.superseded_by IS NULL AND s.org_id = :org AND s.deleted_at IS NULL
                     AND s.id <> :except AND (p.id IS NULL OR p.visibility = 'team' OR p.user_id = :user)
                 ORDER BY rank LIMIT :limit"
            ))?;
            let found = statement.query_map(
                named_params! {
                    ":words": words, ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":except": except,
                    ":limit": limit as i64,
                },
                |row| {
                    Ok(Found {
                        session_id: row.get(0)?,
                        session_label: row.get(1)?,
                        role: row.get(2)?,
                        snippet: row.get(3)?,
                        created_at: Timestamp::from_millis(row.get(4)?),
                    })
                },
            )?;
            Ok(found.collect::<Result<_, _>>()?)
        })
    }
}

/// A person's words as an FTS5 query: each of them, the last one as a beginning. Empty if there are none.
pub(super) fn query(words: &str) -> String {
    let quoted = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(|word| format!("\"{word}\""));
    let mut query = quoted.collect::<Vec<_>>().join(" ");
    if !query.is_empty() {
        query.push('*');
    }
    query
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_words_are_syntax() {
        assert_eq!(super::query("a OR \"b* NEAR("), "\"a\" \"OR\" \"b\" \"NEAR\"*");
        assert_eq!(super::query(" \"' * "), "");
    }
}
