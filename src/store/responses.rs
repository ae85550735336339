//! Responses: turns by the name that a client of the Responses API has for them.
//!
//! Rule: a response is a turn, and a chain of them a session. Going on from the last one goes on in its session; going on from any
//! other copies what was said up to it, so that no branch waits for another.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, SessionRow, Tenant, TurnRow,
    decisions::{self, CallView},
    message::COLUMNS,
    messages::{self, Message, Place},
    outcome::Outcome,
    sessions::{self, NewSession, Session, VISIBLE},
    waiting,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Messages that a branch may begin with.
pub const FORKED_MESSAGES_MAX: usize = 10_000;

/// What is kept of a request, beside its messages.
#[derive(Debug, Clone)]
pub struct NewResponse {
    /// The response that it goes on from.
    pub previous: Option<Previous>,
    /// Whether nobody waits for it.
    pub is_background: bool,
    /// What the response repeats of the request: a JSON object, as text.
    pub asked: String,
}

/// What a response goes on from.
#[derive(Debug, Clone, Copy)]
pub struct Previous {
    pub turn: TurnRow,
    /// Whether it cannot go on in the same session.
    pub is_apart: bool,
}

/// A response, without what it says.
#[derive(Debug, Clone)]
pub struct Response {
    pub turn: TurnRow,
    /// The turn's id.
    pub id: String,
    pub session_id: String,
    pub agent_id: Option<String>,
    /// Absent while it runs.
    pub outcome: Option<Outcome>,
    pub is_background: bool,
    /// What it repeats of its request: a JSON object, as text.
    pub asked: String,
    /// How it ended, where its message does not say it: a JSON object, as text.
    pub ending: Option<String>,
}

const SELECT: &str =
    "SELECT t.seq, t.id, s.id, t.agent_id, nullif(t.status, 'running'), r.background, r.asked, r.ending
    FROM response r JOIN turn t ON t.seq = r.turn JOIN session s ON s.seq = t.session
        LEFT JOIN project p ON p.id = s.project_id";

impl Response {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Response {
            turn: row.get(0)?,
            id: row.get(1)?,
            session_id: row.get(2)?,
            agent_id: row.get(3)?,
            outcome: row.get(4)?,
            is_background: row.get(5)?,
            asked: row.get(6)?,
            ending: row.get(7)?,
        })
    }
}

impl Org<'_> {
    /// The response that is the turn of that id.
    pub fn response(&self, turn_id: &str) -> Result<Option<Response>> {
        self.read(|c| find(c, self.tenant, turn_id))
    }

    /// What its request brought, oldest first: the messages it added, each with what it was before if it was there.
    pub fn input_of(&self, response: &Response) -> Result<Vec<(Message, Option<String>)>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS}, (SELECT b.parts FROM message b WHERE b.superseded_by = :turn AND b.id = m.id AND b.session = m.session)
                 FROM message m WHERE m.turn = (SELECT seq FROM turn WHERE seq = :turn AND org_id = :org)
                     AND m.id <> (SELECT message_id FROM turn WHERE seq = :turn)
                 ORDER BY m.seq"
            ))?;
            let parameters = named_params! { ":turn": response.turn, ":org": self.tenant.org_id };
            let read = statement.query_map(parameters, |row| Ok((Message::from_row(row)?.to_owned(), row.get(10)?)))?;
            Ok(read.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// What was said in a session, up to the end of that turn if one is named, and the calls of its last message.
    pub fn past(&self, session_id: &str, turn: Option<TurnRow>) -> Result<(Vec<Message>, Vec<CallView>)> {
        self.read(|c| {
            let session = sessions::find(c, self.tenant, session_id)?.ok_or(Error::NotFound("session"))?.seq;
            let history = match turn {
                Some(turn) => until(c, session, turn)?,
                None => {
                    sessions::refuse_running(c, session)?;
                    let mut history = Vec::new();
                    messages::each(c, session, |message| {
                        history.push(message);
                        Ok(history.len() <= FORKED_MESSAGES_MAX)
                    })?;
                    bounded(history, "conversation")?
                }
            };
            let calls =
                history.last().map_or(Ok(Vec::new()), |last| decisions::views(c, session, Some(&last.id), None))?;
            Ok((history, calls))
        })
    }

    /// Deletes a response that is over; its session goes with the last one unless it is kept for ever.
    pub async fn delete_response(&self, turn_id: String) -> Result<()> {
        self.write(move |c, tenant| {
            let response = find(c, tenant, &turn_id)?.ok_or(Error::NotFound("response"))?;
            if response.outcome.is_none() {
                return Err(Error::Conflict("this response is still being written: cancel it first".into()));
            }
            let now = Timestamp::now().as_millis();
            c.execute("UPDATE response SET deleted_at = ?2 WHERE turn = ?1", (response.turn, now))?;
            let session: SessionRow =
                c.query_row("SELECT session FROM response WHERE turn = ?1", [response.turn], |row| row.get(0))?;
            let gone = c.execute(
                "UPDATE session SET deleted_at = ?2 WHERE seq = ?1 AND kept_until IS NOT NULL AND status <> 'running'
                     AND NOT EXISTS (SELECT 1 FROM response WHERE session = ?1 AND deleted_at IS NULL)",
                (session, now),
            )?;
            if gone > 0 {
                waiting::withdraw(c, session, None, None)?;
            }
            Ok(())
        })
        .await
    }
}

