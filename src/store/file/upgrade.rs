//! New files, and files of earlier schemas brought to today's.
//!
//! Rule: before a file is changed it is copied (`alm.db.before-3` is the file as it was before schema 3), and all steps
//! to today's schema are one transaction: what fails leaves the file as it was. A file of a newer schema is refused, and
//! so is an upgrade under a server that runs.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    copy::{self, Draft},
    folder::FILE_NAME,
    lock,
    schema::{STEPS, VERSION, create, version},
};
use crate::{
    error::{Error, Reason, Result},
    store::search,
    time::Timestamp,
};

/// Makes the schema in a new file, and brings an older one to it; answers the schema that an older one had.
pub(in crate::store) fn bring_to_version(connection: &Connection, folder: &Path) -> Result<Option<i64>> {
    match version(connection)? {
        VERSION => Ok(None),
        0 => create(connection).map(|()| None),
        old @ 1..VERSION => {
            let _no_server = lock::lock(folder).map_err(|error| {
                Error::failed_because(
                    Reason::DataDirInUse,
                    format!("the file has schema {old} and needs an upgrade to {VERSION}: {error}"),
                )
            })?;
            upgrade(connection, &folder.join(FILE_NAME)).map(|()| Some(old))
        }
        newer => Err(Error::failed_because(Reason::NewerFile, written_by_a_newer(&folder.join(FILE_NAME), newer))),
    }
}

fn written_by_a_newer(file: &Path, schema: i64) -> String {
    let before = copy::with_suffix(file, &format!(".before-{schema}"));
    let or_restore = if before.exists() { format!(", or restore {}", before.display()) } else { String::new() };
    let file = file.display();
    format!(
        "{file} was written by a newer alm (schema {schema}, this one knows {VERSION}): use the newer one{or_restore}"
    )
}

