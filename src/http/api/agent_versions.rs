//! Versions of an agent: what it was before its last changes.

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use super::{agents::Agent, tags::Tag};
use crate::{
    http::{
        auth::{Caller, Read, Write},
        body::JsonBody,
        wire::{
            data::{Data, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    store::agent_versions as stored,
};

/// An agent as it was.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct AgentVersion {
    /// From 1.
    version: i64,
    /// When it became so.
    created_at: Moment,
    /// Who made it so; `null` if that was before versions were kept.
    #[oai(nullable)]
    email: Option<String>,
    /// With the slug that it has now, and active if it is so now.
    agent: Agent,
}

/// Which version it is to be again.
#[derive(Debug, Object)]
#[oai(example)]
struct RestoreAgentRequest {
    /// One of `GET /agents/{id}/versions`.
    version: i64,
}

impl Example for RestoreAgentRequest {
    fn example() -> Self {
        RestoreAgentRequest { version: 1 }
    }
}

/// The operations.
#[derive(Default)]
pub struct AgentVersions;

#[OpenApi(tag = "Tag::Agents")]
impl AgentVersions {
    /// List the last versions of an agent, newest first
    ///
    /// The first is the agent as it is. Ten are kept.
    #[oai(path = "/agents/:id/versions", method = "get", operation_id = "list_agent_versions")]
    async fn list_agent_versions(
        &self,
        caller: Caller<Read>,
        /// The agent's id or slug.
        id: Path<String>,
    ) -> Result<Data<Items<AgentVersion>>, ApiError> {
        let versions = caller.org().agent_versions(&id)?;
        let shown = |version: stored::AgentVersion| AgentVersion {
            version: version.version,
            created_at: version.created_at.into(),
            email: version.email,
            agent: Agent::of(version.agent, &caller),
        };
        let items = versions.into_iter().map(shown).collect();
        Ok(Data::of(&Items { items, next_cursor: None, has_more: false }))
    }

    /// Make an agent what it was in a version
    ///
    /// Its slug, and whether it is active, stay as they are. What it is now is kept as a version too.
    #[oai(path = "/agents/:id/restore", method = "post", operation_id = "restore_agent_version")]
    async fn restore_agent_version(
        &self,
        caller: Caller<Write>,
        /// The agent's id or slug.
        id: Path<String>,
        body: JsonBody<RestoreAgentRequest>,
    ) -> Result<Data<Agent>, ApiError> {
        let agent = caller.org().restore_agent(id.0, body.0.version).await?;
        Ok(Data::of(&Agent::of(agent, &caller)))
    }
}
