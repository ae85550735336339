//! Calls of tools: what a model asked for, who allowed it, and what became of it.
//!
//! Rule: a call is written down before it runs, and its row moves forward only; a trigger says so too. What lies between
//! `called` and its end at a crash may have happened, and is never run a second time unless its tool may be.

use rusqlite::{Connection, Row, named_params};

use super::{Org, Page, SessionRow, Store, TurnRow, sessions::VISIBLE, tools::Policy, words::words};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

words! {
    /// Where a tool comes from.
    pub enum Origin {
        /// It is part of `alm`.
        Builtin = "builtin",
        /// An HTTP API's.
        Http = "http",
        /// An MCP server's.
        Mcp = "mcp",
        /// Whoever asks runs it.
        Client = "client",
        /// The program's that `alm` is part of.
        Host = "host",
    }
}

words! {
    /// How far a call is.
    pub enum CallStatus {
        /// A person is to allow it.
        Waiting = "waiting",
        /// A person did; it has not run yet.
        Approved = "approved",
        /// A person did not.
        Denied = "denied",
        /// The conversation went on without it.
        Withdrawn = "withdrawn",
        /// It runs, or ran and nobody knows how it ended.
        Called = "called",
        /// It gave an output.
        Done = "done",
        /// It gave none, or was not run.
        Failed = "failed",
        /// It may have taken effect.
        Unknown = "unknown",
    }
}

/// A call as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// SQLite's row number: the order of the calls, and a list's cursor.
    pub seq: i64,
    /// Also the approval's id, and the idempotency key.
    pub id: String,
    /// The session's id.
    pub session_id: Option<String>,
    pub session_label: Option<String>,
    pub agent_name: Option<String>,
    pub message_id: String,
    /// As the model named it.
    pub call_id: String,
    /// As the model knows it.
    pub tool: String,
    pub origin: Origin,
    pub fingerprint: [u8; 32],
    pub policy: Policy,
    pub is_idempotent: bool,
    pub status: CallStatus,
    pub asked_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    /// The address of who decided.
    pub decided_by: Option<String>,
    /// A key's id, `sign-in` or `command line`.
    pub decided_via: Option<String>,
    pub decided_turn: Option<TurnRow>,
    pub called_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub output_bytes: i64,
    /// Microcents.
    pub cost: i64,
    pub reason: Option<String>,
    /// JSON, as text.
    pub input: Option<String>,
}

/// Which calls a list shows.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// The session's id.
    pub session_id: Option<String>,
    pub tool: Option<String>,
    pub status: Option<CallStatus>,
    /// Asked at that moment or later.
    pub from: Option<Timestamp>,
    /// Asked before that moment.
    pub to: Option<Timestamp>,
}

const COLUMNS: &str =
    "t.seq, t.id, s.id, s.label, a.name, t.message_id, t.call_id, t.tool, t.origin, t.fingerprint, t.policy,
    t.idempotent, t.status, t.asked_at, t.decided_at, u.email, t.decided_via, t.decided_turn, t.called_at, t.ended_at,
    t.output_bytes, t.cost, t.reason, t.input";
const FROM: &str = "FROM tool_call t JOIN session s ON s.seq = t.session
    LEFT JOIN agent a ON a.id = s.agent_id LEFT JOIN project p ON p.id = s.project_id LEFT JOIN user u ON u.id = t.decided_by";

impl ToolCall {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis));
        Ok(ToolCall {
            seq: row.get(0)?,
            id: row.get(1)?,
            session_id: row.get(2)?,
            session_label: row.get(3)?,
            agent_name: row.get(4)?,
            message_id: row.get(5)?,
            call_id: row.get(6)?,
            tool: row.get(7)?,
            origin: row.get(8)?,
            fingerprint: row.get(9)?,
            policy: row.get(10)?,
            is_idempotent: row.get(11)?,
            status: row.get(12)?,
            asked_at: Timestamp::from_millis(row.get(13)?),
            decided_at: moment(14)?,
            decided_by: row.get(15)?,
            decided_via: row.get(16)?,
            decided_turn: row.get(17)?,
            called_at: moment(18)?,
            ended_at: moment(19)?,
            output_bytes: row.get(20)?,
            cost: row.get(21)?,
            reason: row.get(22)?,
            input: row.get(23)?,
        })
    }
}