fn upgrade(connection: &Connection, file: &Path) -> Result<()> {
    // Tables that are made anew would take the rows that refer to them along. What is wrong shows before the commit.
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let old = version(connection)?;
    if old < VERSION {
        let snapshot = take_snapshot(file)?;
        tracing::info!(from = old, to = VERSION, snapshot = %snapshot.display(), "the file is upgraded");
        STEPS[old as usize - 1..].iter().try_for_each(|step| transaction.execute_batch(step))?;
        search::index_the_rest(&transaction)?;
        if transaction.prepare("PRAGMA foreign_key_check")?.exists([])? {
            return Err(Error::internal("rows refer to missing rows: the file is left unchanged"));
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(connection.pragma_update(None, "foreign_keys", true)?)
}

/// Copies the file while the caller keeps others from writing; returns where to.
fn take_snapshot(file: &Path) -> Result<PathBuf> {
    let mut snapshot = copy::with_suffix(file, &format!(".before-{VERSION}"));
    if snapshot.exists() {
        snapshot = copy::with_suffix(&snapshot, &format!("-{}", Timestamp::now().as_millis()));
    }
    Draft::of(file, copy::folder_of(file))?.name(&snapshot, false)?;
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{schema::SCHEMA, shape::faults},
        *,
    };
    use crate::store::{Store, sessions::SessionFilter};

    /// Every schema that was released, as it was, and rows of it.
    const RELEASED: [(&str, &str); 6] = [
        (include_str!("../../../tests/golden/schema/1.sql"), include_str!("../../../tests/golden/schema/1.rows.sql")),
        (include_str!("../../../tests/golden/schema/2.sql"), include_str!("../../../tests/golden/schema/2.rows.sql")),
        (include_str!("../../../tests/golden/schema/3.sql"), include_str!("../../../tests/golden/schema/3.rows.sql")),
        (include_str!("../../../tests/golden/schema/4.sql"), include_str!("../../../tests/golden/schema/4.rows.sql")),
        (include_str!("../../../tests/golden/schema/5.sql"), include_str!("../../../tests/golden/schema/5.rows.sql")),
        (include_str!("../../../tests/golden/schema/6.sql"), include_str!("../../../tests/golden/schema/6.rows.sql")),
    ];

    /// What a file consists of, however its statements are laid out.
    fn shape(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        let statements = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let plain = |sql: String| {
            let lines = sql.lines().map(|line| line.split("--").next().unwrap());
            lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").replace(" ,", ",").replace(" )", ")")
        };
        let mut shape: Vec<_> = statements.map(|sql| plain(sql.unwrap())).collect();
        shape.sort();
        shape
    }

    fn count(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    /// A folder with a file of an earlier schema.
    fn folder_of(released: usize) -> tempfile::TempDir {
        let (schema, rows) = RELEASED[released - 1];
        let folder = tempfile::tempdir().unwrap();
        let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        file.execute_batch(schema).unwrap();
        file.execute_batch(rows).unwrap();
        file.pragma_update(None, "user_version", released as i64).unwrap();
        folder
    }

    #[test]
    fn every_released_file_arrives_at_todays_schema_with_its_rows_and_leaves_a_copy() {
        assert_eq!(RELEASED.len(), STEPS.len());
        let new = Connection::open_in_memory().unwrap();
        new.execute_batch(SCHEMA).unwrap();
        for released in 1..VERSION {
            let folder = folder_of(released as usize);
            let store = Store::open(folder.path(), 1).unwrap();
            let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
            assert_eq!(shape(&file), shape(&new), "from schema {released}");
            assert_eq!(faults(&file).unwrap(), [""; 0], "from schema {released}");
            assert_eq!((version(&file).unwrap(), count(&file, "message")), (VERSION, 3));
            // The question that was edited is the second version of the first.
            let row = "SELECT version, place FROM message WHERE seq = 2";
            let edited: (i64, i64) = file.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert_eq!(edited, (2, 1), "from schema {released}");
            let integrity: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(integrity, "ok");
            assert_eq!(store.orgs().unwrap()[0].balance, 999_993);
            let copy = Connection::open(folder.path().join(format!("{FILE_NAME}.before-{VERSION}"))).unwrap();
            assert_eq!((version(&copy).unwrap(), count(&copy, "message")), (released, 3));
        }
    }

    #[test]
    fn an_agent_of_an_older_file_has_exactly_the_tools_that_it_had() {
        let given = [None, Some("[]"), Some(r#"["current_time"]"#), Some(r#"["search_history","current_time"]"#)];
        for released in 1..=RELEASED.len() {
            let folder = folder_of(released);
            let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
            for (n, tools) in given.iter().enumerate() {
                let sql = "INSERT INTO agent (id, org_id, slug, name, allowed_tools, created_at, updated_at)
                    VALUES (?1, 'o1', ?1, 'A', ?2, 0, 0)";
                file.execute(sql, (format!("agent-{n}"), tools)).unwrap();
            }
            drop(file);
            let store = Store::open(folder.path(), 1).unwrap();
            let org = store.orgs().unwrap()[0].tenant();
            for (n, tools) in given.iter().enumerate() {
                let names: Option<Vec<String>> = tools.map(|tools| serde_json::from_str(tools).unwrap());
                let agent = store.org(&org).agent(&format!("agent-{n}")).unwrap();
                assert_eq!((agent.allowed_tools, agent.client_tools), (names, None), "from schema {released}");
            }
            // Who may use every tool is given none that was not there.
            let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
            assert_eq!(["tool", "mcp_server"].map(|table| count(&file, table)), [0, 0], "from schema {released}");
        }
    }

    #[test]
    fn the_texts_of_an_older_file_are_found_as_those_of_a_new_one() {
        // What was said, a label, and what was replaced.
        for (released, [message, label, replaced]) in [(1, ["grusse", "grosse", "hi"]), (2, ["天气", "之旅", "hi"])]
        {
            let folder = folder_of(released);
            let store = Store::open(folder.path(), 1).unwrap();
            let tenant = store.orgs().unwrap()[0].tenant();
            let found = |words: &str| {
                let filter = SessionFilter { search: Some(words.into()), ..SessionFilter::default() };
                store.org(&tenant).sessions(&filter, 10, None).unwrap().items.len()
            };
            assert_eq!([message, label, replaced].map(found), [1, 1, 0], "from schema {released}");
            let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
            assert_eq!([count(&file, "message_fts"), count(&file, "session_fts")], [3, 1]);
        }
    }

    #[test]
    fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
        let folder = folder_of(1);
        let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        file.execute_batch("CREATE TABLE idempotency (in_the_way INTEGER)").unwrap();
        let before = shape(&file);
        assert!(Store::open(folder.path(), 1).is_err());
        assert_eq!((shape(&file), version(&file).unwrap()), (before, 1));
    }

    #[test]
    fn nothing_is_upgraded_under_a_server() {
        let folder = folder_of(1);
        let _server = lock::lock(folder.path()).unwrap();
        let error = Store::open(folder.path(), 1).err().unwrap().to_string();
        assert!(error.contains("schema 1") && error.contains("stop it"), "{error}");
    }

    #[test]
    fn a_file_of_a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), 1).unwrap());
        let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        file.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let refused = || Store::open(folder.path(), 1).err().unwrap().to_string();
        let newer =
            format!("alm.db was written by a newer alm (schema {}, this one knows {VERSION}): use", VERSION + 1);
        assert!(refused().contains(&newer) && !refused().contains("restore"), "{}", refused());
        let before = folder.path().join(format!("{FILE_NAME}.before-{}", VERSION + 1));
        std::fs::write(&before, "").unwrap();
        assert!(refused().ends_with(&format!("or restore {}", before.display())), "{}", refused());
    }
}
