//! The HTTP server; the only module that uses poem. A request comes in at `serve`, passes `edge` and `auth`, and reaches one handler.
//!
//! Rule: a handler is decode, one call, encode. An `if` about the domain is in the wrong file. A resource's file holds
//! its wire types, its conversions and its handlers, whose names are their operation ids.
//! Reading order: this file, `edge`, `auth`, `wire/envelope.rs`, `body`; then the resources in `api`.

use std::sync::Arc;

use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Request, Response, Route,
    endpoint::BoxEndpoint,
    error::NotFoundError,
    get, handler,
    http::Method,
    web::{Data, Redirect},
};
use poem_openapi::OpenApiService;

use self::{
    api::{API_PREFIX, Api, OPERATIONS},
    edge::{
        Edge, health,
        operations::{Operations, allow_header, alone, methods_of},
        seam::{Checked, Seam},
    },
    state::App,
    wire::{data, envelope::ApiError, face},
};

pub mod api;
pub mod assets;
pub mod auth;
pub mod body;
pub mod docs;
mod document;
pub mod edge;
pub mod mcp;
pub mod openai;
pub mod page;
pub mod serve;
pub mod state;
pub mod wire;

pub(crate) use api::wanted_agent;
pub use document::document;
pub(crate) use document::schemas;

/// The whole server as one endpoint that never fails.
pub fn endpoint(app: Arc<App>) -> impl Endpoint<Output = Response> {
    let operations = Operations::new(Api::default(), &OPERATIONS, schemas());
    let api = OpenApiService::new(operations, "", "").into_endpoint();
    let mut allow = methods_of::<Api>(API_PREFIX);
    let mut routes = Route::new().nest(API_PREFIX, api);
    for (path, endpoint) in around() {
        allow.insert(path.to_owned(), allow_header([Method::GET.as_str()].into_iter()));
        routes = routes.at(path, endpoint);
    }
    allow.insert(mcp::PATH.to_owned(), mcp::ALLOW.to_owned());
    let routes = routes.at(mcp::PATH, mcp::endpoint(|endpoint| alone(endpoint, mcp::OPERATION, schemas())));
    let routes = routes.around(led_on);
    let openai = openai::endpoint(|endpoint, operation| alone(endpoint, operation, schemas()));
    let faces =
        Faces { api: Seam::new(Checked(routes.map_to_response()), allow), openai: openai::Seam(Checked(openai)) };
    Edge::new(faces, app)
}

/// The two APIs, each with its own seam; a path says which of them is asked.
struct Faces<A, B> {
    api: A,
    openai: B,
}

impl<A, B> Endpoint for Faces<A, B>
where
    A: Endpoint<Output = Response>,
    B: Endpoint<Output = Response>,
{
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        match face::is_openai(request.uri().path()) {
            true => self.openai.call(request).await,
            false => self.api.call(request).await,
        }
    }
}

/// What there is besides the API, all of it for GET.
fn around() -> [(&'static str, BoxEndpoint<'static>); 14] {
    [
        ("/healthz", get(health::healthz).boxed()),
        ("/health", get(health::healthz).boxed()),
        ("/readyz", get(health::readyz).boxed()),
        ("/openapi.json", get(openapi).boxed()),
        ("/docs", docs::file().boxed()),
        ("/docs/", docs::file().boxed()),
        ("/docs/*name", docs::file().boxed()),
        (page::FILES_PATH, page::file().boxed()),
        ("/setup", get(setup).boxed()),
        ("/login", page::page("login.html").boxed()),
        ("/invite", page::page("invite.html").boxed()),
        ("/:org/settings", page::page("settings.html").boxed()),
        ("/favicon.ico", page::page("icon.svg").boxed()),
        ("/", get(front_door).boxed()),
    ]
}

/// A browser that opens the server gets the sign-in page, which sends people who are signed in to their settings. Until there is an
/// organization, nobody can sign in.
#[handler]
fn front_door(Data(app): Data<&Arc<App>>) -> Result<Redirect, ApiError> {
    Ok(Redirect::see_other(if app.store.has_org()? { "/login" } else { "/setup" }))
}

/// A browser is led on from where nothing is. A program gets the envelope, from the seam.
async fn led_on(routes: Arc<impl Endpoint<Output = Response>>, request: Request) -> poem::Result<Response> {
    let from = page::is_looked_for(&request).then(|| request.uri().path().to_owned());
    match (routes.call(request).await, from) {
        (Err(error), Some(path)) if error.is::<NotFoundError>() => page::elsewhere(&path),
        (answered, _) => answered,
    }
}

/// A server is set up once. Whoever comes later is told at once, not after three fields.
#[handler]
fn setup(request: &Request, Data(app): Data<&Arc<App>>) -> poem::Result<Response> {
    let has_org = app.store.has_org().map_err(ApiError)?;
    page::answer(if has_org { "done.html" } else { "setup.html" }, request)
}

#[handler]
fn openapi() -> Response {
    Response::builder().content_type(data::JSON).body(document())
}
