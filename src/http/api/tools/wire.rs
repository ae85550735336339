//! Tools as the wire has them.

use std::collections::BTreeMap;

use poem_openapi::{
    Enum, Object,
    types::{Example, MaybeUndefined},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::{secrets::SecretSource, words::same_words};
use crate::{
    http::wire::moment::{Moment, StoredJson},
    store::{tool_calls, tools as stored},
    tools::listing,
};

/// A tool.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct Tool {
    /// What models call it.
    pub(super) name: String,
    #[oai(nullable)]
    pub(super) title: Option<String>,
    pub(super) description: String,
    /// A JSON Schema.
    pub(super) input_schema: StoredJson,
    /// `null` of a name that only an agent has.
    #[oai(nullable)]
    pub(super) origin: Option<ToolOrigin>,
    /// The slug of its MCP server.
    #[oai(nullable)]
    pub(super) server: Option<String>,
    /// Who has to allow a call.
    pub(super) approval: Approval,
    pub(super) is_on: bool,
    pub(super) state: ToolState,
    /// Why models are not offered it.
    #[oai(nullable)]
    pub(super) fault: Option<String>,
    /// Of its definition. What a person allows is bound to it.
    pub(super) fingerprint: String,
    /// Whether its MCP server changed it since it was accepted: until it is accepted anew, every call asks.
    pub(super) changed: bool,
    /// What was accepted of a tool that has changed.
    #[oai(nullable)]
    pub(super) accepted: Option<AcceptedDefinition>,
    /// About what its definition takes of a request.
    pub(super) estimated_tokens: u64,
    /// Whether the same call twice is once.
    pub(super) idempotent: bool,
    /// US dollars, in decimal digits.
    #[oai(nullable)]
    pub(super) price_per_call: Option<String>,
    /// This and what follows: of an HTTP tool, as it was declared.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// The names of its secret headers. What they hold is never shown.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_headers: Option<Vec<String>>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<ToolBody>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_bytes_max: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) added_by: Option<AddedBy>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) updated_at: Option<Moment>,
}

/// Where a tool comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum ToolOrigin {
    /// Of alm itself.
    Builtin,
    /// A request that an owner declared.
    Http,
    /// Of an MCP server.
    Mcp,
    /// Run by whoever asks.
    Client,
    /// Of the program that alm runs in.
    Host,
}

/// Whether models are offered a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum ToolState {
    /// They are.
    Ready,
    /// It, or its server, is switched off.
    Off,
    /// Its definition cannot be used: `fault` says why.
    Faulty,
    /// Its server does not answer, or lists it no more: `fault` says which.
    Unavailable,
    /// The agent names it, and there is none of that name.
    Missing,
}

/// Who has to allow a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Approval {
    /// Nobody: it runs at once.
    Never,
    /// Someone who may chat in the session, or an owner.
    Ask,
    /// An owner at a browser.
    Owner,
    /// Nobody can: it is not offered.
    Off,
}

/// What becomes of the input that is not in the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum ToolBody {
    /// A JSON object.
    Json,
    /// A form.
    Form,
    /// Nothing; of GET, HEAD and DELETE it goes to the query.
    None,
}

/// Who added something, and so vouches for its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum AddedBy {
    /// Who runs `alm` on the machine.
    Operator,
    /// An owner, over the API.
    Api,
}

/// What was accepted of a tool that has changed.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedDefinition {
    pub(super) description: String,
    pub(super) input_schema: StoredJson,
}

/// A new HTTP tool.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct NewTool {
    /// What models call it: 1 to 64 of `a-z`, `0-9`, `_` and `-`, without `__`.
    pub(super) name: String,
    /// When to call it, and what it does. 1 to 2,048 characters.
    pub(super) description: String,
    /// A JSON Schema of an object. At most 32 KiB.
    pub(super) input_schema: Value,
    /// GET, HEAD, POST, PUT, PATCH or DELETE.
    pub(super) method: String,
    /// An http:// or https:// URL. `{name}` in its path or query is the input's value of that name, `{?a,b}` and `{&a,b}` are
    /// a query.
    pub(super) url: String,
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Headers that are never shown.
    pub(super) secret_headers: Option<BTreeMap<String, SecretSource>>,
    /// What becomes of the rest of the input. Default: `json` for POST, PUT and PATCH, else `none`.
    pub(super) body: Option<ToolBody>,
    /// 100 to 600,000. Default 30,000.
    pub(super) timeout_ms: Option<i64>,
    /// Bytes of a response that are read: 1 to 4,194,304. Default 262,144.
    pub(super) response_bytes_max: Option<i64>,
    /// Default: `never` for GET and HEAD, else `ask`.
    pub(super) approval: Option<Approval>,
    /// Whether the API does the same call once if it comes twice. Default: no.
    pub(super) idempotent: Option<bool>,
    /// US dollars in decimal digits, such as `0.01`. Default: nothing.
    #[oai(nullable)]
    pub(super) price_per_call: Option<String>,
    pub(super) is_active: Option<bool>,
}

