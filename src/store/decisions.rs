//! What people answer calls that wait for them, and what becomes of those that nobody answered.
//!
//! Rule: an answer is given once, inside the transaction that acts on it; the same answer again changes nothing, and the other
//! one is refused. All waiting calls of a message are answered before its conversation goes on.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Org, SessionRow, Store, Tenant, TurnRow,
    tool_calls::{CallStatus, ToolCall},
    waiting,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Days a person has to answer a call.
pub const APPROVAL_DAYS_MAX: i64 = 7;
/// Characters of a reason.
pub const REASON_CHARS_MAX: usize = 1_000;
/// Milliseconds of a day.
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A person's answer to one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The call's id.
    pub id: String,
    pub approved: bool,
    /// Why not, for the model.
    pub reason: Option<String>,
    /// Whether later calls of that tool in that session need no answer.
    pub remember: bool,
}

/// Who answers, and how they came: a key's id, `sign-in` or `command line`.
#[derive(Debug, Clone, PartialEq)]
pub struct Decider {
    pub via: String,
    /// Whether it is an owner at a browser, or whoever runs the machine.
    pub is_owner: bool,
    /// Whether it is a test key: what it allows costs nothing, or is not done.
    pub is_test: bool,
}

/// A decision of the inbox.
#[derive(Debug, Clone)]
pub struct Decided {
    pub call: ToolCall,
    /// Calls of the same session that still wait.
    pub remaining: i64,
}

/// A session whose waiting calls are all answered, and whose conversation can go on.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The organization, and the person who answered last.
    pub tenant: Tenant,
    pub session_id: String,
    /// The model of the turn that asked.
    pub model: String,
    /// The key that answered last, if it was one.
    pub key_id: Option<String>,
    /// Whether a test key was among those that answered.
    pub is_test: bool,
}

/// A call of a message, as a plan asks about it.
#[derive(Debug, Clone)]
pub struct CallView {
    pub id: String,
    pub call_id: String,
    pub tool: String,
    pub status: CallStatus,
    pub needs_owner: bool,
    pub asked_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<String>,
    pub decided_turn: Option<TurnRow>,
    pub reason: Option<String>,
}

/// When a call that was asked then can be answered no more.
pub fn expires_at(asked_at: Timestamp) -> Timestamp {
    Timestamp::from_millis(asked_at.as_millis() + APPROVAL_DAYS_MAX * DAY_MILLIS)
}

impl CallView {
    /// Whether it was asked too long ago to be answered.
    pub fn is_expired(&self) -> bool {
        Timestamp::now() > expires_at(self.asked_at)
    }

    /// What keeps this answer from being given; `None`: nothing, or it was given already.
    pub fn refuse(&self, approved: bool, decider: &Decider) -> Option<Error> {
        let conflict = |text: String| Some(Error::Conflict(text));
        match self.status {
            CallStatus::Waiting if self.is_expired() => {
                conflict(format!("This call was asked more than {APPROVAL_DAYS_MAX} days ago: ask again."))
            }
            CallStatus::Waiting if self.needs_owner && approved && !decider.is_owner => {
                Some(Error::forbidden("this call waits for an owner at a browser"))
            }
            CallStatus::Waiting => None,
            CallStatus::Withdrawn => conflict("The conversation went on without this call.".into()),
            CallStatus::Denied if approved => conflict(self.was("denied")),
            CallStatus::Approved | CallStatus::Called | CallStatus::Done | CallStatus::Failed | CallStatus::Unknown
                if !approved =>
            {
                conflict(self.was("allowed"))
            }
            _ => None,
        }
    }

    fn was(&self, answer: &str) -> String {
        let at = self.decided_at.map(|at| at.to_string().get(11..16).unwrap_or_default().to_owned());
        let at = at.map_or_else(String::new, |at| format!(" at {at} UTC"));
        let by = self.decided_by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        format!("This call was {answer}{at}{by}: its answer cannot change.")
    }
}

impl Org<'_> {
    /// The calls of those ids, as a person who answers them sees them.
    pub fn decided_calls(&self, session: SessionRow, ids: &[String]) -> Result<Vec<CallView>> {
        self.read(|c| {
            let mut found = Vec::new();
            for id in ids {
                found.extend(views(c, session, None, Some(id))?);
            }
            Ok(found)
        })
    }

    /// The model that asked for the last call of a session.
    pub fn asking_model(&self, session: SessionRow) -> Result<Option<String>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT r.model FROM tool_call t JOIN turn r ON r.seq = t.turn
                 WHERE t.session = :session AND t.org_id = :org ORDER BY t.seq DESC LIMIT 1",
            )?;
            let parameters = named_params! { ":session": session, ":org": self.tenant.org_id };
            Ok(statement.query_row(parameters, |row| row.get(0)).optional()?)
        })
    }

    /// Answers one call. Its message changes only with the turn that goes on.
    pub async fn decide(&self, decision: Decision, decider: Decider) -> Result<Decided> {
        // Whether the person may see it.
        let call = self.tool_call(&decision.id)?;
        let id = call.id.clone();
        let remaining = self
            .write(move |c, tenant| {
                let session: SessionRow = c.query_row(
                    "SELECT session FROM tool_call WHERE id = ?1 AND org_id = ?2",
                    (&decision.id, &tenant.org_id),
                    |row| row.get(0),
                )?;
                let view = views(c, session, None, Some(&decision.id))?.pop().ok_or(Error::NotFound("approval"))?;
                match view.refuse(decision.approved, &decider) {
                    Some(error) if view.status == CallStatus::Waiting && view.is_expired() => {
                        return Ok(Err(withdraw_one(c, &view.id).map_or_else(|other| other, |()| error)));
                    }
                    Some(error) => return Err(error),
                    None => {}
                }
                if view.status == CallStatus::Waiting {
                    record(c, tenant, session, &decision, &decider, None)?;
                }
                Ok(Ok(waiting::waiting(c, session)?))
            })
            .await??;
        Ok(Decided { call: self.tool_call(&id)?, remaining })
    }
}