fn find(c: &Connection, tenant: &Tenant, turn_id: &str) -> Result<Option<Response>> {
    let mut statement =
        c.prepare_cached(&format!("{SELECT} WHERE t.id = :id AND r.deleted_at IS NULL AND {VISIBLE}"))?;
    let parameters = named_params! { ":id": turn_id, ":org": tenant.org_id, ":user": tenant.user_id };
    Ok(statement.query_row(parameters, Response::from_row).optional()?)
}

/// Keeps what was asked, beside the turn.
pub(super) fn insert(c: &Connection, turn: TurnRow, session: SessionRow, new: &NewResponse) -> Result<()> {
    c.prepare_cached(
        "INSERT INTO response (turn, session, previous, background, asked) VALUES (:turn, :session, :previous, :background, :asked)",
    )?
    .execute(named_params! {
        ":turn": turn, ":session": session, ":previous": new.previous.map(|previous| previous.turn),
        ":background": new.is_background, ":asked": new.asked,
    })?;
    Ok(())
}

/// Keeps how it ended.
pub(super) fn end(c: &Connection, turn: TurnRow, ending: &str) -> Result<()> {
    c.prepare_cached("UPDATE response SET ending = ?2 WHERE turn = ?1")?.execute((turn, ending))?;
    Ok(())
}

/// The session in which a response goes on, and whether it is a new one.
pub(super) fn session_after(
    c: &Connection,
    tenant: &Tenant,
    previous: Previous,
    new: &NewSession,
) -> Result<(Session, bool)> {
    let sql = format!(
        "SELECT s.id, t.status FROM response r JOIN turn t ON t.seq = r.turn JOIN session s ON s.seq = t.session
             LEFT JOIN project p ON p.id = s.project_id
         WHERE r.turn = :turn AND r.deleted_at IS NULL AND {VISIBLE}"
    );
    let parameters = named_params! { ":turn": previous.turn, ":org": tenant.org_id, ":user": tenant.user_id };
    let found = c.prepare_cached(&sql)?.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (session_id, status): (String, String) = found.ok_or(Error::NotFound("response"))?;
    if status == "running" {
        return Err(Error::Conflict("the previous response is still being written: wait until it ends".into()));
    }
    let session = sessions::find(c, tenant, &session_id)?.ok_or(Error::NotFound("session"))?;
    let is_idle = sessions::refuse_running(c, session.seq).is_ok();
    if !previous.is_apart && is_idle && is_last(c, session.seq, previous.turn)? {
        return Ok((session, false));
    }
    let branch = sessions::insert(c, tenant, new)?;
    copy(c, session.seq, branch.seq, previous.turn)?;
    Ok((sessions::find(c, tenant, &branch.id)?.ok_or(Error::NotFound("session"))?, true))
}

/// Whether nothing has come into a session's history since that turn.
fn is_last(c: &Connection, session: SessionRow, turn: TurnRow) -> Result<bool> {
    let mut statement = c.prepare_cached(
        "SELECT turn FROM message WHERE session = ?1 AND superseded_by IS NULL ORDER BY seq DESC LIMIT 1",
    )?;
    let last: Option<Option<TurnRow>> = statement.query_row([session], |row| row.get(0)).optional()?;
    Ok(last.flatten() == Some(turn))
}

/// Copies the history as it was when that turn ended. A copy belongs to no turn: it was not said again.
fn copy(c: &Connection, from: SessionRow, to: SessionRow, turn: TurnRow) -> Result<()> {
    until(c, from, turn)?
        .into_iter()
        .try_for_each(|message| messages::insert(c, to, None, &message.again(), Place::default()))
}

/// The history as it was when that turn ended.
fn until(c: &Connection, from: SessionRow, turn: TurnRow) -> Result<Vec<Message>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM message
         WHERE session = :from AND seq <= (SELECT max(seq) FROM message WHERE session = :from AND turn <= :turn)
             AND (superseded_by IS NULL OR superseded_by > :turn)
         ORDER BY seq LIMIT :rows"
    ))?;
    let rows = FORKED_MESSAGES_MAX as i64 + 1;
    let parameters = named_params! { ":from": from, ":turn": turn, ":rows": rows };
    let history: Vec<Message> = statement
        .query_map(parameters, |row| Ok(Message::from_row(row)?.to_owned()))?
        .collect::<rusqlite::Result<_>>()?;
    bounded(history, "previous_response_id")
}

fn bounded(history: Vec<Message>, field: &str) -> Result<Vec<Message>> {
    match history.len() > FORKED_MESSAGES_MAX {
        true => {
            let what =
                format!("a branch may begin with at most {FORKED_MESSAGES_MAX} messages: go on from the last response");
            Err(Error::invalid(field, what))
        }
        false => Ok(history),
    }
}

#[cfg(test)]
mod tests;
