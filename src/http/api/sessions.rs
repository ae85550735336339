//! Sessions: conversations.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    types::{Example, MaybeUndefined},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::tags::Tag;
use crate::{
    error::{Error, Result},
    http::{
        auth::{Caller, Chat, ReadOrChat},
        body::JsonBody,
        wire::{
            check::{Checks, collapse_space, metadata_text, page_limit},
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
            moment::{Moment, StoredJson},
        },
    },
    store::{
        Org,
        sessions::{self as stored, NewSession, SessionFilter},
    },
};

const LABEL_CHARS_MAX: usize = 255;
const SEARCH_CHARS_MAX: usize = 500;

/// A conversation.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct Session {
    id: String,
    org_id: String,
    /// Who created it.
    user_id: String,
    /// `null` until the first turn.
    #[oai(nullable)]
    agent_id: Option<String>,
    #[oai(nullable)]
    agent_name: Option<String>,
    #[oai(nullable)]
    agent_avatar: Option<String>,
    #[oai(nullable)]
    project_id: Option<String>,
    label: String,
    status: SessionStatus,
    /// Any object of the client's.
    metadata: StoredJson,
    message_count: i64,
    created_at: Moment,
    updated_at: Moment,
    origin: SessionOrigin,
    /// The matching text. Only with `q`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<String>,
    /// The message that holds it, if the label does not. Only with `q`.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionStatus {
    Idle,
    /// A reply is being written.
    Running,
    /// A reply waits for someone to allow a tool call.
    AwaitingApproval,
    /// The server was stopped under a reply.
    Interrupted,
}

/// Who began a session, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum SessionOrigin {
    /// A person, or a program by `/chat`.
    Chat,
    /// Another agent, with the tool `ask_agent`.
    Agent,
    /// Another program, over `/mcp`.
    Mcp,
    /// A client of the Responses API.
    Responses,
    /// A client of the Chat Completions API.
    Completions,
}

/// A new session.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct SessionRequest {
    /// At most 255 characters. Default `New chat`.
    label: Option<String>,
    /// An agent's id or slug.
    agent_id: Option<String>,
    /// A project's id or slug.
    project_id: Option<String>,
    /// Any object, at most 16 KiB.
    metadata: Option<Value>,
}

impl Example for SessionRequest {
    fn example() -> Self {
        SessionRequest {
            label: Some("API quickstart".into()),
            agent_id: Some("ala".into()),
            project_id: None,
            metadata: Some(json!({ "source": "docs" })),
        }
    }
}

/// Changes to a session. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct SessionPatch {
    label: Option<String>,
    metadata: Option<Value>,
    /// A project's id or slug; `null` removes the session from its project.
    #[oai(nullable)]
    project_id: MaybeUndefined<String>,
    /// Only `idle` can be set, and only while no reply is running.
    status: Option<SessionStatus>,
}

impl Example for SessionPatch {
    fn example() -> Self {
        SessionPatch {
            label: Some("Periodic table".into()),
            metadata: None,
            project_id: MaybeUndefined::Undefined,
            status: None,
        }
    }
}

/// The operations.
#[derive(Default)]
pub struct Sessions;

