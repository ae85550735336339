//! The journal: what a running turn has streamed, for the turns that a crash leaves.

use rusqlite::named_params;

use super::{
    Answered, Org, SessionRow, Store, Tenant, TurnRow,
    tool_calls::{self, EndedCall},
    unstored::Counts,
};
use crate::error::Result;

/// A turn that was running when the process ended.
#[derive(Debug)]
pub struct Orphan {
    pub turn: TurnRow,
    pub turn_id: String,
    pub tenant: Tenant,
    /// Absent: nothing of it is stored.
    pub session: Option<SessionRow>,
    /// Microcents of the balance that it holds.
    pub held: i64,
    pub model: String,
    pub agent_id: Option<String>,
    pub message_id: String,
    /// What a continued message had before: a JSON array of parts, as text.
    pub continued_parts: Option<String>,
    /// Tokens that were counted, of one that is not stored.
    pub counts: Counts,
}

impl Org<'_> {
    /// Keeps what a running turn has streamed since the last time, with the next commit.
    /// With it go the calls that those frames say have ended.
    pub fn journal(&self, turn: TurnRow, n: i64, frames: Vec<u8>, ended: Vec<EndedCall>) -> Result<Answered<()>> {
        let org_id = self.tenant.org_id.clone();
        self.store.writer.submit(move |c| {
            // A checkpoint that comes after the turn's end must not bring the journal back.
            c.prepare_cached(
                "INSERT INTO turn_journal (turn, n, frames)
                 SELECT seq, :n, :frames FROM turn WHERE seq = :turn AND org_id = :org AND status = 'running'",
            )?
            .execute(named_params! { ":turn": turn, ":n": n, ":frames": frames, ":org": org_id })?;
            tool_calls::end(c, &org_id, &ended)
        })
    }
}

impl Store {
    /// The turns that a process which is gone left running.
    pub fn orphans(&self) -> Result<Vec<Orphan>> {
        self.read(|c| {
            let mut turns = c.prepare(
                "SELECT t.seq, t.id, t.org_id, t.user_id, t.session,
                     (SELECT coalesce(sum(held_delta), 0) FROM ledger_entry WHERE turn_id = t.id),
                     t.model, t.agent_id, t.message_id, m.parts, t.input_tokens, t.cache_read_tokens, t.output_tokens
                 FROM turn t LEFT JOIN message m ON m.session = t.session AND m.id = t.message_id AND m.superseded_by IS NULL
                 WHERE t.status = 'running' ORDER BY t.session",
            )?;
            let orphans = turns.query_map([], |row| {
                Ok(Orphan {
                    turn: row.get(0)?,
                    turn_id: row.get(1)?,
                    tenant: Tenant { org_id: row.get(2)?, user_id: row.get(3)? },
                    session: row.get(4)?,
                    held: row.get(5)?,
                    model: row.get(6)?,
                    agent_id: row.get(7)?,
                    message_id: row.get(8)?,
                    continued_parts: row.get(9)?,
                    counts: Counts {
                        input_tokens: row.get::<_, i64>(10)?.unsigned_abs(),
                        cache_read_tokens: row.get::<_, i64>(11)?.unsigned_abs(),
                        output_tokens: row.get::<_, i64>(12)?.unsigned_abs(),
                    },
                })
            })?;
            Ok(orphans.collect::<Result<_, _>>()?)
        })
    }

    /// What a turn that was left running had streamed, as server-sent events.
    pub fn journal_of(&self, orphan: &Orphan) -> Result<Vec<u8>> {
        self.read(|c| {
            let mut journal = c.prepare_cached("SELECT frames FROM turn_journal WHERE turn = ?1 ORDER BY n")?;
            let frames = journal.query_map([orphan.turn], |row| row.get(0))?;
            Ok(frames.collect::<Result<Vec<Vec<u8>>, _>>()?.concat())
        })
    }
}
