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

/// Where the API lives.
pub const API_PREFIX: &str = "/api/v1";

/// Every resource.
pub type Api = (
    agents::Agents,
    sessions::Sessions,
    messages::Messages,
    chat::Chats,
    models::Models,
    providers::Providers,
    projects::Projects,
    billing::BillingApi,
    api_keys::ApiKeys,
    org::OrgApi,
    sign_in::SignIns,
);

/// The API, to be served.
pub fn api() -> Api {
    (
        agents::Agents,
        sessions::Sessions,
        messages::Messages,
        chat::Chats,
        models::Models,
        providers::Providers,
        projects::Projects,
        billing::BillingApi,
        api_keys::ApiKeys,
        org::OrgApi,
        sign_in::SignIns,
    )
}