#[OpenApi(tag = "Tag::Sessions")]
impl Sessions {
    /// List sessions, most recently changed first
    #[oai(path = "/sessions", method = "get", operation_id = "list_sessions")]
    #[allow(clippy::too_many_arguments)] // one for each parameter of the query
    async fn list_sessions(
        &self,
        caller: Caller<ReadOrChat>,
        #[oai(name = "projectId")] project_id: Query<Option<String>>,
        #[oai(name = "agentId")] agent_id: Query<Option<String>>,
        /// Words to search for in labels and messages. The last may be the beginning of a word; of a script without spaces
        /// between words, each may be any part of a sentence.
        q: Query<Option<String>>,
        /// Only sessions of this origin. Without it, those of `agent` and `responses` are left out.
        origin: Query<Option<SessionOrigin>>,
        /// Whether to list only sessions that are pinned: those whose metadata has `"pinned": true`. Default `false`.
        pinned: Query<Option<bool>>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Session>>, ApiError> {
        let filter = SessionFilter {
            project_id: project_id.0,
            agent_id: agent_id.0,
            search: q.0,
            origin: origin.0.map(Into::into),
            is_pinned: pinned.0 == Some(true),
        };
        Ok(list(&caller, filter, limit.0, cursor.0).await?)
    }

    /// List an agent's sessions, most recently changed first
    #[oai(path = "/agents/:id/sessions", method = "get", operation_id = "list_agent_sessions")]
    async fn list_agent_sessions(
        &self,
        caller: Caller<ReadOrChat>,
        /// The agent's id or slug.
        id: Path<String>,
        /// 1 to 100. Default 50.
        limit: Query<Option<i64>>,
        /// The `nextCursor` of the previous page.
        cursor: Query<Option<String>>,
    ) -> Result<Data<Items<Session>>, ApiError> {
        let agent_id = Some(caller.org().agent(&id)?.id);
        Ok(list(&caller, SessionFilter { agent_id, ..SessionFilter::default() }, limit.0, cursor.0).await?)
    }

    /// Create a session
    #[oai(path = "/sessions", method = "post", operation_id = "create_session")]
    async fn create_session(
        &self,
        caller: Caller<Chat>,
        body: JsonBody<SessionRequest>,
    ) -> Result<Created<Session>, ApiError> {
        let org = caller.org();
        let session = org.create_session(body.0.into_new(&org)?).await?;
        Ok(Data::of(&Session::of(session, &caller.tenant.org_id)))
    }

    /// Get a session
    #[oai(path = "/sessions/:id", method = "get", operation_id = "get_session")]
    async fn get_session(&self, caller: Caller<ReadOrChat>, id: Path<String>) -> Result<Data<Session>, ApiError> {
        Ok(Data::of(&Session::of(caller.org().session(&id)?, &caller.tenant.org_id)))
    }

    /// Update a session
    #[oai(path = "/sessions/:id", method = "patch", operation_id = "update_session")]
    async fn update_session(
        &self,
        caller: Caller<Chat>,
        id: Path<String>,
        body: JsonBody<SessionPatch>,
    ) -> Result<Data<Session>, ApiError> {
        let org = caller.org();
        let edit = body.0.into_edit(&org)?;
        let session = org.update_session(id.0, move |session| edit.apply(session)).await?;
        Ok(Data::of(&Session::of(session, &caller.tenant.org_id)))
    }

    /// Delete a session
    #[oai(path = "/sessions/:id", method = "delete", operation_id = "delete_session")]
    async fn delete_session(&self, caller: Caller<Chat>, id: Path<String>) -> Result<Data<Deleted>, ApiError> {
        caller.org().delete_session(id.0).await?;
        Ok(Data::deleted())
    }
}

/// A page of sessions. A search scans, so it leaves the thread of the requests.
async fn list(
    caller: &Caller<ReadOrChat>,
    filter: SessionFilter,
    limit: Option<i64>,
    cursor: Option<String>,
) -> Result<Data<Items<Session>>> {
    let limit = page_limit(limit)?;
    let page = match &filter.search {
        None => caller.org().sessions(&filter, limit, cursor.as_deref())?,
        Some(words) => {
            let mut checks = Checks::default();
            checks.chars("q", words, 1..=SEARCH_CHARS_MAX);
            checks.done()?;
            caller.scan(move |org| org.sessions(&filter, limit, cursor.as_deref())).await?
        }
    };
    Ok(Data::of(&Items::page(page, |session| Session::of(session, &caller.tenant.org_id))))
}

impl Session {
    fn of(session: stored::Session, org_id: &str) -> Self {
        Session {
            id: session.id,
            org_id: org_id.to_owned(),
            user_id: session.user_id,
            agent_id: session.agent_id,
            agent_name: session.agent_name,
            agent_avatar: session.agent_avatar,
            project_id: session.project_id,
            label: session.label,
            status: session.status.into(),
            metadata: StoredJson::new(session.metadata),
            message_count: session.message_count,
            created_at: session.created_at.into(),
            updated_at: session.updated_at.into(),
            origin: session.origin.into(),
            snippet: session.snippet,
            message_id: session.message_id,
        }
    }
}

impl From<stored::Status> for SessionStatus {
    fn from(status: stored::Status) -> Self {
        match status {
            stored::Status::Idle => SessionStatus::Idle,
            stored::Status::Running => SessionStatus::Running,
            stored::Status::AwaitingApproval => SessionStatus::AwaitingApproval,
            stored::Status::Interrupted => SessionStatus::Interrupted,
        }
    }
}

impl From<stored::Origin> for SessionOrigin {
    fn from(origin: stored::Origin) -> Self {
        match origin {
            stored::Origin::Chat => SessionOrigin::Chat,
            stored::Origin::Agent => SessionOrigin::Agent,
            stored::Origin::Mcp => SessionOrigin::Mcp,
            stored::Origin::Responses => SessionOrigin::Responses,
            stored::Origin::Completions => SessionOrigin::Completions,
        }
    }
}

impl From<SessionOrigin> for stored::Origin {
    fn from(origin: SessionOrigin) -> Self {
        match origin {
            SessionOrigin::Chat => stored::Origin::Chat,
            SessionOrigin::Agent => stored::Origin::Agent,
            SessionOrigin::Mcp => stored::Origin::Mcp,
            SessionOrigin::Responses => stored::Origin::Responses,
            SessionOrigin::Completions => stored::Origin::Completions,
        }
    }
}

impl SessionRequest {
    fn into_new(self, org: &Org<'_>) -> Result<NewSession> {
        let label = self.label.map(|label| collapse_space(&label)).filter(|label| !label.is_empty());
        let mut checks = Checks::default();
        checks.chars("label", label.as_deref().unwrap_or_default(), 0..=LABEL_CHARS_MAX);
        checks.done()?;
        Ok(NewSession {
            id: None,
            agent_id: self.agent_id.map(|key| org.agent(&key)).transpose()?.map(|agent| agent.id),
            project_id: self.project_id.map(|key| org.project(&key)).transpose()?.map(|project| project.id),
            label,
            metadata: self.metadata.map(metadata_text).transpose()?,
            origin: None,
            kept_until: None,
        })
    }
}

/// A patch whose names have been looked up.
struct Edit {
    label: Option<String>,
    metadata: Option<String>,
    project_id: MaybeUndefined<String>,
    status: Option<SessionStatus>,
}

impl SessionPatch {
    fn into_edit(self, org: &Org<'_>) -> Result<Edit> {
        let label = self.label.map(|label| collapse_space(&label));
        let mut checks = Checks::default();
        label.iter().for_each(|label| checks.chars("label", label, 1..=LABEL_CHARS_MAX));
        let settable = self.status.is_none_or(|status| status == SessionStatus::Idle);
        checks.that(settable, "status", || "must be idle: the server sets the other values");
        checks.done()?;
        let project_id = match self.project_id {
            MaybeUndefined::Value(key) => MaybeUndefined::Value(org.project(&key)?.id),
            other => other,
        };
        let metadata = self.metadata.map(metadata_text).transpose()?;
        Ok(Edit { label, metadata, project_id, status: self.status })
    }
}

impl Edit {
    fn apply(self, session: &mut stored::Session) -> Result<()> {
        if self.status.is_some() && session.status == stored::Status::Running {
            return Err(Error::Conflict("a reply is running in this session: stop it first".into()));
        }
        if self.status.is_some() {
            session.status = stored::Status::Idle;
        }
        self.project_id.update_to(&mut session.project_id);
        self.label.into_iter().for_each(|label| session.label = label);
        self.metadata.into_iter().for_each(|metadata| session.metadata = metadata);
        Ok(())
    }
}
