//! Requests that are to be done once: what was done, and the response to it.
//!
//! Rule: that a request was done is written in the commit that does it, so a crash leaves both or neither. The
//! response is written after that; a crash between the two leaves a request that was done and whose response is lost.
//! Of a chat the response is its turn, which is stored anyway.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

pub use super::claim::{Claim, REMEMBERED};
use super::{
    Store, TurnRow,
    claim::{note, old},
};
use crate::error::Result;

/// Bytes of responses kept of one organization. Past it the oldest go; that their requests were done stays known.
const ONCE_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// What is remembered of a request that was done.
#[derive(Debug)]
pub struct Done {
    pub body_hash: [u8; 32],
    /// The turn that it began, if it is a chat.
    pub turn: Option<TurnRow>,
    /// Absent if it was not kept.
    pub answer: Option<Answer>,
}

/// The response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// A JSON object, as text.
    pub headers: String,
    pub body: Vec<u8>,
}

impl Store {
    /// What is remembered of the request of that name. The name holds the key it came with, so nobody finds another's.
    pub fn done_request(&self, name: &[u8; 32]) -> Result<Option<Done>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT body_hash, turn, status, headers, body FROM idempotency
                 WHERE name = :name AND created_at > :old",
            )?;
            let done = |row: &Row<'_>| {
                let status: Option<u16> = row.get(2)?;
                let answer =
                    |status| Ok::<_, rusqlite::Error>(Answer { status, headers: row.get(3)?, body: row.get(4)? });
                Ok(Done { body_hash: row.get(0)?, turn: row.get(1)?, answer: status.map(answer).transpose()? })
            };
            Ok(statement.query_row(named_params! { ":name": name, ":old": old() }, done).optional()?)
        })
    }

    /// Keeps the response to a request.
    pub async fn keep_answer(&self, claim: Claim, answer: Answer) -> Result<()> {
        let keep = move |c: &Connection| {
            note(c, &claim, None)?;
            c.prepare_cached(
                "UPDATE idempotency SET status = :status, headers = :headers, body = :body WHERE name = :name",
            )?
            .execute(named_params! {
                ":status": answer.status, ":headers": answer.headers, ":body": answer.body, ":name": claim.name,
            })?;
            make_room(c, &claim.org_id)
        };
        self.writer.write(keep).await
    }
}

/// Drops the oldest responses of an organization that keeps too much.
fn make_room(c: &Connection, org_id: &str) -> Result<()> {
    let mut kept = c.prepare_cached("SELECT answer_bytes FROM org WHERE id = ?1")?;
    let mut drop_oldest = c.prepare_cached(
        "UPDATE idempotency SET status = NULL, headers = NULL, body = NULL WHERE name =
             (SELECT name FROM idempotency WHERE org_id = ?1 AND status IS NOT NULL ORDER BY created_at LIMIT 1)",
    )?;
    while kept.query_row([org_id], |row| row.get::<_, i64>(0))? > ONCE_BYTES_MAX && drop_oldest.execute([org_id])? > 0 {
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn store() -> (Store, [String; 2], tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let orgs =
            ["acme", "globex"].map(|slug| store.create_org(slug, "a@example.com", None).unwrap().tenant().org_id);
        (store, orgs, folder)
    }

    fn claim(org_id: &str, name: u8) -> Claim {
        Claim { org_id: org_id.into(), name: [name; 32], body_hash: [9; 32] }
    }

    fn kept(store: &Store, name: u8) -> Option<usize> {
        store.done_request(&[name; 32]).unwrap().unwrap().answer.map(|answer| answer.body.len())
    }

    fn counted(store: &Store, org_id: &str) -> i64 {
        let sql = "SELECT answer_bytes FROM org WHERE id = ?1";
        store.read(|c| Ok(c.query_row(sql, [org_id], |row| row.get(0))?)).unwrap()
    }

    /// Waits until the clock shows a later moment, as rows are ordered by it.
    fn tick() {
        let now = Timestamp::now();
        while Timestamp::now() == now {}
    }

    async fn age(store: &Store) {
        let day = REMEMBERED.as_millis() as i64;
        let sql = "UPDATE idempotency SET created_at = created_at - ?1";
        store.writer.write(move |c| Ok(c.execute(sql, [day]).map(drop)?)).await.unwrap();
    }

    #[tokio::test]
    async fn a_request_is_remembered_for_a_day_and_then_forgotten() {
        let (store, [acme, _], _folder) = store();
        let answer = Answer { status: 201, headers: "{}".into(), body: b"made".to_vec() };
        for name in 0..3 {
            store.keep_answer(claim(&acme, name), answer.clone()).await.unwrap();
        }
        assert_eq!(store.done_request(&[1; 32]).unwrap().unwrap().answer, Some(answer));
        age(&store).await;
        assert!(store.done_request(&[1; 32]).unwrap().is_none());
        let again = claim(&acme, 1);
        store.writer.write(move |c| note(c, &again, None)).await.unwrap();
        assert!(store.done_request(&[1; 32]).unwrap().unwrap().answer.is_none());
        let left: i64 =
            store.read(|c| Ok(c.query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0))?)).unwrap();
        assert_eq!((left, counted(&store, &acme)), (1, 0), "the old ones made way");
    }

    #[tokio::test]
    async fn the_oldest_answers_of_an_organization_make_way_and_their_requests_stay_done() {
        let (store, [acme, globex], _folder) = store();
        let keep = async |org_id: &str, name, bytes: i64| {
            let answer = Answer { status: 201, headers: "{}".into(), body: vec![b'x'; bytes as usize - 2] };
            store.keep_answer(claim(org_id, name), answer).await.unwrap();
        };
        keep(&globex, 9, 100).await;
        let half = ONCE_BYTES_MAX / 2;
        keep(&acme, 1, 100).await;
        tick();
        keep(&acme, 2, half - 100).await;
        tick();
        for (name, bytes, first) in [(3, half - 1, Some(98)), (3, half, Some(98)), (3, half + 1, None)] {
            keep(&acme, name, bytes).await;
            assert_eq!(kept(&store, 1), first, "{bytes}");
        }
        assert_eq!([2, 3].map(|name| kept(&store, name).is_some()), [true, true]);
        assert_eq!(counted(&store, &acme), ONCE_BYTES_MAX + 1 - 100);
        tick();
        keep(&acme, 4, 101).await;
        assert_eq!([1, 2, 3, 4].map(|name| kept(&store, name).is_some()), [false, false, true, true]);
        assert_eq!((kept(&store, 9), counted(&store, &globex)), (Some(98), 100), "another organization's stays");
    }
}