impl Org<'_> {
    /// Calls in sessions that the person may see, the newest first; the cursor is a row number.
    pub fn tool_calls(&self, filter: &CallFilter, limit: usize, cursor: Option<i64>) -> Result<Page<ToolCall>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} {FROM}
                 WHERE t.org_id = :org AND {VISIBLE} AND t.seq < :cursor
                     AND (:session IS NULL OR s.id = :session) AND (:tool IS NULL OR t.tool = :tool)
                     AND (:status IS NULL OR t.status = :status)
                     AND t.asked_at >= :from AND t.asked_at < :to
                 ORDER BY t.seq DESC LIMIT :rows"
            ))?;
            let millis = |moment: Option<Timestamp>, none: i64| moment.map_or(none, |moment| moment.as_millis());
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":cursor": cursor.unwrap_or(i64::MAX),
                ":session": filter.session_id, ":tool": filter.tool, ":status": filter.status,
                ":from": millis(filter.from, 0), ":to": millis(filter.to, i64::MAX), ":rows": limit as i64 + 1,
            };
            let rows = statement.query_map(parameters, ToolCall::from_row)?.collect::<Result<_, _>>()?;
            Ok(Page::from_rows(rows, limit, |call: &ToolCall| call.seq.to_string()))
        })
    }

    /// How many calls wait for a person, in sessions that whoever asks may see.
    pub fn calls_waiting(&self) -> Result<i64> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT count(*) FROM tool_call t JOIN session s ON s.seq = t.session LEFT JOIN project p ON p.id = s.project_id
                 WHERE t.org_id = :org AND t.status = 'waiting' AND {VISIBLE}"
            ))?;
            let parameters = named_params! { ":org": self.tenant.org_id, ":user": self.tenant.user_id };
            Ok(statement.query_row(parameters, |row| row.get(0))?)
        })
    }

    /// The call of that id, in a session that the person may see.
    pub fn tool_call(&self, id: &str) -> Result<ToolCall> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} {FROM} WHERE t.org_id = :org AND {VISIBLE} AND t.id = :id"
            ))?;
            let parameters = named_params! { ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":id": id };
            let mut rows = statement.query(parameters)?;
            let row = rows.next()?.ok_or(Error::NotFound("approval"))?;
            Ok(ToolCall::from_row(row)?)
        })
    }
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct EndedCall {
    pub id: String,
    /// `done`, `failed` or `unknown`; `withdrawn` of one that nobody was asked about yet.
    pub status: CallStatus,
    /// Whether it was made, or may have been: only that costs.
    pub was_made: bool,
    pub output_bytes: usize,
    /// Why it failed.
    pub reason: Option<String>,
}

impl EndedCall {
    /// One that was made, or may have been, and gave nothing.
    pub fn made(id: String, status: CallStatus, reason: String) -> Self {
        EndedCall { id, status, was_made: true, output_bytes: 0, reason: Some(reason) }
    }

    /// One that was not made.
    pub fn not_made(id: String, status: CallStatus, reason: String) -> Self {
        EndedCall { was_made: false, ..EndedCall::made(id, status, reason) }
    }
}

/// A call of a message, as far as a turn that ends or goes on asks about it.
#[derive(Debug, Clone)]
pub struct OpenCall {
    pub id: String,
    pub call_id: String,
    pub tool: String,
    pub origin: Origin,
    pub fingerprint: [u8; 32],
    pub status: CallStatus,
    pub is_idempotent: bool,
    /// JSON, as text.
    pub input: Option<String>,
}

impl OpenCall {
    const COLUMNS: &str = "id, call_id, tool, fingerprint, status, idempotent, origin, input";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(OpenCall {
            id: row.get(0)?,
            call_id: row.get(1)?,
            tool: row.get(2)?,
            fingerprint: row.get(3)?,
            status: row.get(4)?,
            is_idempotent: row.get(5)?,
            origin: row.get(6)?,
            input: row.get(7)?,
        })
    }
}

