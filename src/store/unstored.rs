//! Turns that are not stored: their bill is, and no word of them.
//!
//! Rule: such a turn has a row and entries in the ledger, and no session, message or journal. What a crash leaves of it is how many
//! tokens it had by then.

use rusqlite::{Connection, named_params};

use super::{
    Answered, Org, SessionRow, Tenant, TurnRow,
    requests::{self, Came, NewRequest},
    turns::{Begun, Hold, take_hold},
    words::words,
};
use crate::{error::Result, time::Timestamp};

words! {
    /// What a turn makes.
    pub enum TurnKind {
        /// A reply.
        Chat = "chat",
        /// Vectors of texts.
        Embedding = "embedding",
    }
}

/// A turn to begin, without a session.
#[derive(Debug, Clone)]
pub struct NewUnstored {
    pub id: String,
    /// Absent: a model is asked itself.
    pub agent_id: Option<String>,
    pub project_id: Option<String>,
    /// The key that asks, if it is one.
    pub key_id: Option<String>,
    pub came: Came,
    pub model: String,
    /// What its reply is called.
    pub message_id: String,
    pub kind: TurnKind,
    /// The prompt's tokens, if a crash before the first count is to be charged for them.
    pub input_tokens: u64,
    /// What a paid model may cost.
    pub hold: Option<Hold>,
}

/// Tokens so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub output_tokens: u64,
}

impl Begun {
    /// The id of its session; empty if it is not stored.
    pub fn session_id(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.id)
    }

    /// The row of its session, if it is stored.
    pub fn session_row(&self) -> Option<SessionRow> {
        self.session.as_ref().map(|session| session.seq)
    }
}

impl Org<'_> {
    /// Begins a turn that is not stored: its row and its hold in one commit.
    pub async fn begin_unstored(&self, new: NewUnstored) -> Result<Begun> {
        self.write_turn(move |c, tenant| begin(c, tenant, new), |begun| Some(begun.turn)).await
    }

    /// Keeps how many tokens a running turn has, with the next commit: what it is charged for after a crash.
    pub fn count_turn(&self, turn: TurnRow, counts: Counts) -> Result<Answered<()>> {
        let org_id = self.tenant.org_id.clone();
        self.store.writer.submit(move |c| {
            c.prepare_cached(
                "UPDATE turn SET input_tokens = :input, cache_read_tokens = :cached, output_tokens = :output
                 WHERE seq = :turn AND org_id = :org AND status = 'running'",
            )?
            .execute(named_params! {
                ":input": counts.input_tokens as i64, ":cached": counts.cache_read_tokens as i64,
                ":output": counts.output_tokens as i64, ":turn": turn, ":org": org_id,
            })?;
            Ok(())
        })
    }
}