impl Store {
    /// The sessions whose waiting calls are all answered and whose conversation has not gone on yet.
    pub fn answered(&self) -> Result<Vec<Answered>> {
        self.read(|c| {
            // Beside `max`, SQLite takes the other columns from the row that has it.
            let mut statement = c.prepare_cached(
                "SELECT t.org_id, coalesce(t.decided_by, s.user_id), s.id, r.model, k.id, total(k.env = 'test') > 0, max(t.decided_at)
                 FROM tool_call t JOIN session s ON s.seq = t.session JOIN turn r ON r.seq = t.turn
                     LEFT JOIN api_key k ON k.id = t.decided_via
                 WHERE t.decided_at IS NOT NULL AND t.decided_turn IS NULL AND t.status IN ('approved', 'denied')
                     AND s.status = 'awaiting_approval' AND s.deleted_at IS NULL
                     AND NOT EXISTS (SELECT 1 FROM tool_call w WHERE w.session = t.session AND w.status = 'waiting')
                 GROUP BY t.session",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(Answered {
                    tenant: Tenant { org_id: row.get(0)?, user_id: row.get(1)? },
                    session_id: row.get(2)?,
                    model: row.get(3)?,
                    key_id: row.get(4)?,
                    is_test: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Writes an answer down inside a transaction, with the turn that acts on it if there is one.
pub(super) fn record(
    c: &Connection,
    tenant: &Tenant,
    session: SessionRow,
    decision: &Decision,
    decider: &Decider,
    turn: Option<TurnRow>,
) -> Result<()> {
    let status = if decision.approved { CallStatus::Approved } else { CallStatus::Denied };
    let changed = c
        .prepare_cached(
            "UPDATE tool_call SET status = :status, decided_at = :now, decided_by = :by, decided_via = :via,
                 decided_turn = :turn, reason = :reason
             WHERE id = :id AND org_id = :org AND session = :session AND status = 'waiting'",
        )?
        .execute(named_params! {
            ":id": decision.id, ":org": tenant.org_id, ":session": session, ":status": status,
            ":now": Timestamp::now().as_millis(), ":by": tenant.user_id, ":via": decider.via, ":turn": turn,
            ":reason": decision.reason,
        })?;
    if changed != 1 {
        return Err(Error::Conflict("this call does not wait any more: read the conversation again".into()));
    }
    // Who remembers it may be a live key, and what it does then costs money.
    if decision.approved && decision.remember && !decider.is_test {
        c.prepare_cached(
            "INSERT OR IGNORE INTO tool_grant (session, tool, fingerprint)
             SELECT session, tool, fingerprint FROM tool_call WHERE id = ?1 AND policy <> 'owner'",
        )?
        .execute([&decision.id])?;
    }
    Ok(())
}

/// Notes that a turn acts on the answers that the calls of its message got before it.
pub(super) fn take_up(c: &Connection, session: SessionRow, message_id: &str, turn: TurnRow) -> Result<usize> {
    let taken = c
        .prepare_cached(
            "UPDATE tool_call SET decided_turn = :turn
             WHERE session = :session AND message_id = :message
                 AND (status IN ('approved', 'called') OR status = 'denied' AND decided_turn IS NULL)",
        )?
        .execute(named_params! { ":session": session, ":message": message_id, ":turn": turn })?;
    Ok(taken)
}

fn withdraw_one(c: &Connection, id: &str) -> Result<()> {
    c.execute(
        "UPDATE tool_call SET status = 'withdrawn', ended_at = ?2 WHERE id = ?1 AND status = 'waiting'",
        (id, Timestamp::now().as_millis()),
    )?;
    Ok(())
}

/// Calls of a session: those of a message, the one of an id, or all.
pub(super) fn views(
    c: &Connection,
    session: SessionRow,
    message_id: Option<&str>,
    id: Option<&str>,
) -> Result<Vec<CallView>> {
    let mut statement = c.prepare_cached(
        "SELECT t.id, t.call_id, t.tool, t.status, t.policy = 'owner', t.asked_at, t.decided_at, u.email, t.decided_turn, t.reason
         FROM tool_call t LEFT JOIN user u ON u.id = t.decided_by
         WHERE t.session = :session AND (:message IS NULL OR t.message_id = :message) AND (:id IS NULL OR t.id = :id)
         ORDER BY t.seq",
    )?;
    let rows =
        statement.query_map(named_params! { ":session": session, ":message": message_id, ":id": id }, |row| {
            Ok(CallView {
                id: row.get(0)?,
                call_id: row.get(1)?,
                tool: row.get(2)?,
                status: row.get(3)?,
                needs_owner: row.get(4)?,
                asked_at: Timestamp::from_millis(row.get(5)?),
                decided_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
                decided_by: row.get(7)?,
                decided_turn: row.get(8)?,
                reason: row.get(9)?,
            })
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
