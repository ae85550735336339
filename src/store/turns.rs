//! Turns: what one commit begins and another ends.
//!
//! Rule: a turn begins whole (messages, turn, hold) or not at all, and ends whole (message, bill, status). What a posted
//! history means is not decided here: `begin_turn` asks its caller, inside the transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, SessionRow, Tenant, TurnRow,
    decisions::{self, CallView, Decider, Decision},
    ending::is_running,
    key_month, ledger,
    messages::{self, Message, NewMessage},
    requests::{self, Came, NewRequest, Noted},
    responses::{self, NewResponse},
    sessions::{self, NewSession, Session},
    versions, waiting,
};
pub use super::{ending::EndedTurn, outcome::Outcome};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// A turn to begin.
#[derive(Debug, Clone)]
pub struct NewTurn {
    pub id: String,
    /// The session's id, or what to make it of if there is none of that id.
    pub session: NewSession,
    /// Absent: a model is asked itself.
    pub agent_id: Option<String>,
    pub project_id: Option<String>,
    /// The key that asks, if it is one.
    pub key_id: Option<String>,
    pub came: Came,
    pub model: String,
    /// The message's id, unless the plan continues another.
    pub message_id: String,
    /// What a paid model may cost.
    pub hold: Option<Hold>,
    /// Who answers calls that wait.
    pub decider: Decider,
    /// What is kept of it as a response, if it is one.
    pub response: Option<NewResponse>,
    /// How long a session that is not kept for ever is kept from now on.
    pub keep: Duration,
}

/// How much of the balance to hold. Microcents.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// What the cheapest reply costs; less is a refusal.
    pub at_least: i64,
    /// What the dearest reply costs; the balance may have less.
    pub at_most: i64,
}

/// What a turn does to the history.
#[derive(Debug, Default)]
pub struct Plan {
    /// Messages from this row on are superseded.
    pub supersede_from: Option<i64>,
    /// What is new.
    pub insert: Vec<NewMessage>,
    /// The id of the message that is continued, if the reply is not a new one.
    pub continues: Option<String>,
    /// Answers to calls of that message.
    pub decisions: Vec<Decision>,
}

/// A session's history, as far as a plan asks about it.
pub struct HistoryView<'a> {
    connection: &'a Connection,
    session: SessionRow,
}

/// A turn that has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    pub turn: TurnRow,
    pub turn_id: String,
    /// Absent: nothing of it is stored.
    pub session: Option<Session>,
    /// Whether the session was made for this turn.
    pub session_is_new: bool,
    /// The message's id.
    pub message_id: String,
    /// What a continued message had before: a JSON array of parts, as text.
    pub continued_parts: Option<String>,
    /// Microcents.
    pub held: i64,
    /// Whether calls were answered or withdrawn by it: it cannot be undone.
    pub is_final: bool,
}

/// A turn as it is stored, with its message.
#[derive(Debug)]
pub struct StoredTurn {
    pub session_id: String,
    pub message_id: String,
    pub model: String,
    pub agent_id: Option<String>,
    /// Absent while it runs.
    pub outcome: Option<Outcome>,
    pub started_at: Timestamp,
    /// A JSON object, as text.
    pub metadata: String,
    /// A JSON array of parts, as text; absent if nothing was said.
    pub parts: Option<String>,
    /// The same of what the message had before, if it went on.
    pub continued_parts: Option<String>,
}

impl HistoryView<'_> {
    /// The calls of a message, in the order in which they were asked.
    pub fn calls(&self, message_id: &str) -> Result<Vec<CallView>> {
        decisions::views(self.connection, self.session, Some(message_id), None)
    }

    /// The message of that id.
    pub fn message(&self, id: &str) -> Result<Option<Message>> {
        messages::find(self.connection, self.session, id)
    }

    /// Its messages, oldest first, as long as `each` wants more of them.
    pub fn each(&self, each: impl FnMut(Message) -> Result<bool>) -> Result<()> {
        messages::each(self.connection, self.session, each)
    }

    /// The last message.
    pub fn last(&self) -> Result<Option<Message>> {
        messages::last(self.connection, self.session)
    }
}

