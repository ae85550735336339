//! The resources: a file for each, with its wire types, its conversions and its handlers.
//!
//! Rule: a handler is decode, one call, encode; its name is its operation id.

pub mod agents;
pub mod api_keys;
pub mod billing;
pub mod chat;
mod chunks;
pub mod messages;
pub mod models;
pub mod org;
pub mod projects;
pub mod providers;
pub mod sessions;
pub mod sign_in;
mod tags;
mod ui_stream;

use crate::http::wire::operation::{
    BODY_BYTES_MAX, HISTORY_BYTES_MAX, Operation,
    Repeats::{self, Executed, Refused, Replayed},
};

/// Where the API lives.
pub const API_PREFIX: &str = "/api/v1";

/// Every resource, in groups: a tuple of poem-openapi holds 16.
pub type Api = (
    (agents::Agents, sessions::Sessions, messages::Messages, chat::Chats),
    (models::Models, providers::Providers),
    (projects::Projects, billing::BillingApi),
    (api_keys::ApiKeys, org::OrgApi, sign_in::SignIns),
);

/// What every operation that takes a body, or is a POST, declares of itself.
pub const OPERATIONS: [Operation; 23] = [
    row("create_agent", BODY_BYTES_MAX, Replayed),
    row("update_agent", BODY_BYTES_MAX, Executed),
    row("create_project", BODY_BYTES_MAX, Replayed),
    row("update_project", BODY_BYTES_MAX, Executed),
    row("create_session", BODY_BYTES_MAX, Replayed),
    row("update_session", BODY_BYTES_MAX, Executed),
    row("create_message", HISTORY_BYTES_MAX, Replayed),
    row("create_chat", HISTORY_BYTES_MAX, Replayed),
    row("resume_chat", BODY_BYTES_MAX, Replayed),
    row("stop_chat", BODY_BYTES_MAX, Replayed),
    row("create_provider", BODY_BYTES_MAX, Replayed),
    row("update_provider", BODY_BYTES_MAX, Executed),
    row("test_provider", BODY_BYTES_MAX, Replayed),
    row("refresh_provider", BODY_BYTES_MAX, Replayed),
    row("create_deposit", BODY_BYTES_MAX, Replayed),
    row("create_api_key", BODY_BYTES_MAX, Refused),
    row("rotate_api_key", BODY_BYTES_MAX, Refused),
    row("update_org", BODY_BYTES_MAX, Executed),
    row("set_up", BODY_BYTES_MAX, Executed),
    row("log_in", BODY_BYTES_MAX, Executed),
    row("step_up", BODY_BYTES_MAX, Executed),
    row("log_out", BODY_BYTES_MAX, Executed),
    row("change_password", BODY_BYTES_MAX, Executed),
];

const fn row(id: &'static str, body_bytes_max: usize, repeats: Repeats) -> Operation {
    Operation { id, body_bytes_max, repeats }
}
