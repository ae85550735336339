//! MCP servers between the wire and what is kept of them.

use std::collections::BTreeMap;

use super::{
    super::secrets::{self, SecretSource},
    wire::{McpServer, McpServerPatch, McpStage, McpTest, McpToolFault, McpToolSummary, NewMcpServer, ServerState},
};
use crate::{
    error::{Error, Result},
    http::wire::{check::nullable, moment::StoredJson},
    store::mcp as stored,
    tools::{
        connect::{NewServer, ON_THE_MACHINE, Place, ServerChange},
        listing::{Shown, State},
        mcp::{Report, Seen, Stage},
        place,
        secrets::{NewSecret, Secrets},
    },
};

/// The header that a bearer token is sent in.
const AUTHORIZATION: &str = "authorization";
/// Bytes of JSON that are about a token.
const BYTES_PER_TOKEN: usize = 4;

impl McpServer {
    pub(super) fn of(server: stored::McpServer, tools: &[stored::McpTool], seen: Seen) -> Self {
        let there: Vec<_> = tools.iter().filter(|tool| tool.is_there).collect();
        let bytes: usize = there.iter().map(|tool| tool.name.len() + tool.definition.len()).sum();
        let secrets = Secrets::from_json(&server.secrets).unwrap_or_default();
        McpServer {
            transport: server.transport.into(),
            added_by: server.added_by.into(),
            is_active: server.is_active,
            approval: server.approval.into(),
            new_tools: server.new_tools.into(),
            url: server.url,
            command: server.command,
            args: serde_json::from_str(&server.args).unwrap_or_default(),
            cwd: server.cwd,
            headers: place::headers_of(&server.headers).into_iter().collect(),
            secret_headers: secrets.names().map(str::to_owned).collect(),
            timeout_ms: server.timeout_ms.into(),
            handshake_ms: server.handshake_ms.into(),
            idle_stop_minutes: server.idle_stop_minutes.map(Into::into),
            use_instructions: server.use_instructions,
            state: if server.is_active { seen.state.into() } else { ServerState::Off },
            era: server.era,
            server_info: server.info.map(StoredJson::new),
            tool_count: there.len() as u64,
            estimated_tokens: bytes.div_ceil(BYTES_PER_TOKEN) as u64,
            last_error: seen.error.or(server.last_error),
            pid: seen.pid,
            listed_at: server.listed_at.map(Into::into),
            created_at: server.created_at.into(),
            updated_at: server.updated_at.into(),
            log: None,
            id: server.id,
            slug: server.slug,
            name: server.name,
        }
    }
}

impl McpServer {
    /// The same, where what was asked of it failed for that reason.
    pub(super) fn or_failed(self, failure: Option<String>) -> Self {
        McpServer { last_error: failure.or(self.last_error), ..self }
    }
}

impl McpTest {
    pub(super) fn of(report: Report, tools: Vec<Shown>) -> Self {
        let stage = |stage: Stage| McpStage {
            name: stage.name.into(),
            ok: stage.error.is_none(),
            duration_ms: stage.duration.as_millis() as u64,
            error: stage.error,
        };
        let tool = |tool: Shown| McpToolSummary {
            name: tool.name,
            description: tool.description,
            approval: tool.policy.into(),
        };
        let fault = |(name, fault)| McpToolFault { name, fault };
        let fine = tools.into_iter().filter(|tool| !matches!(tool.state, State::Faulty | State::Unavailable));
        McpTest {
            ok: report.is_ok,
            stages: report.stages.into_iter().map(stage).collect(),
            tools: fine.map(tool).collect(),
            quarantined: report.quarantined.into_iter().map(fault).collect(),
            note: report.note,
            log: report.log,
        }
    }
}

impl TryFrom<NewMcpServer> for NewServer {
    type Error = Error;

    fn try_from(new: NewMcpServer) -> Result<Self> {
        if [&new.command, &new.args, &new.env, &new.cwd].into_iter().any(Option::is_some) {
            return Err(Error::forbidden(ON_THE_MACHINE));
        }
        let required = || Error::invalid("url", "required: its endpoint, such as https://mcp.example.com/mcp");
        Ok(NewServer {
            slug: new.slug,
            place: Place::Url(new.url.ok_or_else(required)?),
            more: ServerChange {
                name: new.name,
                headers: new.headers.map(|headers| headers.into_iter().collect()),
                secrets: secrets_of(new.secret_headers, new.bearer)?,
                approval: new.approval.map(Into::into),
                new_tools: new.new_tools.map(Into::into),
                timeout_ms: new.timeout_ms,
                handshake_ms: new.handshake_ms,
                use_instructions: new.use_instructions,
                is_active: new.is_active,
                ..ServerChange::default()
            },
        })
    }
}

impl TryFrom<McpServerPatch> for ServerChange {
    type Error = Error;

    fn try_from(patch: McpServerPatch) -> Result<Self> {
        if [&patch.command, &patch.args, &patch.env, &patch.cwd].into_iter().any(Option::is_some) {
            return Err(Error::forbidden(ON_THE_MACHINE));
        }
        Ok(ServerChange {
            name: patch.name,
            url: patch.url,
            headers: patch.headers.map(|headers| headers.into_iter().collect()),
            secrets: secrets_of(patch.secret_headers, patch.bearer)?,
            approval: patch.approval.map(Into::into),
            new_tools: patch.new_tools.map(Into::into),
            timeout_ms: patch.timeout_ms,
            handshake_ms: patch.handshake_ms,
            idle_stop_minutes: nullable(patch.idle_stop_minutes),
            use_instructions: patch.use_instructions,
            is_active: patch.is_active,
        })
    }
}

/// Secret headers, with the bearer token among them.
fn secrets_of(
    headers: Option<BTreeMap<String, SecretSource>>,
    bearer: Option<SecretSource>,
) -> Result<Option<Vec<(String, NewSecret)>>> {
    if headers.is_none() && bearer.is_none() {
        return Ok(None);
    }
    let mut taken = secrets::taken("secretHeaders", headers.unwrap_or_default())?;
    if let Some(bearer) = bearer {
        taken.push((AUTHORIZATION.to_owned(), secrets::bearer("bearer", bearer)?));
    }
    Ok(Some(taken))
}