fn begin(c: &Connection, tenant: &Tenant, new: NewUnstored) -> Result<Begun> {
    c.prepare_cached(
        "INSERT INTO turn (id, org_id, session, user_id, agent_id, project_id, model, message_id, kind, status, started_at, input_tokens, key_id)
         VALUES (:id, :org, NULL, :user, :agent, :project, :model, :message, :kind, 'running', :now, :input, :key)",
    )?
    .execute(named_params! {
        ":id": new.id, ":org": tenant.org_id, ":user": tenant.user_id, ":agent": new.agent_id, ":project": new.project_id,
        ":model": new.model, ":message": new.message_id, ":kind": new.kind, ":now": Timestamp::now().as_millis(),
        ":input": new.input_tokens as i64, ":key": new.key_id,
    })?;
    let turn = TurnRow::inserted(c);
    let request = NewRequest {
        turn_id: &new.id,
        came: &new.came,
        key_id: new.key_id.as_deref(),
        agent_id: new.agent_id.as_deref(),
        model: &new.model,
        session_id: None,
    };
    requests::begin(c, tenant, &request)?;
    let held = new.hold.map_or(Ok(0), |hold| take_hold(c, &tenant.org_id, &new.id, &new.model, hold))?;
    Ok(Begun {
        turn,
        turn_id: new.id,
        session: None,
        session_is_new: false,
        message_id: new.message_id,
        continued_parts: None,
        held,
        is_final: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Error,
        id,
        store::{
            Store,
            turns::{EndedTurn, Outcome},
        },
    };

    struct World {
        store: Store,
        tenant: Tenant,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn with(balance: i64) -> World {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), 1).unwrap();
            let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
            store.org(&tenant).deposit(balance, String::new()).await.unwrap();
            World { store, tenant, _folder: folder }
        }

        fn org(&self) -> Org<'_> {
            self.store.org(&self.tenant)
        }

        async fn begin(&self, most: i64) -> Result<Begun> {
            let hold = Some(Hold { at_least: 10, at_most: most });
            let (id, message_id) = (id::generate(), id::generate());
            let (agent_id, project_id, model, kind) = (None, None, "p/m".into(), TurnKind::Embedding);
            self.org()
                .begin_unstored(NewUnstored {
                    id,
                    agent_id,
                    project_id,
                    key_id: None,
                    came: Came::default(),
                    model,
                    message_id,
                    kind,
                    input_tokens: 0,
                    hold,
                })
                .await
        }

        fn is_sound(&self) -> bool {
            self.store.audit().unwrap().is_sound()
        }
    }

    fn ended(begun: &Begun, cost: i64) -> EndedTurn {
        EndedTurn {
            turn: begun.turn,
            turn_id: begun.turn_id.clone(),
            session: None,
            outcome: Outcome::Complete,
            message: None,
            input_tokens: 3,
            cache_read_tokens: 1,
            output_tokens: 2,
            cost,
            cut: None,
            calls: Vec::new(),
            ending: None,
            noted: Default::default(),
        }
    }

    #[tokio::test]
    async fn it_is_held_for_counted_and_charged_and_many_run_at_once() {
        let world = World::with(100).await;
        let (one, other) = (world.begin(60).await.unwrap(), world.begin(60).await.unwrap());
        assert_eq!((one.held, other.held), (60, 40));
        assert!(matches!(world.begin(60).await, Err(Error::PaymentRequired { balance: 0, .. })));
        assert_eq!(world.store.orphans().unwrap().len(), 2);
        world.org().end_turn(ended(&one, 7)).await.unwrap();
        // A second end changes nothing.
        world.org().end_turn(ended(&one, 50)).await.unwrap();
        world.org().withdraw_turn(other, Default::default()).await.unwrap();
        assert!(world.is_sound() && world.store.orphans().unwrap().is_empty());
        let usage = world.org().usage(Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX)).unwrap();
        assert_eq!((usage.turns, usage.input_tokens, usage.output_tokens, usage.cost), (1, 3, 2, 7));
        assert!(world.org().stored_turn(one.turn).unwrap().is_none(), "there is nothing to tell again");
        let sessions = world.org().sessions(&Default::default(), 10, None).unwrap();
        assert!(sessions.items.is_empty());
    }

    #[tokio::test]
    async fn a_crash_leaves_its_counts_and_nothing_else() {
        let world = World::with(100).await;
        let begun = world.begin(60).await.unwrap();
        let counts = Counts { input_tokens: 5, cache_read_tokens: 1, output_tokens: 4 };
        world.org().count_turn(begun.turn, counts).unwrap().await.unwrap().unwrap();
        let orphan = world.store.orphans().unwrap().remove(0);
        assert_eq!((orphan.session, orphan.counts, orphan.held), (None, counts, 60));
        assert!(world.is_sound(), "what was counted is not charged as yet");
        world.org().end_turn(ended(&begun, 9)).await.unwrap();
        // One that comes after the end counts nothing.
        world.org().count_turn(begun.turn, Counts::default()).unwrap().await.unwrap().unwrap();
        let usage = world.org().usage(Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX)).unwrap();
        assert_eq!((usage.input_tokens, usage.cost), (3, 9));
    }
}
