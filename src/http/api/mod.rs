//! The resources: a file for each, with its wire types, its conversions and its handlers.
//!
//! Rule: a handler is decode, one call, encode; its name is its operation id.

mod agent_settings;
pub mod agent_versions;
pub mod agents;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod billing;
pub mod chat;
mod chunks;
pub mod events;
mod join;
pub mod local_models;
pub mod mcp_servers;
pub mod members;
pub mod message_versions;
pub mod messages;
pub mod models;
pub mod org;
pub mod projects;
pub mod providers;
pub mod requests;
mod secrets;
pub mod sessions;
pub mod sign_in;
mod tags;
pub mod tool_calls;
pub mod tools;
mod ui_stream;
pub(crate) mod wanted_agent; // an agent as a program wants it
mod words;

use poem::Request;

use crate::{
    error::Result,
    http::{
        auth::{self, Chat, Owner, OwnerSteppedUp, SteppedUp, Write},
        wire::operation::{
            BODY_BYTES_MAX, HISTORY_BYTES_MAX, Operation,
            Repeats::{self, Executed, Refused, Replayed},
        },
    },
};

/// Where the API lives.
pub const API_PREFIX: &str = "/api/v1";

/// Every resource, in groups: a tuple of poem-openapi holds 16.
pub type Api = (
    (agents::Agents, agent_versions::AgentVersions, sessions::Sessions, chat::Chats, approvals::Approvals),
    (messages::Messages, message_versions::MessageVersions),
    (models::Models, providers::Providers, local_models::LocalModels),
    (tools::ToolsApi, mcp_servers::McpServers, tool_calls::ToolCalls),
    (projects::Projects, billing::BillingApi, requests::Requests, events::Events),
    (api_keys::ApiKeys, org::OrgApi, members::Members, audit::AuditApi, sign_in::SignIns, join::Joining),
);

/// What every operation that takes a body, or is a POST, declares of itself.
pub const OPERATIONS: [Operation; 42] = [
    row("create_agent", BODY_BYTES_MAX, Replayed, auth::admits::<Write>),
    row("update_agent", BODY_BYTES_MAX, Executed, auth::admits::<Write>),
    row("restore_agent_version", BODY_BYTES_MAX, Replayed, auth::admits::<Write>),
    row("create_project", BODY_BYTES_MAX, Replayed, auth::admits::<Write>),
    row("update_project", BODY_BYTES_MAX, Executed, auth::admits::<Write>),
    row("create_session", BODY_BYTES_MAX, Replayed, auth::admits::<Chat>),
    row("update_session", BODY_BYTES_MAX, Executed, auth::admits::<Chat>),
    row("create_message", HISTORY_BYTES_MAX, Replayed, auth::admits::<Chat>).counted(),
    row("restore_message_version", BODY_BYTES_MAX, Replayed, auth::admits::<Chat>),
    row("create_chat", HISTORY_BYTES_MAX, Replayed, auth::admits::<Chat>).counted(),
    row("resume_chat", BODY_BYTES_MAX, Replayed, auth::admits::<Chat>).counted(),
    row("decide_approval", BODY_BYTES_MAX, Replayed, auth::admits::<Chat>),
    row("stop_chat", BODY_BYTES_MAX, Replayed, auth::admits::<Chat>),
    row("create_provider", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("update_provider", BODY_BYTES_MAX, Executed, auth::admits::<OwnerSteppedUp>),
    row("test_provider", BODY_BYTES_MAX, Replayed, auth::admits::<Owner>),
    row("refresh_provider", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("start_local_model", BODY_BYTES_MAX, Replayed, auth::admits::<Owner>),
    row("stop_local_model", BODY_BYTES_MAX, Replayed, auth::admits::<Owner>),
    row("restart_local_model", BODY_BYTES_MAX, Replayed, auth::admits::<Owner>),
    row("create_tool", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("update_tool", BODY_BYTES_MAX, Executed, auth::admits::<OwnerSteppedUp>),
    row("test_tool", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("test_mcp_server", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("refresh_mcp_server", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("restart_mcp_server", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("create_mcp_server", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("update_mcp_server", BODY_BYTES_MAX, Executed, auth::admits::<OwnerSteppedUp>),
    row("create_deposit", BODY_BYTES_MAX, Replayed, auth::admits::<OwnerSteppedUp>),
    row("create_api_key", BODY_BYTES_MAX, Refused, auth::admits::<SteppedUp>),
    row("rotate_api_key", BODY_BYTES_MAX, Refused, auth::admits::<SteppedUp>),
    row("update_api_key", BODY_BYTES_MAX, Executed, auth::admits::<SteppedUp>),
    row("update_member", BODY_BYTES_MAX, Executed, auth::admits::<OwnerSteppedUp>),
    row("create_invitation", BODY_BYTES_MAX, Refused, auth::admits::<OwnerSteppedUp>),
    row("update_org", BODY_BYTES_MAX, Executed, auth::admits::<Owner>),
    of_sign_in("set_up"),
    of_sign_in("log_in"),
    of_sign_in("show_invitation"),
    of_sign_in("accept_invitation"),
    of_sign_in("step_up"),
    of_sign_in("log_out"),
    of_sign_in("change_password"),
];

const fn row(
    id: &'static str,
    body_bytes_max: usize,
    repeats: Repeats,
    admits: fn(&Request) -> Result<()>,
) -> Operation {
    Operation { id, body_bytes_max, repeats, admits: Some(admits), counted: None }
}

/// One whose handler looks at the cookie itself, if there has to be one.
const fn of_sign_in(id: &'static str) -> Operation {
    Operation { id, body_bytes_max: BODY_BYTES_MAX, repeats: Executed, admits: None, counted: None }
}
