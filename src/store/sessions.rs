//! Sessions: conversations, and who may see them.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org, Page, SessionRow, Tenant,
    fault::unless_taken,
    search::{self, HITS, Query},
    waiting,
    words::words,
};
use crate::{
    error::{Error, Result},
    id,
    time::Timestamp,
};

/// What a session is called until someone names it.
pub const DEFAULT_LABEL: &str = "New chat";

words! {
    /// What a session is doing.
    pub enum Status {
        /// Nothing.
        Idle = "idle",
        /// A turn runs in it.
        Running = "running",
        /// A person is to allow a call.
        AwaitingApproval = "awaiting_approval",
        /// Its last turn was interrupted, and can be resumed.
        Interrupted = "interrupted",
    }
}

words! {
    /// Who began a conversation, and where.
    pub enum Origin {
        /// A person, or a program by `/chat`.
        Chat = "chat",
        /// Another agent.
        Agent = "agent",
        /// Another program, over the Model Context Protocol.
        Mcp = "mcp",
        /// A client of the Responses API.
        Responses = "responses",
        /// A client of the Chat Completions API.
        Completions = "completions",
    }
}

/// A conversation.
#[derive(Debug, Clone)]
pub struct Session {
    pub seq: SessionRow,
    pub id: String,
    pub user_id: String,
    pub agent_id: Option<String>,
    pub agent_name: Option<String>,
    pub agent_avatar: Option<String>,
    pub project_id: Option<String>,
    pub label: String,
    pub status: Status,
    /// A JSON object, as text.
    pub metadata: String,
    pub message_count: i64,
    /// The first message that a model is still sent, by its row number; absent: all are.
    pub cut: Option<i64>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub origin: Origin,
    /// Where a search found its words; absent outside a search.
    pub snippet: Option<String>,
    /// The message that it is of; absent: the label.
    pub message_id: Option<String>,
}

/// Why nothing can begin in a session in which a turn runs.
pub const BUSY: &str = "a reply is being written in this session: wait until it ends";

/// What a new session begins with.
#[derive(Debug, Clone, Default)]
pub struct NewSession {
    /// A client's own id; absent: one is made.
    pub id: Option<String>,
    pub agent_id: Option<String>,
    pub project_id: Option<String>,
    pub label: Option<String>,
    /// A JSON object, as text.
    pub metadata: Option<String>,
    /// Absent: a chat.
    pub origin: Option<Origin>,
    /// Absent: for ever.
    pub kept_until: Option<Timestamp>,
}

/// Which sessions a list shows.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    pub project_id: Option<String>,
    pub agent_id: Option<String>,
    /// Words to find in labels and messages.
    pub search: Option<String>,
    /// Only those that are pinned: whose metadata says so.
    pub is_pinned: bool,
    /// Absent: all but those that agents and the Responses API make, which nobody would look for.
    pub origin: Option<Origin>,
}

/// Columns of a session with its agent; `p` is there for [`VISIBLE`].
const COLUMNS: &str = "s.seq, s.id, s.user_id, s.agent_id, a.name, a.avatar, s.project_id, s.label, s.status,
    s.metadata, s.message_count, s.cut, s.created_at, s.updated_at, s.origin";
const FROM: &str = "FROM session s LEFT JOIN agent a ON a.id = s.agent_id LEFT JOIN project p ON p.id = s.project_id";
/// A session in a private project is its creator's alone, also after the project was deleted.
pub(super) const VISIBLE: &str = "s.org_id = :org AND s.deleted_at IS NULL
    AND (p.id IS NULL OR p.visibility = 'team' OR p.user_id = :user)";

impl Session {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Session {
            seq: row.get(0)?,
            id: row.get(1)?,
            user_id: row.get(2)?,
            agent_id: row.get(3)?,
            agent_name: row.get(4)?,
            agent_avatar: row.get(5)?,
            project_id: row.get(6)?,
            label: row.get(7)?,
            status: row.get(8)?,
            metadata: row.get(9)?,
            message_count: row.get(10)?,
            cut: row.get(11)?,
            created_at: Timestamp::from_millis(row.get(12)?),
            updated_at: Timestamp::from_millis(row.get(13)?),
            origin: row.get(14)?,
            snippet: None,
            message_id: None,
        })
    }

    fn cursor(&self) -> String {
        format!("{}.{}", self.updated_at.as_millis(), self.seq)
    }
}

