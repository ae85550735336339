//! What a file consists of: its tables, indexes, views and triggers, beside those that a new file has.
//!
//! Rule: the text of a schema is code, and triggers and checks guard the money. A file that has others than ours is not ours,
//! however whole its pages are. Comments and the layout of statements do not count.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::schema;
use crate::error::Result;

/// Tables that a replicator adds to every file it copies.
const REPLICATORS: [&str; 2] = ["_litestream_seq", "_litestream_lock"];

/// Tables of SQLite's own, with statistics.
const STATISTICS: [&str; 2] = ["sqlite_stat1", "sqlite_stat4"];

/// By kind and name (a trigger may be called as a table is): of which table it is, and its statement.
type Shape = BTreeMap<(String, String), (String, String)>;

/// What the file has that a new one of its schema has not, or lacks, or has otherwise: sentences, none if it is ours.
pub(super) fn faults(file: &Connection) -> Result<Vec<String>> {
    let version = schema::version(file)?;
    let Some(text) = schema::text(version) else { return Ok(Vec::new()) };
    let new = Connection::open_in_memory()?;
    new.execute_batch(text)?;
    Ok(differences(&shape(file)?, &shape(&new)?))
}

fn differences(found: &Shape, ours: &Shape) -> Vec<String> {
    let foreign = found.iter().filter(|(key, _)| !ours.contains_key(*key));
    let foreign = foreign.map(|((kind, name), (table, _))| match kind.as_str() {
        "trigger" | "index" => format!("the {kind} {name} of {table} is not part of its schema"),
        _ => format!("the {kind} {name} is not part of its schema"),
    });
    let wrong = ours.iter().filter_map(|(key, wanted)| {
        let (kind, name) = key;
        match found.get(key) {
            None => Some(format!("the {kind} {name} is missing")),
            Some(there) if there != wanted => Some(format!("the {kind} {name} is not as its schema has it")),
            Some(_) => None,
        }
    });
    foreign.chain(wrong).collect()
}

fn shape(file: &Connection) -> Result<Shape> {
    let mut select =
        file.prepare("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY rowid")?;
    let mut rows = select.query([])?;
    let (mut shape, mut searchable) = (Shape::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (kind, mut name, table): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut sql = plain(&row.get::<_, String>(3)?);
        let is_table = kind == "table";
        let is_added = is_table && [REPLICATORS, STATISTICS].concat().contains(&name.as_str());
        // A table's own statement makes these.
        let is_implied = kind == "index" && sql.is_empty();
        if is_added || is_implied {
            continue;
        }
        if is_table && sql.starts_with("CREATE VIRTUAL TABLE ") {
            searchable.push(format!("{name}_"));
        } else if is_table && searchable.iter().any(|prefix| name.starts_with(prefix)) {
            // The text of its inner tables is SQLite's, and may be another one in its next version.
            sql.clear();
        }
        if shape.contains_key(&(kind.clone(), name.clone())) {
            name += ", once more,";
        }
        shape.insert((kind, name), (table, sql));
    }
    Ok(shape)
}

/// A statement without comments and layout: its words, with one space where there is any, but none where a column that came
/// later leaves one: before a comma and the closing parenthesis.
fn plain(sql: &str) -> String {
    let mut words = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (length, is_blank) = match first {
            '\'' | '"' | '`' => (quoted(rest, first), false),
            '[' => (quoted(rest, ']'), false),
            _ if rest.starts_with("--") => (rest.find('\n').map_or(rest.len(), |at| at + 1), true),
            _ if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |at| at + 2), true),
            _ => (first.len_utf8(), first.is_ascii_whitespace()),
        };
        if matches!(first, ',' | ')') && words.ends_with(' ') {
            words.pop();
        }
        if !is_blank {
            words.push_str(&rest[..length]);
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
        rest = &rest[length..];
    }
    words.trim_end().to_owned()
}

