//! How a turn ends: whole (message, bill, status), in one commit.

use rusqlite::{Connection, named_params};

use super::{
    Org, SessionRow, TurnRow, ledger,
    messages::NewMessage,
    outcome::Outcome,
    requests::{self, Noted},
    responses, sessions,
    tool_calls::{self, EndedCall},
    versions, waiting,
};
use crate::{error::Result, time::Timestamp};

/// How a turn ended.
#[derive(Debug, Clone)]
pub struct EndedTurn {
    pub turn: TurnRow,
    pub turn_id: String,
    /// Absent: nothing of it is stored.
    pub session: Option<SessionRow>,
    pub outcome: Outcome,
    /// The message; absent if there is nothing to keep.
    pub message: Option<NewMessage>,
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub output_tokens: u64,
    /// What it cost. Microcents.
    pub cost: i64,
    /// The first message that the model was still sent, if that has changed: a row number.
    pub cut: Option<i64>,
    /// How calls ended that are not known to have.
    pub calls: Vec<EndedCall>,
    /// How it ended, if it is a response: a JSON object, as text.
    pub ending: Option<String>,
    /// What the log notes of it.
    pub noted: Noted,
}

impl Org<'_> {
    /// Ends a turn. One that has ended already stays as it ended.
    pub async fn end_turn(&self, ended: EndedTurn) -> Result<()> {
        self.write(move |c, tenant| end(c, &tenant.org_id, &ended)).await
    }
}

/// Whether a turn is still to be ended. By its id: the row number of one that was withdrawn is given again.
pub(super) fn is_running(c: &Connection, org_id: &str, turn_id: &str) -> Result<bool> {
    let mut statement =
        c.prepare_cached("SELECT 1 FROM turn WHERE id = :id AND org_id = :org AND status = 'running'")?;
    Ok(statement.exists(named_params! { ":id": turn_id, ":org": org_id })?)
}

/// Ends a turn inside a transaction.
pub(super) fn end(c: &Connection, org_id: &str, ended: &EndedTurn) -> Result<()> {
    // A commit whose failure was reported may have reached the disk all the same: a caller that tries again is not charged
    // twice.
    if !is_running(c, org_id, &ended.turn_id)? {
        return Ok(());
    }
    match (&ended.message, ended.session) {
        (Some(message), Some(session)) => versions::end(c, session, ended.turn, message)?,
        (None, Some(_)) => versions::end_without(c, ended.turn)?,
        (_, None) => {}
    }
    tool_calls::end(c, org_id, &ended.calls)?;
    let charged = ledger::settle(c, org_id, &ended.turn_id, ended.cost)?;
    let mut update = c.prepare_cached(
        "UPDATE turn SET status = :status, ended_at = :now, input_tokens = :input, cache_read_tokens = :cached,
             output_tokens = :output, cost = :cost WHERE seq = :turn RETURNING message_id",
    )?;
    let parameters = named_params! {
        ":status": ended.outcome, ":now": Timestamp::now().as_millis(), ":input": ended.input_tokens as i64,
        ":cached": ended.cache_read_tokens as i64, ":output": ended.output_tokens as i64, ":cost": charged, ":turn": ended.turn,
    };
    let message_id: String = update.query_row(parameters, |row| row.get(0))?;
    requests::end(c, &ended.turn_id, ended.outcome, &ended.noted)?;
    if let Some(ending) = &ended.ending {
        responses::end(c, ended.turn, ending)?;
    }
    c.prepare_cached("DELETE FROM turn_journal WHERE turn = ?1")?.execute([ended.turn])?;
    let Some(session) = ended.session else { return Ok(()) };
    if let Some(cut) = ended.cut {
        c.prepare_cached("UPDATE session SET cut = ?2 WHERE seq = ?1")?.execute((session, cut))?;
    }
    let status = match ended.outcome {
        // Somebody may have answered while the turn still ran.
        _ if waiting::awaits(c, session, &message_id)? => sessions::Status::AwaitingApproval,
        Outcome::Interrupted => sessions::Status::Interrupted,
        Outcome::Complete | Outcome::Stopped | Outcome::Failed => sessions::Status::Idle,
    };
    sessions::leave(c, session, status)
}
