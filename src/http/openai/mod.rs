//! The OpenAI-compatible face: `/v1`, and the same routes without it. Whoever can type a base URL, a key and a model's name gets
//! this server's agents.
//!
//! Rule: nothing of the other API shows here. Every answer has this face's headers, and every failure, an unknown route and a panic
//! included, is an object of four keys.
//! Rule: a handler is `fn(Call<A>) -> Result<Response, Fault>`; key, scope, size, rate and repeats are the layers' around it.
//! Deliberately absent: the sign-in cookie. No page of another site can act by a visitor's sign-in.

use std::{panic::AssertUnwindSafe, time::Instant};

use futures_util::{FutureExt, StreamExt};
use poem::{
    Body, Endpoint, EndpointExt, PathPattern, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use serde_json::{Value, json};

pub use self::{call::Call, error::Fault};
use self::{
    call::{Handler, Params},
    error::Shape,
    place::Segments,
};
use super::{
    auth::{self, Access, Chat, ReadOrChat},
    serve::{Bound, Client},
    state::rate_limit::{Allowance, Left},
    wire::{
        operation::{HISTORY_BYTES_MAX, Operation, Rate, Repeats},
        request_id::RequestId,
        stream::EVENT_STREAM,
    },
};

mod answer; // an object, or events
pub mod begin; // a reply that is not stored
mod call;
pub mod chat;
pub mod chat_wire; // chunks as chat completions
pub mod client_tools; // tools that a request brings
mod completions;
mod completions_wire; // a reply as legacy completions
pub mod conversations; // sessions under another name
mod described; // the document
mod embeddings;
pub mod error;
pub mod fields; // the fields of an object, taken one by one
pub mod given; // a conversation that a client gives whole
pub mod ignored; // what was left out
mod messages; // Anthropic's
pub mod messages_error; // failures as Anthropic's clients read them
pub mod messages_wire; // a reply as Anthropic's events
mod metadata; // what clients note about what they ask
mod models;
mod place;
mod posted; // what clients say was said, as parts to be stored
mod responses;
pub mod responses_wire; // chunks as a response
pub mod sampling; // how a reply is to be made
mod theirs; // which calls a client is shown

/// What a client that has an alias of its own for a key sends it in.
const KEY_ALIAS: HeaderName = HeaderName::from_static("api-key");
/// The alias that is read everywhere.
const API_KEY: HeaderName = HeaderName::from_static(auth::identity::API_KEY_HEADER);
/// The milliseconds until an answer began.
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
/// What Anthropic's clients call the request's id.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The version of the API that is spoken.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("openai-version"), HeaderValue::from_static("2020-10-01"));

/// Every operation. A path is below `/v1`; `{id…}` is the rest of it.
fn routes() -> Vec<Route> {
    vec![
        get("/models", "list_v1_models", models::list),
        get("/models/{id…}", "get_v1_model", models::retrieve),
        post("/responses", "create_v1_response", responses::create),
        get("/responses/{id}", "get_v1_response", responses::retrieve),
        delete("/responses/{id}", "delete_v1_response", responses::delete),
        post("/responses/{id}/cancel", "cancel_v1_response", responses::cancel),
        get("/responses/{id}/input_items", "list_v1_response_input_items", responses::input_items),
        post("/conversations", "create_v1_conversation", conversations::create),
        get("/conversations/{id}", "get_v1_conversation", conversations::retrieve),
        delete("/conversations/{id}", "delete_v1_conversation", conversations::delete),
        post("/chat/completions", "create_chat_completion", chat::create),
        post("/embeddings", "create_v1_embeddings", embeddings::create),
        post("/completions", "create_v1_completion", completions::create),
        post("/messages", "create_v1_message", messages::create),
        uncounted("/messages/count_tokens", "count_v1_message_tokens", messages::count_tokens),
    ]
}

/// One operation.
pub struct Route {
    method: Method,
    path: &'static str,
    operation: Operation,
    endpoint: BoxEndpoint<'static>,
}

fn get<F>(path: &'static str, id: &'static str, handler: fn(Call<ReadOrChat>) -> F) -> Route
where
    F: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    route(Method::GET, path, Operation { repeats: Repeats::Executed, ..operation::<ReadOrChat>(id) }, handler)
}

/// A POST that asks a model, or is about what one has said.
pub fn post<F>(path: &'static str, id: &'static str, handler: fn(Call<Chat>) -> F) -> Route
where
    F: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    route(Method::POST, path, Operation { counted: Some(Rate::V1), ..operation::<Chat>(id) }, handler)
}

/// A POST that asks no model, and changes nothing.
fn uncounted<F>(path: &'static str, id: &'static str, handler: fn(Call<Chat>) -> F) -> Route
where
    F: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    route(Method::POST, path, Operation { repeats: Repeats::Executed, ..operation::<Chat>(id) }, handler)
}

fn delete<F>(path: &'static str, id: &'static str, handler: fn(Call<Chat>) -> F) -> Route
where
    F: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    route(Method::DELETE, path, Operation { repeats: Repeats::Executed, ..operation::<Chat>(id) }, handler)
}

/// The operation of that id, for those who have the access `A`.
const fn operation<A: Access>(id: &'static str) -> Operation {
    Operation {
        id,
        body_bytes_max: HISTORY_BYTES_MAX,
        repeats: Repeats::Replayed,
        admits: Some(auth::admits::<A>),
        counted: None,
    }
}