impl Org<'_> {
    /// Begins a turn: session if need be, messages, turn and hold in one commit.
    pub async fn begin_turn(
        &self,
        new: NewTurn,
        plan: impl FnOnce(&HistoryView<'_>) -> Result<Plan> + Send + 'static,
    ) -> Result<Begun> {
        self.write_turn(move |c, tenant| begin(c, tenant, new, plan), |begun| Some(begun.turn)).await
    }

    /// Holds more of the balance for a running turn; returns how much.
    pub async fn hold_more(&self, turn_id: String, model: String, hold: Hold) -> Result<i64> {
        self.write(move |c, tenant| {
            if !is_running(c, &tenant.org_id, &turn_id)? {
                return Err(Error::Conflict("this reply has ended: its hold cannot grow".into()));
            }
            take_hold(c, &tenant.org_id, &turn_id, &model, hold)
        })
        .await
    }

    /// Undoes a turn that failed before its first byte, as if it had never been asked for. The ledger alone
    /// remembers. One that has ended already stays as it ended.
    pub async fn withdraw_turn(&self, begun: Begun, noted: Noted) -> Result<()> {
        self.write(move |c, tenant| {
            if !is_running(c, &tenant.org_id, &begun.turn_id)? {
                return Ok(());
            }
            let turn = begun.turn;
            c.execute("DELETE FROM message WHERE turn = ?1", [turn])?;
            c.execute("UPDATE message SET superseded_by = NULL WHERE superseded_by = ?1", [turn])?;
            ledger::settle(c, &tenant.org_id, &begun.turn_id, 0)?;
            c.execute("DELETE FROM turn_journal WHERE turn = ?1", [turn])?;
            c.execute("DELETE FROM response WHERE turn = ?1", [turn])?;
            c.execute("DELETE FROM turn WHERE seq = ?1", [turn])?;
            requests::refuse(c, &begun.turn_id, &noted)?;
            let Some(Session { seq: session, status, agent_id, .. }) = &begun.session else { return Ok(()) };
            if begun.session_is_new {
                // A branch began with a copy of another's history.
                c.execute("DELETE FROM message WHERE session = ?1", [session])?;
                c.execute("DELETE FROM session WHERE seq = ?1", [session])?;
                return Ok(());
            }
            // An interrupted session stays one, and one that no agent was bound to may choose again.
            sessions::leave(c, *session, *status)?;
            c.execute("UPDATE session SET agent_id = ?2 WHERE seq = ?1", (session, agent_id))?;
            Ok(())
        })
        .await
    }

    /// A turn of the organization, with its message.
    pub fn stored_turn(&self, turn: TurnRow) -> Result<Option<StoredTurn>> {
        self.read(|c| {
            // A message that went on has two rows of this turn: what it began with, and what it became.
            let mut statement = c.prepare_cached(
                "SELECT s.id, t.message_id, t.model, t.agent_id, nullif(t.status, 'running'), t.started_at, last.metadata, last.parts,
                     CASE WHEN first.seq <> last.seq THEN first.parts END
                 FROM turn t JOIN session s ON s.seq = t.session
                 LEFT JOIN message last ON last.seq = (SELECT max(seq) FROM message WHERE turn = t.seq AND id = t.message_id)
                 LEFT JOIN message first ON first.seq = (SELECT min(seq) FROM message WHERE turn = t.seq AND id = t.message_id)
                 WHERE t.seq = :turn AND t.org_id = :org",
            )?;
            let stored = |row: &Row<'_>| {
                Ok(StoredTurn {
                    session_id: row.get(0)?,
                    message_id: row.get(1)?,
                    model: row.get(2)?,
                    agent_id: row.get(3)?,
                    outcome: row.get(4)?,
                    started_at: Timestamp::from_millis(row.get(5)?),
                    metadata: row.get::<_, Option<String>>(6)?.unwrap_or_else(|| "{}".into()),
                    parts: row.get(7)?,
                    continued_parts: row.get(8)?,
                })
            };
            let parameters = named_params! { ":turn": turn, ":org": self.tenant.org_id };
            Ok(statement.query_row(parameters, stored).optional()?)
        })
    }

    /// Bytes of text in a session's history, to guess a prompt's price by.
    pub fn content_bytes(&self, session: SessionRow) -> Result<u64> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT coalesce(sum(octet_length(content)), 0) FROM message
                 WHERE session = (SELECT seq FROM session WHERE seq = :session AND org_id = :org)
                     AND superseded_by IS NULL",
            )?;
            let parameters = named_params! { ":session": session, ":org": self.tenant.org_id };
            Ok(statement.query_row(parameters, |row| row.get::<_, i64>(0))?.unsigned_abs())
        })
    }
}

