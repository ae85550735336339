//! Old things, really gone.
//!
//! What goes: sessions that were deleted, or not touched, for that long, with every message of theirs, superseded ones
//! too, and what tools were called in them; HTTP tools, and the texts of agents and projects, deleted for
//! that long. Rule: the bill still adds up. So a session's bare row
//! stays, with its turns and their numbers, and its id is not given again; an agent or project that some turn names keeps
//! its name. The ledger and people are not touched.
//! Runs beside a server: each batch is a short commit of its own, and as long as it took is left to others after it.

use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    connection::{self, prepare_writer},
    folder::FILE_NAME,
};
use crate::{
    error::{Error, Result},
    store::{Store, Writer},
    time::Timestamp,
};

/// Row numbers one batch goes through.
const BATCH_ROWS: i64 = 1_000;

/// What goes: everything of before a moment, of one organization or of all.
#[derive(Debug, Clone)]
pub struct Old {
    pub before: Timestamp,
    /// The organization's id.
    pub org_id: Option<String>,
}

/// How much went, or would go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    pub sessions: i64,
    pub messages: i64,
    pub agents: i64,
    pub projects: i64,
}

/// A session that goes. One that has gone is bare: deleted, and without a label.
const SESSION_GOES: &str = "(:org IS NULL OR s.org_id = :org) AND (s.deleted_at < :before AND s.label <> ''
    OR s.deleted_at IS NULL AND s.updated_at < :before AND s.status <> 'running')";
/// The session of a message that goes, as long as it is not bare yet.
const MESSAGE_GOES: &str = "(:org IS NULL OR s.org_id = :org) AND (s.deleted_at < :before
    OR s.deleted_at IS NULL AND s.updated_at < :before AND s.status <> 'running')";

/// What can be named by a turn: table, the column that names it, and the texts it loses.
struct Named {
    table: &'static str,
    column: &'static str,
    emptied: &'static str,
    has_text: &'static str,
}

const AGENT: Named = Named {
    table: "agent",
    column: "agent_id",
    emptied: "description = '', system_prompt = '', avatar = NULL",
    has_text: "t.description <> '' OR t.system_prompt <> '' OR t.avatar IS NOT NULL",
};
const PROJECT: Named = Named {
    table: "project",
    column: "project_id",
    emptied: "description = '', prompt = '', emoji = NULL",
    has_text: "t.description <> '' OR t.prompt <> '' OR t.emoji IS NOT NULL",
};

impl Store {
    /// How much would go.
    pub fn prunable(&self, old: &Old) -> Result<Pruned> {
        self.read(|c| {
            let count = |sql: String| -> Result<i64> {
                let parameters = named_params! { ":org": old.org_id, ":before": old.before.as_millis() };
                Ok(c.query_row(&sql, parameters, |row| row.get(0))?)
            };
            Ok(Pruned {
                sessions: count(format!("SELECT count(*) FROM session s WHERE {SESSION_GOES}"))?,
                messages: count(format!(
                    "SELECT count(*) FROM message m JOIN session s ON s.seq = m.session WHERE {MESSAGE_GOES}"
                ))?,
                agents: AGENT.old(c, old)?.len() as i64,
                projects: PROJECT.old(c, old)?.len() as i64,
            })
        })
    }

    /// Lets it go.
    pub async fn prune(&self, old: &Old) -> Result<Pruned> {
        // Sessions first: what is out of sight gets no new message.
        let sessions = self.walk("session", old, bare_sessions).await?;
        let messages = self.walk("message", old, delete_messages).await?;
        self.walk("tool_call", old, delete_calls).await?;
        self.walk("session", old, delete_grants).await?;
        self.walk("session", old, delete_responses).await?;
        let mut named = [0, 0];
        for (count, named) in named.iter_mut().zip([&AGENT, &PROJECT]) {
            for id in self.read(|c| named.old(c, old))? {
                in_turn(&self.writer, move |c| named.let_go(c, &id)).await?;
                *count += 1;
            }
        }
        let tools = old.clone();
        in_turn(&self.writer, move |c| delete_tools(c, &tools)).await?;
        let versions = old.clone();
        in_turn(&self.writer, move |c| delete_versions(c, &versions)).await?;
        let requests = old.clone();
        in_turn(&self.writer, move |c| delete_requests(c, &requests)).await?;
        Ok(Pruned { sessions, messages, agents: named[0], projects: named[1] })
    }

    /// Lets go of sessions that are kept no longer, and of the messages in them; returns how many.
    pub async fn prune_unkept(&self) -> Result<i64> {
        let mut count = 0;
        loop {
            match in_turn(&self.writer, |c| Ok(unkept_batch(c)?)).await? {
                Unkept::None => return Ok(count),
                Unkept::Part => {}
                Unkept::Whole => count += 1,
            }
        }
    }

