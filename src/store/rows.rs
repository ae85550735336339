//! Row numbers that were found for an organization.
//!
//! Rule: a [`SessionRow`] or a [`TurnRow`] comes out of a statement that binds the organization, or out of a join with
//! one; nothing outside this crate's SQL can create one. So a function that takes one cannot be called with a number
//! that someone made up.

use std::fmt;

use rusqlite::{
    Connection, ToSql,
    types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef},
};

/// SQLite's row number of a session; never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRow(i64);

/// SQLite's row number of a turn; never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnRow(i64);

impl SessionRow {
    /// Which comes before which.
    pub(super) fn number(self) -> i64 {
        self.0
    }
}

impl TurnRow {
    /// The row of the turn that was just inserted on this connection.
    pub(super) fn inserted(c: &Connection) -> Self {
        TurnRow(c.last_insert_rowid())
    }
}

impl FromSql for SessionRow {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(SessionRow)
    }
}

impl ToSql for SessionRow {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for TurnRow {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(TurnRow)
    }
}

impl ToSql for TurnRow {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

/// For cursors.
impl fmt::Display for SessionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// For the log.
impl fmt::Display for TurnRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        id,
        store::{
            Store, Tenant,
            decisions::Decider,
            messages::{NewMessage, Role},
            sessions::NewSession,
            turns::{Begun, EndedTurn, NewTurn, Outcome, Plan},
        },
    };

    /// A turn of the agent `ala`, which begins with `Hi`.
    async fn begin(store: &Store, tenant: &Tenant) -> Begun {
        let org = store.org(tenant);
        let new = NewTurn {
            id: id::generate(),
            session: NewSession::default(),
            agent_id: Some(org.agent("ala").unwrap().id),
            project_id: None,
            key_id: None,
            came: Default::default(),
            model: "demo/ala".into(),
            message_id: id::generate(),
            hold: None,
            decider: Decider { via: String::new(), is_owner: true, is_test: false },
            response: None,
            keep: std::time::Duration::ZERO,
        };
        let hi = NewMessage::new(Role::User, "Hi".into(), "[]".into());
        org.begin_turn(new, |_| Ok(Plan { insert: vec![hi], ..Plan::default() })).await.unwrap()
    }

    #[test]
    fn a_row_of_another_organization_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let [acme, globex] =
            ["acme", "globex"].map(|slug| store.create_org(slug, "a@example.com", None).unwrap().tenant());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let begun = begin(&store, &acme).await;
            let (turn, session) = (begun.turn, begun.session_row().unwrap());
            let ended = EndedTurn {
                turn,
                turn_id: begun.turn_id.clone(),
                session: Some(session),
                outcome: Outcome::Complete,
                message: None,
                input_tokens: 0,
                cache_read_tokens: 0,
                output_tokens: 0,
                cost: 0,
                cut: None,
                calls: Vec::new(),
                ending: None,
                noted: Default::default(),
            };
            let foreign = store.org(&globex);
            assert_eq!(foreign.content_bytes(session).unwrap(), 0);
            assert!(foreign.history(session, usize::MAX).unwrap().0.is_empty());
            assert!(foreign.stored_turn(turn).unwrap().is_none());
            foreign.journal(turn, 1, b"frames".to_vec(), Vec::new()).unwrap().await.unwrap().unwrap();
            foreign.end_turn(ended.clone()).await.unwrap();
            foreign.withdraw_turn(begun, Default::default()).await.unwrap();

            let org = store.org(&acme);
            assert_eq!(org.content_bytes(session).unwrap(), 2);
            assert_eq!(org.history(session, usize::MAX).unwrap().0.len(), 1);
            assert_eq!(org.stored_turn(turn).unwrap().unwrap().outcome, None, "it still runs");
            let orphan = &store.orphans().unwrap()[0];
            assert!(store.journal_of(orphan).unwrap().is_empty());
            org.journal(turn, 1, b"frames".to_vec(), Vec::new()).unwrap().await.unwrap().unwrap();
            assert_eq!(store.journal_of(orphan).unwrap(), b"frames");
            org.end_turn(ended).await.unwrap();
            assert_eq!(org.stored_turn(turn).unwrap().unwrap().outcome, Some(Outcome::Complete));
        });
    }
}
