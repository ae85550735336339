//! MCP servers as the wire has them.

use std::collections::BTreeMap;

use poem_openapi::{
    Enum, Object,
    types::{Example, MaybeUndefined},
};
use serde::Serialize;
use serde_json::Value;

use super::super::{
    secrets::SecretSource,
    tools::{AddedBy, Approval},
    words::same_words,
};
use crate::{
    http::wire::moment::{Moment, StoredJson},
    store::mcp as stored,
    tools::mcp::State,
};

/// An MCP server.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct McpServer {
    pub(super) id: String,
    /// How its tools' names begin.
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) transport: McpTransport,
    pub(super) added_by: AddedBy,
    pub(super) is_active: bool,
    /// What its tools ask that have no setting of their own.
    pub(super) approval: ServerApproval,
    /// What a tool is that it lists later.
    pub(super) new_tools: NewTools,
    /// Where it is reached.
    #[oai(nullable)]
    pub(super) url: Option<String>,
    /// What is run instead.
    #[oai(nullable)]
    pub(super) command: Option<String>,
    pub(super) args: Vec<String>,
    /// The command's folder; `null`: one of its own.
    #[oai(nullable)]
    pub(super) cwd: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    /// The names of its secret headers, or of a command's variables. What they hold is never shown.
    pub(super) secret_headers: Vec<String>,
    pub(super) timeout_ms: i64,
    pub(super) handshake_ms: i64,
    /// Minutes without a call after which a command is ended; `null`: it is kept.
    #[oai(nullable)]
    pub(super) idle_stop_minutes: Option<i64>,
    /// Whether models read what it says of itself.
    pub(super) use_instructions: bool,
    pub(super) state: ServerState,
    /// The protocol's version that it speaks; `null`: not known yet.
    #[oai(nullable)]
    pub(super) era: Option<String>,
    #[oai(nullable)]
    pub(super) server_info: Option<StoredJson>,
    pub(super) tool_count: u64,
    /// About what the definitions of its tools take of a request.
    pub(super) estimated_tokens: u64,
    #[oai(nullable)]
    pub(super) last_error: Option<String>,
    /// The process that runs.
    #[oai(nullable)]
    pub(super) pid: Option<u32>,
    /// When its tools were read.
    #[oai(nullable)]
    pub(super) listed_at: Option<Moment>,
    pub(super) created_at: Moment,
    pub(super) updated_at: Moment,
    /// The end of what a command said beside its answers; of one server alone.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<String>,
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum McpTransport {
    /// By URL: Streamable HTTP.
    Http,
    /// As a command on the server's machine.
    Stdio,
}

/// What the tools of a server ask that have no setting of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum ServerApproval {
    /// Nobody: they run at once.
    Never,
    /// Someone who may chat in the session, or an owner.
    Ask,
    /// An owner at a browser.
    Owner,
    /// What the server says: a tool that only reads runs at once, any other asks.
    Hints,
}

/// What a tool is that a server lists after it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum NewTools {
    /// Off until it is switched on.
    Off,
    /// On, and it asks.
    Ask,
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerState {
    /// It was not used yet, or is not needed now.
    Idle,
    Connecting,
    Ready,
    /// It does not answer; its next use tries again.
    Down,
    /// It ended too often: `restart` tries again.
    Failed,
    /// It refused its credentials.
    AuthFailed,
    /// It is switched off.
    Off,
}

/// A new MCP server that is reached by its URL.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct NewMcpServer {
    /// How its tools' names begin: 1 to 24 of `a-z`, `0-9` and `-`.
    pub(super) slug: String,
    /// Default: the slug.
    pub(super) name: Option<String>,
    /// Its endpoint, by http:// or https://.
    pub(super) url: Option<String>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Headers that are never shown.
    pub(super) secret_headers: Option<BTreeMap<String, SecretSource>>,
    /// Short for the secret header `authorization: Bearer …`.
    pub(super) bearer: Option<SecretSource>,
    /// Default: `ask`.
    pub(super) approval: Option<ServerApproval>,
    /// Default: `off`.
    pub(super) new_tools: Option<NewTools>,
    /// 100 to 600,000. Default 60,000.
    pub(super) timeout_ms: Option<i64>,
    /// 10,000 to 300,000. Default 15,000.
    pub(super) handshake_ms: Option<i64>,
    pub(super) use_instructions: Option<bool>,
    pub(super) is_active: Option<bool>,
    /// Refused: a command is added on the machine, with `alm mcp add`. The same holds of `args`, `env` and `cwd`.
    pub(super) command: Option<Value>,
    pub(super) args: Option<Value>,
    pub(super) env: Option<Value>,
    pub(super) cwd: Option<Value>,
}