    /// Bytes of the file that hold nothing: they are filled again before it grows.
    pub fn free_bytes(&self) -> Result<i64> {
        self.read(|c| {
            let sql = "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size";
            Ok(c.query_row(sql, [], |row| row.get(0))?)
        })
    }

    /// Goes through a table by its row numbers, one batch after another.
    async fn walk(
        &self,
        table: &str,
        old: &Old,
        batch: fn(&Connection, &Old, i64, i64) -> rusqlite::Result<usize>,
    ) -> Result<i64> {
        let last: i64 = self.read(|c| {
            let sql = format!("SELECT coalesce(max(seq), 0) FROM {table}");
            Ok(c.query_row(&sql, [], |row| row.get(0))?)
        })?;
        let mut count = 0;
        for from in (0..last).step_by(BATCH_ROWS as usize) {
            let old = old.clone();
            count += in_turn(&self.writer, move |c| Ok(batch(c, &old, from, from + BATCH_ROWS)?)).await? as i64;
        }
        Ok(count)
    }
}

/// One commit; then others have as long as it took.
async fn in_turn<T: Send + 'static>(
    writer: &Writer,
    work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let begun = Instant::now();
    let done = writer.write(work).await;
    tokio::time::sleep(begun.elapsed()).await;
    done
}

fn bare_sessions(c: &Connection, old: &Old, after: i64, to: i64) -> rusqlite::Result<usize> {
    let mut statement = c.prepare_cached(&format!(
        "UPDATE session AS s SET deleted_at = coalesce(deleted_at, updated_at), label = '', metadata = '{{}}',
             agent_id = NULL, project_id = NULL, cut = NULL
         WHERE s.seq > :after AND s.seq <= :to AND {SESSION_GOES}"
    ))?;
    statement.execute(named_params! {
        ":org": old.org_id, ":before": old.before.as_millis(), ":after": after, ":to": to,
    })
}

fn delete_messages(c: &Connection, old: &Old, after: i64, to: i64) -> rusqlite::Result<usize> {
    let mut statement = c.prepare_cached(
        "DELETE FROM message WHERE seq IN (
             SELECT m.seq FROM message m JOIN session s ON s.seq = m.session
             WHERE m.seq > :after AND m.seq <= :to AND (:org IS NULL OR s.org_id = :org) AND s.deleted_at < :before)",
    )?;
    statement.execute(named_params! {
        ":org": old.org_id, ":before": old.before.as_millis(), ":after": after, ":to": to,
    })
}

/// What was called goes with its message; what was called outside of any, when it is as old.
fn delete_calls(c: &Connection, old: &Old, after: i64, to: i64) -> rusqlite::Result<usize> {
    let mut statement = c.prepare_cached(
        "DELETE FROM tool_call AS t WHERE t.seq > :after AND t.seq <= :to AND (:org IS NULL OR t.org_id = :org)
             AND (t.session IS NULL AND t.asked_at < :before
                  OR EXISTS (SELECT 1 FROM session s WHERE s.seq = t.session AND s.deleted_at < :before))",
    )?;
    statement.execute(named_params! {
        ":org": old.org_id, ":before": old.before.as_millis(), ":after": after, ":to": to,
    })
}

fn delete_grants(c: &Connection, old: &Old, after: i64, to: i64) -> rusqlite::Result<usize> {
    let mut statement = c.prepare_cached(
        "DELETE FROM tool_grant WHERE session IN (
             SELECT s.seq FROM session s WHERE s.seq > :after AND s.seq <= :to AND (:org IS NULL OR s.org_id = :org)
                 AND s.deleted_at < :before)",
    )?;
    statement.execute(named_params! {
        ":org": old.org_id, ":before": old.before.as_millis(), ":after": after, ":to": to,
    })
}

fn delete_responses(c: &Connection, old: &Old, after: i64, to: i64) -> rusqlite::Result<usize> {
    let mut statement = c.prepare_cached(
        "DELETE FROM response WHERE session IN (
             SELECT s.seq FROM session s WHERE s.seq > :after AND s.seq <= :to AND (:org IS NULL OR s.org_id = :org)
                 AND s.deleted_at < :before)",
    )?;
    statement.execute(named_params! {
        ":org": old.org_id, ":before": old.before.as_millis(), ":after": after, ":to": to,
    })
}

/// What a batch did to a session that is kept no longer.
enum Unkept {
    /// There is none.
    None,
    /// It has messages still.
    Part,
    /// It is bare.
    Whole,
}

