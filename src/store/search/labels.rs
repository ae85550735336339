//! Labels of new sessions: they reach the index in batches, since what FTS5 writes for a commit costs as much as all else that
//! a new session does.
//!
//! Rule: whatever has a row number up to the newest of the index is in it, so what waits is what comes after.

use rusqlite::Connection;

use super::{query::Query, terms::terms_of};
use crate::{error::Result, store::rows::SessionRow};

/// Labels that wait for the index at most; the next session takes all of them there.
const LABELS_WAITING_MAX: i64 = 64;

/// The index of labels, as schema.sql has it, beside the file.
const APART: &str =
    "CREATE VIRTUAL TABLE waiting USING fts5 (label, content = '', contentless_delete = 1, tokenize = 'ascii')";

/// Makes a new session's label searchable, at the latest when too many wait.
pub(in crate::store) fn index_new(c: &Connection, session: SessionRow) -> Result<()> {
    if session.number() - newest(c)? > LABELS_WAITING_MAX { index_all(c) } else { Ok(()) }
}

/// Makes a changed label searchable, whose old terms went with the change.
pub(in crate::store) fn index_again(c: &Connection, session: SessionRow, label: &str) -> Result<()> {
    let is_indexed = session.number() < newest(c)?;
    if is_indexed { index(c, session.number(), label) } else { index_all(c) }
}

/// Makes all labels searchable that wait.
pub(super) fn index_all(c: &Connection) -> Result<()> {
    each_waiting(c, |session, label| index(c, session, label))
}

/// The sessions whose labels wait and hold what is searched for: a JSON array of row numbers.
pub(in crate::store) fn unindexed_hits(c: &Connection, query: &Query) -> Result<String> {
    let mut waiting = Vec::new();
    each_waiting(c, |session, label| {
        waiting.push((session, terms_of(label)));
        Ok(())
    })?;
    if waiting.is_empty() || query.is_empty() {
        return Ok("[]".into());
    }
    // FTS5 itself says what a query finds, so nothing is found here that the index would not find, or the other way round.
    let apart = Connection::open_in_memory()?;
    apart.execute_batch(APART)?;
    for row in waiting {
        apart.prepare_cached("INSERT INTO waiting (rowid, label) VALUES (?1, ?2)")?.execute(row)?;
    }
    let sql = "SELECT json_group_array(rowid) FROM waiting WHERE waiting MATCH ?1";
    Ok(apart.query_row(sql, [query.expression()], |row| row.get(0))?)
}

fn index(c: &Connection, session: i64, label: &str) -> Result<()> {
    c.prepare_cached("INSERT INTO session_fts (rowid, label) VALUES (?1, ?2)")?.execute((session, terms_of(label)))?;
    Ok(())
}

/// The newest session whose label is in the index.
fn newest(c: &Connection) -> Result<i64> {
    let mut statement = c.prepare_cached("SELECT coalesce(max(id), 0) FROM session_fts_docsize")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

fn each_waiting(c: &Connection, mut each: impl FnMut(i64, &str) -> Result<()>) -> Result<()> {
    let mut statement = c.prepare_cached("SELECT seq, label FROM session WHERE seq > ?1 ORDER BY seq")?;
    let mut rows = statement.query([newest(c)?])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Store, Tenant,
        sessions::{NewSession, Session, SessionFilter},
    };

    struct World {
        store: Store,
        tenant: Tenant,
        _folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), 2).unwrap();
            let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
            World { store, tenant, _folder: folder }
        }

        async fn create(&self, label: &str) -> String {
            let new = NewSession { label: Some(label.into()), ..NewSession::default() };
            self.store.org(&self.tenant).create_session(new).await.unwrap().id
        }

        async fn rename(&self, id: &str, label: &str) {
            let label = label.to_owned();
            let edit = move |session: &mut Session| {
                session.label = label;
                Ok(())
            };
            self.store.org(&self.tenant).update_session(id.into(), edit).await.unwrap();
        }

        fn found(&self, words: &str) -> Vec<String> {
            let filter = SessionFilter { search: Some(words.into()), ..SessionFilter::default() };
            let page = self.store.org(&self.tenant).sessions(&filter, 100, None).unwrap();
            let mut labels: Vec<_> = page.items.into_iter().map(|session| session.label).collect();
            labels.sort();
            labels
        }

        fn waiting(&self) -> i64 {
            let count = |c: &Connection| {
                let mut count = 0;
                each_waiting(c, |_, _| {
                    count += 1;
                    Ok(())
                })?;
                Ok(count)
            };
            self.store.read(count).unwrap()
        }
    }

    #[tokio::test]
    async fn labels_reach_the_index_in_batches_and_are_found_before_and_after() {
        let world = World::new();
        for count in 1..=LABELS_WAITING_MAX + 1 {
            world.create(&format!("Größe {count}x 天气好")).await;
            let waiting = if count > LABELS_WAITING_MAX { 0 } else { count };
            assert_eq!(world.waiting(), waiting, "{count}");
            if [1, 2, LABELS_WAITING_MAX - 1, LABELS_WAITING_MAX, LABELS_WAITING_MAX + 1].contains(&count) {
                assert_eq!(world.found("grosse").len() as i64, count);
                assert_eq!(world.found(&format!("气好 {count}x")).len(), 1);
                assert_eq!(world.found("other"), [""; 0]);
            }
        }
    }

    #[tokio::test]
    async fn a_label_that_changes_is_found_as_it_is_now_whether_it_waited_or_not() {
        let world = World::new();
        let [first, second, third] =
            [world.create("one").await, world.create("two").await, world.create("three").await];
        world.rename(&second, "deux").await;
        assert_eq!(world.waiting(), 0);
        world.create("four").await;
        world.rename(&first, "un").await;
        world.rename(&third, "trois").await;
        for (words, found) in
            [("one", false), ("two", false), ("three", false), ("un", true), ("deux", true), ("trois", true)]
        {
            assert_eq!(world.found(words).len(), usize::from(found), "{words}");
        }
        assert_eq!(world.found("four"), ["four"]);
    }

    #[tokio::test]
    async fn a_session_that_goes_while_its_label_waits_leaves_nothing() {
        let world = World::new();
        for label in ["one", "two", "three"] {
            world.create(label).await;
        }
        let delete = |c: &Connection| Ok(c.execute("DELETE FROM session WHERE label <> 'one'", [])?);
        assert_eq!(world.store.writer.write(delete).await.unwrap(), 2);
        world.create("four").await;
        assert_eq!((world.found("three").len(), world.found("one").len(), world.found("four").len()), (0, 1, 1));
    }
}