impl Example for NewMcpServer {
    fn example() -> Self {
        NewMcpServer {
            slug: "github".into(),
            name: Some("GitHub".into()),
            url: Some("https://mcp.example.com/mcp".into()),
            headers: None,
            secret_headers: None,
            bearer: Some(SecretSource { value: Some("0123456789abcdef".into()), env: None }),
            approval: Some(ServerApproval::Hints),
            new_tools: None,
            timeout_ms: None,
            handshake_ms: None,
            use_instructions: None,
            is_active: None,
            command: None,
            args: None,
            env: None,
            cwd: None,
        }
    }
}

/// Changes to an MCP server. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct McpServerPatch {
    pub(super) name: Option<String>,
    /// At another host, scheme or port the secret headers have to come again.
    pub(super) url: Option<String>,
    /// Replaced as a whole.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Replaced as a whole.
    pub(super) secret_headers: Option<BTreeMap<String, SecretSource>>,
    /// Short for the secret header `authorization: Bearer …`.
    pub(super) bearer: Option<SecretSource>,
    pub(super) approval: Option<ServerApproval>,
    pub(super) new_tools: Option<NewTools>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) handshake_ms: Option<i64>,
    /// `null`: a command is kept.
    #[oai(nullable)]
    pub(super) idle_stop_minutes: MaybeUndefined<i64>,
    pub(super) use_instructions: Option<bool>,
    pub(super) is_active: Option<bool>,
    /// Refused, as `args`, `env` and `cwd` are: a command is changed on the machine.
    pub(super) command: Option<Value>,
    pub(super) args: Option<Value>,
    pub(super) env: Option<Value>,
    pub(super) cwd: Option<Value>,
}

impl Example for McpServerPatch {
    fn example() -> Self {
        McpServerPatch {
            name: None,
            url: None,
            headers: None,
            secret_headers: None,
            bearer: None,
            approval: Some(ServerApproval::Ask),
            new_tools: Some(NewTools::Ask),
            timeout_ms: Some(30_000),
            handshake_ms: None,
            idle_stop_minutes: MaybeUndefined::Undefined,
            use_instructions: None,
            is_active: None,
            command: None,
            args: None,
            env: None,
            cwd: None,
        }
    }
}

/// How a server responded to a test.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct McpTest {
    pub(super) ok: bool,
    /// Up to the first that failed.
    pub(super) stages: Vec<McpStage>,
    pub(super) tools: Vec<McpToolSummary>,
    /// Tools that are set aside, and why.
    pub(super) quarantined: Vec<McpToolFault>,
    /// What else there is to say of its list.
    #[oai(nullable)]
    pub(super) note: Option<String>,
    /// The end of what a command said beside its answers.
    pub(super) log: String,
}

/// A stage of a test.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct McpStage {
    /// `reach`, `handshake` or `list`.
    pub(super) name: String,
    pub(super) ok: bool,
    pub(super) duration_ms: u64,
    #[oai(nullable)]
    pub(super) error: Option<String>,
}

/// A tool that a server lists.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct McpToolSummary {
    /// What models call it.
    pub(super) name: String,
    pub(super) description: String,
    pub(super) approval: Approval,
}

/// A tool that is set aside.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct McpToolFault {
    /// As the server calls it.
    pub(super) name: String,
    pub(super) fault: String,
}

same_words!(McpTransport = stored::Transport { Http, Stdio });
same_words!(ServerApproval = stored::Approval { Never, Ask, Owner, Hints });
same_words!(NewTools = stored::NewTools { Off, Ask });
same_words!(ServerState = State { Idle, Connecting, Ready, Down, Failed, AuthFailed, Off });