impl Org<'_> {
    /// Sessions, the last changed first. With a search this scans: keep it off the request threads.
    pub fn sessions(&self, filter: &SessionFilter, limit: usize, cursor: Option<&str>) -> Result<Page<Session>> {
        let (updated, seq) = cursor.map_or(Ok((i64::MAX, i64::MAX)), parse_cursor)?;
        let query = filter.search.as_deref().map(Query::of);
        let source = match &query {
            None => format!("SELECT {COLUMNS}, NULL {FROM}"),
            Some(_) => format!("{HITS} SELECT {COLUMNS}, hit.message {FROM} JOIN hit ON hit.session = s.seq"),
        };
        // As the index has it.
        let pinned = if filter.is_pinned { "json_type(s.metadata, '$.pinned') = 'true'" } else { "TRUE" };
        let sql = format!(
            "{source} WHERE {VISIBLE} AND {pinned} AND (s.updated_at, s.seq) < (:updated, :seq)
                 AND (:project IS NULL OR s.project_id = :project) AND (:agent IS NULL OR s.agent_id = :agent)
                 AND CASE WHEN :origin IS NULL THEN s.origin NOT IN ('agent', 'responses') ELSE s.origin = :origin END
                 AND (:unindexed IS NULL OR :words <> '')
             ORDER BY s.updated_at DESC, s.seq DESC LIMIT :rows"
        );
        self.read(|c| {
            let unindexed = query.as_ref().map(|query| search::unindexed_hits(c, query)).transpose()?;
            let mut statement = c.prepare_cached(&sql)?;
            let parameters = named_params! {
                ":org": self.tenant.org_id, ":user": self.tenant.user_id, ":updated": updated, ":seq": seq,
                ":project": filter.project_id, ":agent": filter.agent_id, ":origin": filter.origin,
                ":words": query.as_ref().map(Query::expression), ":unindexed": unindexed, ":rows": limit as i64 + 1,
            };
            let mut rows = statement.query(parameters)?;
            let mut sessions = Vec::new();
            while let Some(row) = rows.next()? {
                let mut session = Session::from_row(row)?;
                if let Some(query) = &query {
                    let (snippet, message_id) = search::snippet_of_hit(c, row.get(15)?, &session.label, query)?;
                    (session.snippet, session.message_id) = (Some(snippet), message_id);
                }
                sessions.push(session);
            }
            Ok(Page::from_rows(sessions, limit, Session::cursor))
        })
    }

    /// The session of that id.
    pub fn session(&self, id: &str) -> Result<Session> {
        self.read(|c| find(c, self.tenant, id)?.ok_or(Error::NotFound("session")))
    }

    /// The session of that id, if the organization has it.
    pub fn session_if_any(&self, id: &str) -> Result<Option<Session>> {
        self.read(|c| find(c, self.tenant, id))
    }

    /// Makes a session. Agent and project are looked up by the caller.
    pub async fn create_session(&self, new: NewSession) -> Result<Session> {
        self.write(move |c, tenant| insert(c, tenant, &new)).await
    }

    /// Lets `edit` change a session's label, metadata, project or status.
    pub async fn update_session(
        &self,
        id: String,
        edit: impl FnOnce(&mut Session) -> Result<()> + Send + 'static,
    ) -> Result<Session> {
        self.write(move |c, tenant| {
            let mut session = find(c, tenant, &id)?.ok_or(Error::NotFound("session"))?;
            let before = session.project_id.clone();
            edit(&mut session)?;
            if session.project_id != before && session.user_id != tenant.user_id {
                for project_id in [&before, &session.project_id].into_iter().flatten() {
                    refuse_private(is_private(c, project_id)?)?;
                }
            }
            session.updated_at = Timestamp::now();
            c.prepare_cached(
                "UPDATE session SET label = :label, metadata = :metadata, project_id = :project, status = :status,
                     updated_at = :updated WHERE seq = :seq",
            )?
            .execute(named_params! {
                ":label": session.label, ":metadata": session.metadata, ":project": session.project_id,
                ":status": session.status, ":updated": session.updated_at.as_millis(), ":seq": session.seq,
            })?;
            search::index_again(c, session.seq, &session.label)?;
            Ok(session)
        })
        .await
    }

    /// Deletes a session that no turn is writing to.
    pub async fn delete_session(&self, id: String) -> Result<()> {
        self.write(move |c, tenant| {
            let session = find(c, tenant, &id)?.ok_or(Error::NotFound("session"))?;
            refuse_running(c, session.seq)?;
            waiting::withdraw(c, session.seq, None, None)?;
            let now = Timestamp::now().as_millis();
            c.execute("UPDATE session SET deleted_at = ?1 WHERE seq = ?2", (now, session.seq))?;
            Ok(())
        })
        .await
    }
}