/// Begins a turn inside a transaction.
pub(super) fn begin(
    c: &Connection,
    tenant: &Tenant,
    new: NewTurn,
    plan: impl FnOnce(&HistoryView<'_>) -> Result<Plan>,
) -> Result<Begun> {
    let (session, session_is_new) = session_of(c, tenant, &new)?;
    let plan = plan(&HistoryView { connection: c, session: session.seq })?;
    let continued = plan.continues.and_then(|id| plan.insert.iter().find(|message| message.id == id));
    let message_id = continued.map_or(&new.message_id, |message| &message.id).clone();
    let continued_parts = continued.map(|message| message.parts.clone());
    let turn = insert(c, tenant, &new, &session, &message_id)?;
    if let Some(response) = &new.response {
        responses::insert(c, turn, session.seq, response)?;
    }
    for decision in &plan.decisions {
        decisions::record(c, tenant, session.seq, decision, &new.decider, Some(turn))?;
    }
    let goes_on = continued.map(|message| &*message.id);
    let taken_up = goes_on.map_or(Ok(0), |id| decisions::take_up(c, session.seq, id, turn))?;
    let withdrawn = waiting::withdraw(c, session.seq, goes_on, Some(turn))?;
    if let Some(seq) = plan.supersede_from {
        messages::supersede_from(c, session.seq, seq, turn)?;
    }
    versions::begin(c, session.seq, turn, &plan.insert)?;
    let held = new.hold.map_or(Ok(0), |hold| take_hold(c, &tenant.org_id, &new.id, &new.model, hold))?;
    let is_final = taken_up + withdrawn + plan.decisions.len() > 0;
    let (turn_id, session) = (new.id, Some(session));
    Ok(Begun { turn, turn_id, session, session_is_new, message_id, continued_parts, held, is_final })
}

fn session_of(c: &Connection, tenant: &Tenant, new: &NewTurn) -> Result<(Session, bool)> {
    if let Some(previous) = new.response.as_ref().and_then(|response| response.previous) {
        return responses::session_after(c, tenant, previous, &new.session);
    }
    let known = match &new.session.id {
        Some(id) => sessions::find(c, tenant, id)?,
        None => None,
    };
    match known {
        None => Ok((sessions::insert(c, tenant, &new.session)?, true)),
        Some(session) => {
            sessions::refuse_running(c, session.seq)?;
            Ok((session, false))
        }
    }
}

fn insert(c: &Connection, tenant: &Tenant, new: &NewTurn, session: &Session, message_id: &str) -> Result<TurnRow> {
    let now = Timestamp::now().as_millis();
    c.prepare_cached(
        "INSERT INTO turn (id, org_id, session, user_id, agent_id, project_id, model, message_id, status, started_at, key_id)
         VALUES (:id, :org, :session, :user, :agent, :project, :model, :message, 'running', :now, :key)",
    )?
    .execute(named_params! {
        ":id": new.id, ":org": tenant.org_id, ":session": session.seq, ":user": tenant.user_id, ":agent": new.agent_id,
        ":project": new.project_id, ":model": new.model, ":message": message_id, ":now": now, ":key": new.key_id,
    })?;
    let turn = TurnRow::inserted(c);
    let request = NewRequest {
        turn_id: &new.id,
        came: &new.came,
        key_id: new.key_id.as_deref(),
        agent_id: new.agent_id.as_deref(),
        model: &new.model,
        session_id: Some(&session.id),
    };
    requests::begin(c, tenant, &request)?;
    c.prepare_cached(
        "UPDATE session SET status = 'running', updated_at = :now, agent_id = coalesce(agent_id, :agent),
             project_id = coalesce(project_id, :project), kept_until = CASE WHEN kept_until IS NOT NULL THEN :kept END
         WHERE seq = :session",
    )?
    .execute(named_params! {
        ":now": now, ":kept": now.saturating_add(new.keep.as_millis() as i64), ":agent": new.agent_id, ":project": new.project_id, ":session": session.seq,
    })?;
    Ok(turn)
}

/// Holds as much as there is, and as its key may spend, up to the most that is asked for; less than the least is a refusal.
pub(super) fn take_hold(c: &Connection, org_id: &str, turn_id: &str, model: &str, hold: Hold) -> Result<i64> {
    let available = ledger::available(c, org_id)?;
    if available < hold.at_least {
        return Err(Error::PaymentRequired { balance: available, model: model.to_owned() });
    }
    let left = key_month::left(c, turn_id, hold.at_least)?.unwrap_or(available);
    let held = hold.at_most.min(available).min(left).max(0);
    // A turn that holds enough already and asks for more continues with what it has.
    if held == 0 {
        return Ok(0);
    }
    ledger::reserve(c, org_id, turn_id, held)?;
    Ok(held)
}
