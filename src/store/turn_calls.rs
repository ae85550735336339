//! Calls of a turn that runs: written down before they do.
//!
//! Rule: all calls of a step are one commit, and a turn that has ended makes none.

use rusqlite::{Connection, named_params};

use super::{
    Org, SessionRow, TurnRow, ending,
    tool_calls::{CallStatus, Origin},
    tools::Policy,
    turns::Begun,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Calls of one organization that may wait for a person.
pub const APPROVALS_WAITING_MAX: i64 = 1_000;

/// A call to be written down: it waits for a person, or it is about to run.
#[derive(Debug, Clone)]
pub struct NewCall {
    pub id: String,
    pub call_id: String,
    pub tool: String,
    pub origin: Origin,
    pub fingerprint: [u8; 32],
    /// JSON, as text.
    pub input: String,
    pub input_hash: [u8; 32],
    pub policy: Policy,
    pub is_idempotent: bool,
    /// Whether a person is to allow it; else it is called.
    pub waits: bool,
    /// Microcents, of one that is called.
    pub cost: i64,
}

/// A call that was allowed and is about to run.
#[derive(Debug, Clone)]
pub struct StartedCall {
    pub id: String,
    pub is_idempotent: bool,
    /// Microcents, of one that was not made before.
    pub cost: i64,
}

impl Org<'_> {
    /// Writes down the calls of a step, in one commit, before any of them runs. Answers which may not wait, since too many do.
    pub async fn open_calls(&self, begun: &Begun, calls: Vec<NewCall>) -> Result<Vec<String>> {
        let (turn, turn_id, session) = (begun.turn, begun.turn_id.clone(), begun.session_row());
        let message_id = begun.message_id.clone();
        self.write(move |c, tenant| {
            refuse_ended(c, &tenant.org_id, &turn_id)?;
            let mut waiting: i64 = c
                .prepare_cached("SELECT count(*) FROM tool_call WHERE org_id = ?1 AND status = 'waiting'")?
                .query_row([&tenant.org_id], |row| row.get(0))?;
            let mut refused = Vec::new();
            for call in calls {
                if call.waits && waiting >= APPROVALS_WAITING_MAX {
                    refused.push(call.id);
                    continue;
                }
                waiting += i64::from(call.waits);
                insert(c, &tenant.org_id, session, turn, &message_id, &call)?;
            }
            Ok(refused)
        })
        .await
    }

    /// Notes, in one commit, that these allowed calls are about to run.
    pub async fn start_calls(&self, begun: &Begun, calls: Vec<StartedCall>) -> Result<()> {
        let (turn, turn_id) = (begun.turn, begun.turn_id.clone());
        self.write(move |c, tenant| {
            refuse_ended(c, &tenant.org_id, &turn_id)?;
            for call in calls {
                // One that is made again after a crash is called already, and paid for.
                c.prepare_cached(
                    "UPDATE tool_call SET status = 'called', called_at = :now, called_turn = :turn, idempotent = :idempotent,
                         cost = :cost
                     WHERE id = :id AND org_id = :org AND status = 'approved'",
                )?
                .execute(named_params! {
                    ":id": call.id, ":org": tenant.org_id, ":now": Timestamp::now().as_millis(), ":turn": turn,
                    ":idempotent": call.is_idempotent, ":cost": call.cost,
                })?;
            }
            Ok(())
        })
        .await
    }
}

fn insert(
    c: &Connection,
    org_id: &str,
    session: Option<SessionRow>,
    turn: TurnRow,
    message_id: &str,
    call: &NewCall,
) -> Result<()> {
    let now = Timestamp::now().as_millis();
    c.prepare_cached(
        "INSERT INTO tool_call (id, org_id, session, turn, message_id, call_id, tool, origin, fingerprint, input_hash, policy,
             idempotent, status, asked_at, called_at, called_turn, cost, input)
         VALUES (:id, :org, :session, :turn, :message, :call, :tool, :origin, :fingerprint, :hash, :policy, :idempotent, :status,
             :now, CASE :status WHEN 'called' THEN :now END, CASE :status WHEN 'called' THEN :turn END, :cost, :input)",
    )?
    .execute(named_params! {
        ":id": call.id, ":org": org_id, ":session": session, ":turn": turn, ":message": message_id, ":call": call.call_id,
        ":tool": call.tool, ":origin": call.origin, ":fingerprint": call.fingerprint, ":hash": call.input_hash,
        ":policy": call.policy, ":idempotent": call.is_idempotent,
        ":status": if call.waits { CallStatus::Waiting } else { CallStatus::Called },
        ":now": now, ":cost": if call.waits { 0 } else { call.cost },
        // Of a turn that is not stored no word is.
        ":input": session.map(|_| &call.input),
    })?;
    Ok(())
}

/// A call whose turn has ended must not begin.
fn refuse_ended(c: &Connection, org_id: &str, turn_id: &str) -> Result<()> {
    if ending::is_running(c, org_id, turn_id)? {
        return Ok(());
    }
    Err(Error::Conflict("this reply has ended: its tools are not run".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id,
        store::{
            Store,
            decisions::{self, Decider, Decision},
            sessions::NewSession,
            tool_calls::CallFilter,
            turns::{NewTurn, Plan},
        },
    };

    fn anyone() -> Decider {
        Decider { via: "sign-in".into(), is_owner: true, is_test: false }
    }

    fn call(n: i64) -> NewCall {
        NewCall {
            id: id::generate(),
            call_id: format!("c{n}"),
            tool: "t".into(),
            origin: Origin::Http,
            fingerprint: [0; 32],
            input: "{}".into(),
            input_hash: [0; 32],
            policy: Policy::Ask,
            is_idempotent: false,
            waits: true,
            cost: 0,
        }
    }

    #[tokio::test]
    async fn so_many_calls_wait_for_so_many_days() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 1).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let org = store.org(&tenant);
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
            decider: anyone(),
            response: None,
            keep: std::time::Duration::ZERO,
        };
        let begun = org.begin_turn(new, |_| Ok(Plan::default())).await.unwrap();
        let calls: Vec<_> = (0..APPROVALS_WAITING_MAX + 1).map(call).collect();
        let last = calls.last().unwrap().id.clone();
        assert_eq!(
            org.open_calls(&begun, calls).await.unwrap(),
            [last],
            "one over the bound of {APPROVALS_WAITING_MAX}"
        );
        let waiting = org.tool_calls(&CallFilter::default(), 2, None).unwrap().items;
        let file = rusqlite::Connection::open(folder.path().join("alm.db")).unwrap();
        for (call, days, answered) in
            [(&waiting[0], decisions::APPROVAL_DAYS_MAX, false), (&waiting[1], decisions::APPROVAL_DAYS_MAX - 1, true)]
        {
            let age = days * 24 * 60 * 60 * 1_000 + 1;
            file.execute("UPDATE tool_call SET asked_at = asked_at - ?1 WHERE id = ?2", (age, &call.id)).unwrap();
            let decision = Decision { id: call.id.clone(), approved: true, reason: None, remember: false };
            assert_eq!(org.decide(decision, anyone()).await.is_ok(), answered, "{days}");
        }
        assert_eq!(org.tool_call(&waiting[0].id).unwrap().status, CallStatus::Withdrawn);
    }
}
