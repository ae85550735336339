//! Requests that are to be done once: what was done, and what was answered.
//!
//! Rule: that a request was done is written in the commit that does it, so a crash leaves both or neither. What it was
//! answered is written after that; a crash between the two leaves a request that was done and whose answer is lost.
//! Of a chat the answer is its turn, which is stored anyway.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

pub use super::claim::{Claim, REMEMBERED};
use super::{
    Store, TurnRow,
    claim::{note, old},
};
use crate::error::Result;

/// What is remembered of a request that was done.
#[derive(Debug)]
pub struct Done {
    pub body_hash: [u8; 32],
    /// The turn that it began, if it is a chat.
    pub turn: Option<TurnRow>,
    /// Absent if it was not kept.
    pub answer: Option<Answer>,
}

/// What a request was answered.
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

    /// Keeps what a request was answered.
    pub async fn keep_answer(&self, claim: Claim, answer: Answer) -> Result<()> {
        let keep = move |c: &Connection| {
            note(c, &claim, None)?;
            c.prepare_cached(
                "UPDATE idempotency SET status = :status, headers = :headers, body = :body WHERE name = :name",
            )?
            .execute(named_params! {
                ":status": answer.status, ":headers": answer.headers, ":body": answer.body, ":name": claim.name,
            })?;
            Ok(())
        };
        self.writer.write(keep).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(name: u8) -> Claim {
        Claim { name: [name; 32], body_hash: [9; 32] }
    }

    async fn age(store: &Store) {
        let day = REMEMBERED.as_millis() as i64;
        let sql = "UPDATE idempotency SET created_at = created_at - ?1";
        store.writer.write(move |c| Ok(c.execute(sql, [day]).map(drop)?)).await.unwrap();
    }

    #[tokio::test]
    async fn a_request_is_remembered_for_a_day_and_then_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let answer = Answer { status: 201, headers: "{}".into(), body: b"made".to_vec() };
        for name in 0..3 {
            store.keep_answer(claim(name), answer.clone()).await.unwrap();
        }
        assert_eq!(store.done_request(&[1; 32]).unwrap().unwrap().answer, Some(answer));
        age(&store).await;
        assert!(store.done_request(&[1; 32]).unwrap().is_none());
        store.writer.write(|c| note(c, &claim(1), None)).await.unwrap();
        assert!(store.done_request(&[1; 32]).unwrap().unwrap().answer.is_none());
        let left: i64 =
            store.read(|c| Ok(c.query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0))?)).unwrap();
        assert_eq!(left, 1, "the old ones made way");
    }
}