/// Takes the next such session out of sight, then some of its messages, and in the end what else is kept of it. What other turns
/// than responses superseded is left to a prune.
fn unkept_batch(c: &Connection) -> rusqlite::Result<Unkept> {
    let now = Timestamp::now().as_millis();
    let next = "SELECT seq FROM session WHERE kept_until < ?1 AND status <> 'running' LIMIT 1";
    let Some(session) = c.query_row(next, [now], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(Unkept::None);
    };
    c.execute("UPDATE session SET deleted_at = coalesce(deleted_at, ?2) WHERE seq = ?1", [session, now])?;
    let messages = c.execute(
        "DELETE FROM message WHERE seq IN (
             SELECT seq FROM message WHERE session = ?1 AND superseded_by IS NULL
             UNION SELECT seq FROM message WHERE superseded_by IN (SELECT turn FROM response WHERE session = ?1)
             LIMIT ?2)",
        [session, BATCH_ROWS],
    )?;
    if messages as i64 == BATCH_ROWS {
        return Ok(Unkept::Part);
    }
    c.execute("DELETE FROM tool_call WHERE session = ?1", [session])?;
    c.execute("DELETE FROM tool_grant WHERE session = ?1", [session])?;
    c.execute("DELETE FROM response WHERE session = ?1", [session])?;
    c.execute(
        "UPDATE session SET label = '', metadata = '{}', agent_id = NULL, project_id = NULL, cut = NULL, kept_until = NULL
         WHERE seq = ?1",
        [session],
    )?;
    Ok(Unkept::Whole)
}

/// HTTP tools that were deleted: nothing names them but their calls, which say it themselves.
fn delete_tools(c: &Connection, old: &Old) -> Result<usize> {
    let sql = "DELETE FROM tool WHERE deleted_at < :before AND (:org IS NULL OR org_id = :org)";
    Ok(c.execute(sql, named_params! { ":org": old.org_id, ":before": old.before.as_millis() })?)
}

/// What agents were that are deleted.
fn delete_versions(c: &Connection, old: &Old) -> Result<usize> {
    let sql = "DELETE FROM agent_version WHERE agent_id IN (
        SELECT id FROM agent WHERE deleted_at < :before AND (:org IS NULL OR org_id = :org))";
    Ok(c.execute(sql, named_params! { ":org": old.org_id, ":before": old.before.as_millis() })?)
}

/// The log of what was asked by then.
fn delete_requests(c: &Connection, old: &Old) -> Result<usize> {
    let sql = "DELETE FROM request WHERE at < :before AND status <> 'running' AND (:org IS NULL OR org_id = :org)";
    Ok(c.execute(sql, named_params! { ":org": old.org_id, ":before": old.before.as_millis() })?)
}

impl Named {
    /// Whether a turn or a session names it.
    fn is_named(&self) -> String {
        let of = |table: &str| format!("EXISTS (SELECT 1 FROM {table} WHERE {} = t.id)", self.column);
        format!("({} OR {})", of("turn"), of("session"))
    }

    /// The ids of those that have something to lose.
    fn old(&self, c: &Connection, old: &Old) -> Result<Vec<String>> {
        let mut statement = c.prepare(&format!(
            "SELECT t.id FROM {} t WHERE t.deleted_at < :before AND (:org IS NULL OR t.org_id = :org)
                 AND ({} OR NOT {})",
            self.table,
            self.has_text,
            self.is_named()
        ))?;
        let parameters = named_params! { ":org": old.org_id, ":before": old.before.as_millis() };
        let ids = statement.query_map(parameters, |row| row.get(0))?.collect::<rusqlite::Result<_>>();
        Ok(ids?)
    }

    /// Takes its texts, and its row if nothing names it.
    fn let_go(&self, c: &Connection, id: &str) -> Result<()> {
        c.execute(&format!("UPDATE {} SET {} WHERE id = ?1", self.table, self.emptied), [id])?;
        c.execute(&format!("DELETE FROM {} AS t WHERE t.id = ?1 AND NOT {}", self.table, self.is_named()), [id])?;
        Ok(())
    }
}

/// Makes the file in `folder` as small as what is in it. It is written anew beside itself; who writes waits, and after a
/// few seconds gets a 503.
pub fn vacuum(folder: &std::path::Path) -> Result<()> {
    let connection = connection::open(&folder.join(FILE_NAME)).map_err(Error::internal)?;
    prepare_writer(&connection)?;
    connection.execute_batch(
        "INSERT INTO message_fts (message_fts) VALUES ('optimize');
         INSERT INTO session_fts (session_fts) VALUES ('optimize');
         VACUUM; PRAGMA wal_checkpoint (TRUNCATE);",
    )?;
    Ok(())
}