impl Store {
    /// How many calls wait for a person, in all organizations.
    pub fn approvals_waiting(&self) -> Result<i64> {
        self.read(|c| {
            let count = "SELECT count(*) FROM tool_call WHERE status = 'waiting'";
            Ok(c.prepare_cached(count)?.query_row([], |row| row.get(0))?)
        })
    }
}

impl Org<'_> {
    /// The calls of a message that have not ended, and those that were denied since it was written.
    pub fn open_calls_of(&self, session: Option<SessionRow>, message_id: &str) -> Result<Vec<OpenCall>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {} FROM tool_call
                 WHERE session IS :session AND org_id = :org AND message_id = :message
                     AND (status IN ('waiting', 'approved', 'called') OR status = 'denied' AND decided_turn IS NULL) ORDER BY seq",
                OpenCall::COLUMNS
            ))?;
            let parameters = named_params! { ":session": session, ":org": self.tenant.org_id, ":message": message_id };
            let rows = statement.query_map(parameters, OpenCall::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// How many calls ended because that turn began, by how: denied or withdrawn; of one that was running nobody knows.
    pub fn calls_ended_by(&self, turn: TurnRow) -> Result<Vec<(Origin, CallStatus, u64)>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT origin, status, count(*) FROM tool_call
                 WHERE decided_turn = :turn AND org_id = :org AND status IN ('denied', 'withdrawn', 'unknown')
                 GROUP BY origin, status",
            )?;
            let parameters = named_params! { ":turn": turn, ":org": self.tenant.org_id };
            let rows = statement
                .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs())))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What the calls cost that a turn made first, whatever came of them. Microcents.
    pub fn cost_of_calls(&self, turn: TurnRow) -> Result<i64> {
        self.read(|c| {
            let sum = "SELECT coalesce(sum(cost), 0) FROM tool_call WHERE called_turn = :turn AND org_id = :org";
            let parameters = named_params! { ":turn": turn, ":org": self.tenant.org_id };
            Ok(c.prepare_cached(sum)?.query_row(parameters, |row| row.get(0))?)
        })
    }

    /// Whether a person has allowed that tool, as it is, for the rest of the session: of none, nobody has.
    pub fn is_granted(&self, session: Option<SessionRow>, tool: &str, fingerprint: &[u8; 32]) -> Result<bool> {
        self.read(|c| {
            let mut statement = c.prepare_cached(
                "SELECT 1 FROM tool_grant g JOIN session s ON s.seq = g.session
                 WHERE g.session = :session AND g.tool = :tool AND g.fingerprint = :fingerprint AND s.org_id = :org",
            )?;
            let parameters = named_params! {
                ":session": session, ":tool": tool, ":fingerprint": fingerprint, ":org": self.tenant.org_id,
            };
            Ok(statement.exists(parameters)?)
        })
    }
}

/// Ends calls inside a transaction. One that has ended already stays as it ended.
pub(super) fn end(c: &Connection, org_id: &str, calls: &[EndedCall]) -> Result<()> {
    for call in calls {
        // One that was allowed and not run has failed too. Why one failed may quote what came back: of a turn that is not stored it
        // is not kept.
        c.prepare_cached(
            "UPDATE tool_call SET status = :status, ended_at = :now, output_bytes = :bytes,
                 reason = CASE WHEN session IS NULL THEN reason ELSE coalesce(:reason, reason) END,
                 cost = CASE WHEN :made THEN cost ELSE 0 END
             WHERE id = :id AND org_id = :org AND (status = 'called' OR status = 'approved' AND :status = 'failed'
                 OR status = 'waiting' AND :status = 'withdrawn')",
        )?
        .execute(named_params! {
            ":id": call.id, ":org": org_id, ":status": call.status, ":now": Timestamp::now().as_millis(),
            ":bytes": call.output_bytes as i64, ":reason": call.reason, ":made": call.was_made,
        })?;
    }
    Ok(())
}