fn route<A, F>(method: Method, path: &'static str, operation: Operation, handler: fn(Call<A>) -> F) -> Route
where
    A: Access + 'static,
    F: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    Route { method, path, operation, endpoint: Handler(handler).boxed() }
}

/// The routes; `layer` puts around each what it declares.
pub fn endpoint(
    layer: impl Fn(BoxEndpoint<'static>, Operation) -> BoxEndpoint<'static>,
) -> impl Endpoint<Output = Response> {
    let served = routes().into_iter().map(|Route { method, path, operation, endpoint }| Served {
        method,
        path,
        pattern: PathPattern(format!("/v1{path}").into()),
        endpoint: layer(endpoint, operation),
    });
    Door { served: served.collect() }
}

/// Adds what there is here to the OpenAPI document.
pub fn describe(document: &mut Value) {
    for Route { method, path, operation, .. } in routes() {
        let (path, described) = described::operation(&method, path, operation.id).expect("every route is described");
        document["paths"][path][method.as_str().to_ascii_lowercase()] = described;
    }
    document["components"]["schemas"][described::FAILURE] = described::failure();
    let tag = json!({
        "name": described::TAG,
        "description": "OpenAI's API, and Anthropic's messages, of the same agents and models. The same paths answer without `/v1`.",
    });
    document["tags"].as_array_mut().into_iter().for_each(|tags| tags.push(tag.clone()));
}

/// A route with its layers.
struct Served {
    method: Method,
    path: &'static str,
    pattern: PathPattern,
    endpoint: BoxEndpoint<'static>,
}

/// Finds the route of a request.
struct Door {
    served: Vec<Served>,
}

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let segments = Segments::of(request.uri().path());
        let there: Vec<_> = self.served.iter().filter_map(|it| Some((it, segments.params(it.path)?))).collect();
        if there.is_empty() || segments.absent().is_some() || place::is_upgrade(&request) {
            return Err(segments.nothing_there(&request, &methods_of(&there)).into());
        }
        // Whoever asks for the head alone is answered like a GET, without the body.
        let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
        let Some((served, params)) = there.iter().find(|(served, _)| served.method == method) else {
            return Err(place::method_not_allowed(&methods_of(&there)).into());
        };
        request.set_data(Params(params.clone()));
        let mut response = match served.endpoint.call(request).await {
            Ok(response) => response,
            Err(mut error) => {
                error.set_data(served.pattern.clone());
                return Err(error);
            }
        };
        response.set_data(served.pattern.clone());
        Ok(response)
    }
}

fn methods_of(there: &[(&Served, Vec<String>)]) -> String {
    let names =
        there.iter().map(|(served, _)| if served.method == Method::GET { "GET, HEAD" } else { served.method.as_str() });
    names.collect::<Vec<_>>().join(", ")
}

/// The seam around these paths. It never fails.
pub struct Seam<E>(pub E);

impl<E: Endpoint<Output = Response>> Endpoint for Seam<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let request_id = request.data::<RequestId>().cloned();
        let request_id = request_id.as_ref().map_or("", RequestId::as_str);
        let shape = Segments::of(request.uri().path()).shape();
        know_by_key_alone(&mut request);
        let (bound, left) = (bound(&request), Left::default());
        request.set_data(left.clone());
        let answered = AssertUnwindSafe(self.0.call(request)).catch_unwind().await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let pattern = error.data::<PathPattern>().cloned();
                let mut response = error::fault_of(error).into_response(request_id, shape);
                pattern.into_iter().for_each(|pattern| response.set_data(pattern));
                response
            }
            Err(_panic) => {
                tracing::error!("a handler panicked");
                Fault::internal().into_response(request_id, shape)
            }
        };
        if let Some(bound) = bound.filter(|_| is_stream(&response)) {
            let body = response.take_body().into_bytes_stream();
            response.set_body(Body::from_bytes_stream(body.inspect(move |_| _ = &bound)));
        }
        let (version, value) = VERSION;
        let headers = response.headers_mut();
        if shape == Shape::Anthropic {
            headers.extend(HeaderValue::from_str(request_id).ok().map(|id| (ANTHROPIC_REQUEST_ID, id)));
        }
        headers.insert(version, value);
        headers.insert(PROCESSING_MS, (started.elapsed().as_millis() as u64).into());
        headers.extend(left.told().into_iter().flat_map(Allowance::headers).collect::<HeaderMap>());
        Ok(response)
    }
}

/// A POST ends with its client, in its handler and in its stream, unless an `Idempotency-Key` asks that it be done once.
fn bound(request: &Request) -> Option<Bound> {
    let is_once = request.header("idempotency-key").is_some_and(|key| !key.trim().is_empty());
    let ends = request.method() == Method::POST && !is_once;
    request.data::<Client>().filter(|_| ends).map(Client::bind)
}

fn is_stream(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE) == Some(&HeaderValue::from_static(EVENT_STREAM))
}

/// Leaves of what says who is calling the keys alone, under the names that are read everywhere.
fn know_by_key_alone(request: &mut Request) {
    let headers = request.headers_mut();
    headers.remove(header::COOKIE);
    let keys: Vec<_> = headers.get_all(KEY_ALIAS).into_iter().cloned().collect();
    for key in keys {
        headers.append(API_KEY, key);
    }
}
