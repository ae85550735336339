//! Calls that wait for a person, as what happens to their session asks of them.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{SessionRow, TurnRow};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Ends the open calls of a session whose conversation goes on without them, but for those of the message `except`. A no that no
/// turn has acted on yet is acted on by this.
pub(super) fn withdraw(
    c: &Connection,
    session: SessionRow,
    except: Option<&str>,
    turn: Option<TurnRow>,
) -> Result<usize> {
    let now = Timestamp::now().as_millis();
    let withdrawn = c
        .prepare_cached(
            "UPDATE tool_call SET
                 status = CASE status WHEN 'called' THEN 'unknown' ELSE 'withdrawn' END,
                 decided_turn = coalesce(decided_turn, :turn), ended_at = :now
             WHERE session = :session AND status IN ('waiting', 'approved', 'called') AND message_id IS NOT :except",
        )?
        .execute(named_params! { ":session": session, ":turn": turn, ":now": now, ":except": except })?;
    let denied = c
        .prepare_cached(
            "UPDATE tool_call SET decided_turn = :turn
             WHERE session = :session AND decided_at IS NOT NULL AND decided_turn IS NULL AND status = 'denied'
                 AND message_id IS NOT :except",
        )?
        .execute(named_params! { ":session": session, ":turn": turn, ":except": except })?;
    Ok(withdrawn + denied)
}

/// How many calls of a session wait for a person.
pub(super) fn waiting(c: &Connection, session: SessionRow) -> Result<i64> {
    let mut statement = c.prepare_cached("SELECT count(*) FROM tool_call WHERE session = ?1 AND status = 'waiting'")?;
    Ok(statement.query_row([session], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Whether calls of a message wait for a person, or for the turn that acts on their answers.
pub(super) fn awaits(c: &Connection, session: SessionRow, message_id: &str) -> Result<bool> {
    let mut statement = c.prepare_cached(
        "SELECT 1 FROM tool_call WHERE session = ?1 AND message_id = ?2
             AND (status = 'waiting' OR status IN ('approved', 'denied') AND decided_turn IS NULL)",
    )?;
    Ok(statement.exists((session, message_id))?)
}

/// Refuses what must not come between a call of the last message and what becomes of it.
pub(super) fn refuse_open(c: &Connection, session: SessionRow, last: Option<&str>) -> Result<()> {
    match waiting(c, session)? {
        0 => {}
        1 => return Err(Error::Conflict("1 call waits for an answer in this session.".into())),
        n => return Err(Error::Conflict(format!("{n} calls wait for an answer in this session."))),
    }
    let mut open = c.prepare_cached(
        "SELECT 1 FROM tool_call WHERE session = ?1 AND status IN ('waiting', 'approved', 'called') AND status <> 'waiting'",
    )?;
    if open.exists([session])? || last.map_or(Ok(false), |last| awaits(c, session, last))? {
        return Err(Error::Conflict(
            "a reply of this session is to go on: resume it, or post a message to /chat".into(),
        ));
    }
    Ok(())
}
