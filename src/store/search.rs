//! Full-text search in labels and messages.
//!
//! Rule: nobody's words are ever FTS5 syntax; `query` quotes them. The index spans organizations, every question
//! joins it back to one.

/// Words of a search that count; what follows is ignored.
const WORDS_MAX: usize = 16;
/// Tokens of text around a hit.
pub(super) const SNIPPET_TOKENS: &str = "16";

/// A common table `hit (session, snippet)`: each session that holds `:words`, with one place where it does.
pub(super) const HITS: &str = "WITH found (session, snippet) AS (
        SELECT rowid, snippet(session_fts, 0, '', '', '…', 16) FROM session_fts WHERE session_fts MATCH :words
        UNION ALL
        SELECT m.session, snippet(message_fts, 0, '', '', '…', 16)
        FROM message_fts JOIN message m ON m.seq = message_fts.rowid
        WHERE message_fts MATCH :words AND m.superseded_by IS NULL
    ), hit AS (SELECT session, max(snippet) AS snippet FROM found GROUP BY session)";

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

    #[test]
    fn words_past_the_bound_are_left_out() {
        for (words, counted) in [(super::WORDS_MAX - 1, 15), (super::WORDS_MAX, 16), (super::WORDS_MAX + 1, 16)] {
            assert_eq!(super::query(&"a ".repeat(words)).split(' ').count(), counted, "{words}");
        }
    }
}