impl Example for NewTool {
    fn example() -> Self {
        NewTool {
            name: "create_ticket".into(),
            description: "Opens a ticket. Use it when somebody reports something that is broken.".into(),
            input_schema: json!({
                "type": "object",
                "properties": { "project": { "type": "string" }, "title": { "type": "string" } },
                "required": ["project", "title"],
                "additionalProperties": false,
            }),
            method: "POST".into(),
            url: "https://api.example.com/v1/projects/{project}/tickets".into(),
            headers: Some(BTreeMap::from([("accept".into(), "application/json".into())])),
            secret_headers: Some(BTreeMap::from([(
                "authorization".into(),
                SecretSource { value: Some("Bearer 0123456789abcdef".into()), env: None },
            )])),
            body: Some(ToolBody::Json),
            timeout_ms: None,
            response_bytes_max: None,
            approval: Some(Approval::Ask),
            idempotent: None,
            price_per_call: None,
            is_active: None,
        }
    }
}

/// Changes to a tool. Absent fields stay as they are. A tool of an MCP server has `approval`, `isOn`, `idempotent`, `pricePerCall` and
/// `accept`, an HTTP tool all but `accept`.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
pub(super) struct ToolPatch {
    pub(super) description: Option<String>,
    pub(super) input_schema: Option<Value>,
    pub(super) method: Option<String>,
    /// At another host, scheme or port the secret headers have to come again.
    pub(super) url: Option<String>,
    /// Replaced as a whole.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Replaced as a whole.
    pub(super) secret_headers: Option<BTreeMap<String, SecretSource>>,
    pub(super) body: Option<ToolBody>,
    pub(super) timeout_ms: Option<i64>,
    pub(super) response_bytes_max: Option<i64>,
    /// `null`: a tool of an MCP server goes by its server's.
    #[oai(nullable)]
    pub(super) approval: MaybeUndefined<Approval>,
    pub(super) idempotent: Option<bool>,
    /// `null`: it costs nothing.
    #[oai(nullable)]
    pub(super) price_per_call: MaybeUndefined<String>,
    pub(super) is_active: Option<bool>,
    /// The same as `isActive`.
    pub(super) is_on: Option<bool>,
    /// The `fingerprint` that was read: what the tool is by it, is accepted.
    pub(super) accept: Option<String>,
}

impl Example for ToolPatch {
    fn example() -> Self {
        ToolPatch {
            description: None,
            input_schema: None,
            method: None,
            url: None,
            headers: None,
            secret_headers: None,
            body: None,
            timeout_ms: Some(10_000),
            response_bytes_max: None,
            approval: MaybeUndefined::Value(Approval::Owner),
            idempotent: None,
            price_per_call: MaybeUndefined::Undefined,
            is_active: None,
            is_on: None,
            accept: None,
        }
    }
}

/// What a tool is tried with.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(super) struct ToolTrial {
    /// As a model would give it.
    pub(super) input: Value,
}

impl Example for ToolTrial {
    fn example() -> Self {
        ToolTrial { input: json!({ "project": "alm", "title": "The door does not close" }) }
    }
}

/// What came of it.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolTest {
    pub(super) ok: bool,
    #[oai(nullable)]
    pub(super) output: Option<Value>,
    /// What a model would read of a failure.
    #[oai(nullable)]
    pub(super) error: Option<String>,
    /// The response's HTTP status.
    #[oai(nullable)]
    pub(super) status: Option<u16>,
    pub(super) duration_ms: u64,
    /// What was sent; `null` of a tool that sends no request of its own.
    #[oai(nullable)]
    pub(super) request: Option<SentRequest>,
}

/// A request that was sent for a tool.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct SentRequest {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) header_names: Vec<String>,
}

same_words!(ToolOrigin = tool_calls::Origin { Builtin, Http, Mcp, Client, Host });
same_words!(ToolState = listing::State { Ready, Off, Faulty, Unavailable, Missing });
same_words!(Approval = stored::Policy { Never, Ask, Owner, Off });
same_words!(ToolBody = stored::Body { Json, Form, None });
same_words!(AddedBy = stored::AddedBy { Operator, Api });
