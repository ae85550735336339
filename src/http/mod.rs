//! The only poem. A request comes in at `serve`, passes `edge` and `auth`, and reaches one handler.
//!
//! Rule: a handler is decode, one call, encode. An `if` about the domain is in the wrong file. A resource's file holds
//! its wire types, its conversions and its handlers, whose names are their operation ids.
//! Reading order: this file, `edge.rs`, `auth`, `envelope.rs`, `body.rs`; then the resources.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get, handler, http::Method, web::Redirect};
use poem_openapi::{OpenApiService, Tags};

use crate::{catalog::Catalog, error::Result, store::Store, turn::engine::Engine};

pub mod assets;
pub mod auth;
pub mod body;
pub mod bridge;
mod check;
pub mod cors;
pub mod data;
pub mod docs;
mod document;
pub mod edge;
pub mod envelope;
pub mod health;
pub mod idempotency;
mod linger;
pub mod metrics;
pub mod page;
pub mod rate_limit;
pub mod serve;
pub mod setup;
pub mod wire;

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
pub mod ui_stream;

pub use document::document;
pub(crate) use document::schemas;

/// Where the API lives.
const API_PREFIX: &str = "/api/v1";
/// Keys that may fail for one address in a minute before it has to wait.
const FAILED_KEYS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// What every request may reach.
pub struct App {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub engine: Arc<Engine>,
    pub metrics: metrics::Metrics,
    pub bridge: bridge::Bridge,
    /// Where passwords are hashed.
    hashing: bridge::Bridge,
    pub cors: cors::Cors,
    hosts: auth::host::Hosts,
    setup: Option<setup::SetupCode>,
    /// Set once, when the server begins to go down.
    pub draining: AtomicBool,
    /// Chats, by the person who asks.
    chat_rate: rate_limit::RateLimit<String>,
    failed_keys: rate_limit::RateLimit<std::net::IpAddr>,
    /// Passwords and setup codes that were wrong.
    waits: auth::waits::Waits,
    in_flight: idempotency::InFlight,
}

/// Whom a server lets in, and how often.
pub struct Admission {
    pub cors: cors::Cors,
    pub hosts: auth::host::Hosts,
    /// What makes the first organization; absent where there is one.
    pub setup: Option<setup::SetupCode>,
    pub chats_per_minute: NonZeroU32,
}

impl App {
    /// Around an engine and what it stands on.
    pub fn new(store: Store, catalog: Arc<Catalog>, engine: Arc<Engine>, admission: Admission) -> Self {
        App {
            store,
            catalog,
            metrics: metrics::Metrics::new(engine.clone()),
            engine,
            bridge: bridge::Bridge::for_scans(),
            hashing: bridge::Bridge::for_passwords(),
            cors: admission.cors,
            hosts: admission.hosts,
            setup: admission.setup,
            draining: AtomicBool::new(false),
            chat_rate: rate_limit::RateLimit::per_minute(admission.chats_per_minute),
            failed_keys: rate_limit::RateLimit::per_minute(FAILED_KEYS_PER_MINUTE),
            waits: auth::waits::Waits::default(),
            in_flight: idempotency::InFlight::default(),
        }
    }

    /// Refuses new work once the server goes down.
    fn refuse_while_draining(&self) -> Result<()> {
        if self.draining.load(Ordering::Relaxed) { Err(health::draining()) } else { Ok(()) }
    }
}

/// The groups of operations in the document.
#[derive(Tags)]
pub enum Tag {
    /// Who answers.
    Agents,
    /// Who may ask.
    #[oai(rename = "API keys")]
    ApiKeys,
    /// Questions and streamed answers.
    Chat,
    /// What answers, and where it comes from.
    Models,
    /// Sessions with a purpose.
    Projects,
    /// Conversations and their stored history.
    Sessions,
    /// Money, and what it was spent on.
    Billing,
    /// The organization itself.
    #[oai(rename = "Organization")]
    Org,
    /// People at a browser.
    #[oai(rename = "Sign-in")]
    SignIn,
}

/// Every resource.
type Api = (
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

fn api() -> Api {
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

/// The whole server as one endpoint that never fails.
pub fn endpoint(app: Arc<App>) -> impl Endpoint<Output = Response> {
    let around = ["/healthz", "/health", "/readyz", "/openapi.json", "/docs/", "/docs/*name", "/"];
    let pages = ["/setup", "/login", "/:org/settings", "/_page/*name"];
    let mut allow = edge::methods_of::<Api>(API_PREFIX);
    allow.extend(
        around
            .into_iter()
            .chain(pages)
            .map(|path| (path.to_owned(), edge::allow_header([Method::GET.as_str()].into_iter()))),
    );
    let routes = Route::new()
        .nest(API_PREFIX, idempotency::Once::new(OpenApiService::new(api(), "", "").into_endpoint().map_to_response()))
        .at("/healthz", get(health::healthz))
        .at("/health", get(health::healthz))
        .at("/readyz", get(health::readyz))
        .at("/openapi.json", get(openapi))
        .nest("/docs", docs::routes())
        .nest(page::FILES_PREFIX, page::files())
        .at("/setup", page::page("setup.html"))
        .at("/login", page::page("login.html"))
        .at("/:org/settings", page::page("settings.html"))
        .at("/", get(front_door));
    edge::Edge::new(routes.map_to_response(), app, allow)
}

/// Whoever opens the server in a browser comes in; the page sends those who are signed in on to their settings.
#[handler]
fn front_door() -> Redirect {
    Redirect::see_other("/login")
}

#[handler]
fn openapi() -> Response {
    Response::builder().content_type(data::JSON).body(document())
}
