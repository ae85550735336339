//! The only poem. A request comes in at `serve`, passes `edge` and `auth`, and reaches one handler.
//!
//! Rule: a handler is decode, one call, encode. An `if` about the domain is in the wrong file. A resource's file holds
//! its wire types, its conversions and its handlers, whose names are their operation ids.
//! Reading order: this file, `edge`, `auth`, `wire/envelope.rs`, `wire/body.rs`; then the resources in `api`.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, IntoEndpoint, Response, Route, get, handler, http::Method, web::Redirect};
use poem_openapi::OpenApiService;

use self::{
    api::{API_PREFIX, Api, api},
    edge::health,
    state::App,
    wire::data,
};

pub mod api;
pub mod assets;
pub mod auth;
pub mod docs;
mod document;
pub mod edge;
pub mod page;
pub mod serve;
pub mod state;
pub mod wire;

pub use document::document;
pub(crate) use document::schemas;

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
        .nest(
            API_PREFIX,
            edge::idempotency::Once::new(OpenApiService::new(api(), "", "").into_endpoint().map_to_response()),
        )
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