/// How long a quoted text is; a doubled quote begins another right after it, which comes to the same.
fn quoted(text: &str, end: char) -> usize {
    text[1..].find(end).map_or(text.len(), |at| 1 + at + end.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found once that was done to a new file by someone who may write its schema.
    fn after(done: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let open = || Connection::open(folder.path().join("file")).unwrap();
        let file = open();
        schema::create(&file).unwrap();
        file.execute_batch(done).unwrap();
        drop(file);
        faults(&open()).unwrap_or_else(|error| panic!("{done}: {error}")).join("; ")
    }

    /// Changes the text of a schema without asking SQLite.
    fn rewritten(change: &str) -> String {
        format!("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET {change}; PRAGMA writable_schema = OFF")
    }

    #[test]
    fn a_new_file_is_ours_and_so_is_one_that_a_replicator_or_sqlite_added_to() {
        let layout = "sql = replace(sql, 'CREATE TABLE org', 'CREATE  TABLE -- b\n org /* a */') WHERE name = 'org'";
        for done in [
            "",
            "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
             CREATE TABLE _litestream_lock (id INTEGER)",
            "ANALYZE",
            &rewritten(layout),
        ] {
            assert_eq!(after(done), "", "{done}");
        }
    }

    #[test]
    fn what_is_not_in_the_schema_or_not_as_there_is_found() {
        let trigger =
            |name: &str, table: &str| format!("CREATE TRIGGER {name} AFTER INSERT ON {table} BEGIN SELECT 1; END");
        let replicators = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)";
        for (done, found) in [
            (trigger("gift", "session"), "the trigger gift of session is not part of its schema"),
            (
                format!("{replicators}; {}", trigger("seen", "_litestream_seq")),
                "the trigger seen of _litestream_seq is not part",
            ),
            // Under the name of a table.
            (trigger("org", "session"), "the trigger org of session is not part"),
            ("CREATE VIEW spy AS SELECT 1".into(), "the view spy is not part of its schema"),
            ("CREATE INDEX odd ON org (slug)".into(), "the index odd of org is not part"),
            ("DROP TRIGGER ledger_unchanged".into(), "the trigger ledger_unchanged is missing"),
            ("DROP TABLE message_fts".into(), "the table message_fts is missing"),
            (
                "DROP TABLE turn_journal; CREATE VIEW turn_journal AS SELECT 1".into(),
                "the view turn_journal is not part",
            ),
            (
                rewritten("sql = replace(sql, 'CHECK (balance >= 0)', '') WHERE name = 'org'"),
                "the table org is not as its schema has it",
            ),
            (
                rewritten("sql = replace(sql, 'balance >= 0', 'balance >= 0 OR ''--'' = ''--''') WHERE name = 'org'"),
                "the table org is not as its schema has it",
            ),
        ] {
            let text = after(&done);
            assert!(text.contains(found), "{done}: {text}");
        }
    }

    #[test]
    fn a_file_of_an_older_schema_is_compared_with_that() {
        for version in 1..schema::VERSION {
            let file = Connection::open_in_memory().unwrap();
            file.execute_batch(schema::text(version).unwrap()).unwrap();
            file.pragma_update(None, "user_version", version).unwrap();
            assert_eq!(faults(&file).unwrap(), Vec::<String>::new(), "{version}");
            file.execute_batch("DROP TRIGGER ledger_unchanged").unwrap();
            assert_eq!(faults(&file).unwrap(), ["the trigger ledger_unchanged is missing"], "{version}");
        }
        for (version, is_known) in [(0, false), (1, true), (schema::VERSION, true), (schema::VERSION + 1, false)] {
            assert_eq!(schema::text(version).is_some(), is_known, "{version}");
        }
    }

    #[test]
    fn only_comments_and_layout_make_no_difference() {
        assert_eq!(
            plain("CREATE  TABLE t ( -- the\n  a TEXT /* and */ , b TEXT)  "),
            "CREATE TABLE t ( a TEXT, b TEXT)"
        );
        for (one, other) in
            [("'a  b'", "'a b'"), ("'--x'", "'"), ("\"/* a */\"", "\"\""), ("a b", "ab"), ("'it''s'", "'it'")]
        {
            assert_ne!(plain(one), plain(other));
            assert_eq!(plain(one), one);
        }
    }
}