/// The session of that id, if the tenant may see it.
pub(super) fn find(c: &Connection, tenant: &Tenant, id: &str) -> Result<Option<Session>> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS}, NULL {FROM} WHERE s.id = :id AND {VISIBLE}"))?;
    let parameters = named_params! { ":id": id, ":org": tenant.org_id, ":user": tenant.user_id };
    Ok(statement.query_row(parameters, Session::from_row).optional()?)
}

/// Makes a session.
pub(super) fn insert(c: &Connection, tenant: &Tenant, new: &NewSession) -> Result<Session> {
    let session_id = new.id.clone().unwrap_or_else(id::generate);
    let inserted = c
        .prepare_cached(
            "INSERT INTO session (org_id, id, user_id, agent_id, project_id, label, metadata, origin, kept_until, created_at,
                 updated_at)
             VALUES (:org, :id, :user, :agent, :project, :label, :metadata, :origin, :kept, :now, :now)",
        )?
        .execute(named_params! {
            ":org": tenant.org_id, ":id": session_id, ":user": tenant.user_id, ":agent": new.agent_id,
            ":project": new.project_id, ":label": new.label.as_deref().unwrap_or(DEFAULT_LABEL),
            ":metadata": new.metadata.as_deref().unwrap_or("{}"), ":origin": new.origin.unwrap_or(Origin::Chat),
            ":kept": new.kept_until.map(Timestamp::as_millis), ":now": Timestamp::now().as_millis(),
        });
    // A deleted session keeps its id, so that no late client writes into a new conversation by accident. Nobody learns whether it
    // is that, or somebody's in a private project.
    unless_taken(inserted, || Error::Conflict("this session id is taken: choose another".into()))?;
    let session = find(c, tenant, &session_id)?.ok_or(Error::NotFound("session"))?;
    search::index_new(c, session.seq)?;
    Ok(session)
}

fn is_private(c: &Connection, project_id: &str) -> Result<bool> {
    let mut statement = c.prepare_cached("SELECT 1 FROM project WHERE id = ?1 AND visibility = 'private'")?;
    Ok(statement.exists([project_id])?)
}

/// Refuses a move between projects that would take a session from its person, or give it to others.
pub fn refuse_private(is_private: bool) -> Result<()> {
    match is_private {
        true => {
            Err(Error::forbidden("only the person whose session it is can move it into or out of a private project"))
        }
        false => Ok(()),
    }
}

/// Refuses while a reply is being written in the session.
pub(super) fn refuse_running(c: &Connection, session: SessionRow) -> Result<()> {
    let mut statement = c.prepare_cached("SELECT 1 FROM turn WHERE session = ?1 AND status = 'running'")?;
    match statement.exists([session])? {
        true => Err(Error::Conflict(BUSY.into())),
        false => Ok(()),
    }
}

/// Lets go of a session.
pub(super) fn leave(c: &Connection, session: SessionRow, status: Status) -> Result<()> {
    c.prepare_cached("UPDATE session SET status = ?2, updated_at = ?3 WHERE seq = ?1")?.execute((
        session,
        status,
        Timestamp::now().as_millis(),
    ))?;
    Ok(())
}

fn parse_cursor(cursor: &str) -> Result<(i64, i64)> {
    let numbers = cursor.split_once('.').and_then(|(updated, seq)| Some((updated.parse().ok()?, seq.parse().ok()?)));
    numbers.ok_or_else(|| Error::invalid("cursor", "must be the nextCursor of an earlier page"))
}
