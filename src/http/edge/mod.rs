//! The seam outside everything: every request gets an id, a log line and a count; every refusal, poem's own and a
//! panic included, gets the envelope.
//!
//! Rule: nothing of a query string or a header is logged. A path is logged as its pattern.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use futures_util::FutureExt;
use poem::{
    Endpoint, PathPattern, Request, Response,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use poem_openapi::error::{ParseParamError, ParsePathError as ParsePathParamError};
use tracing::Instrument;

use self::linger::linger;
use crate::{
    error::{Error, ErrorCode},
    http::{
        state::{App, cors::Cors, counters::Metrics},
        wire::{
            envelope::{ApiError, Refusal},
            request_id::{REQUEST_ID, RequestId},
        },
    },
};

mod answer;
mod gate;
pub mod health;
pub mod idempotency;
mod linger;
pub mod metrics;
pub mod operations;
mod revocable;
pub mod single;

/// The pattern of requests that match none.
const NO_ROUTE: &str = "none";

/// The headers of a response unless its handler sets others: not cached, not framed, of no guessed type.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// The seam around `inner`. It never fails.
pub struct Edge<E> {
    inner: E,
    app: Arc<App>,
    allow: BTreeMap<String, String>,
}

impl<E: Endpoint<Output = Response>> Edge<E> {
    /// `allow` says which methods each path pattern has.
    pub fn new(inner: E, app: Arc<App>, allow: BTreeMap<String, String>) -> Self {
        Edge { inner, app, allow }
    }

    async fn answer(&self, request: Request, request_id: &RequestId) -> (Response, Arc<str>) {
        if let Err(error) = single::check(&request).and_then(|()| self.app.hosts.check(&request)) {
            return (Refusal::from(&error).into_response(request_id.as_str()), NO_ROUTE.into());
        }
        match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => {
                let pattern = response.data::<PathPattern>().map(|pattern| pattern.0.clone());
                (response, pattern.unwrap_or_else(|| NO_ROUTE.into()))
            }
            Ok(Err(error)) => {
                let pattern = error.data::<PathPattern>().map(|pattern| pattern.0.clone());
                let unmatched = error.is::<NotFoundError>();
                let refusal = refusal_of(&error, pattern.as_ref().and_then(|pattern| self.allow.get(&**pattern)));
                let pattern = pattern.filter(|_| !unmatched).unwrap_or_else(|| NO_ROUTE.into());
                (refusal.into_response(request_id.as_str()), pattern)
            }
            Err(_panic) => {
                tracing::error!("a handler panicked");
                (Refusal::internal().into_response(request_id.as_str()), NO_ROUTE.into())
            }
        }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let request_id = RequestId::of(&request);
        let method = request.method().clone();
        let origin = self.app.cors.origin(&request);
        let preflight = origin.as_ref().and_then(|_| Cors::preflight(&request));
        linger(&mut request);
        request.set_data(request_id.clone());
        request.set_data(self.app.clone());
        // Of the highest level, so that a cause is logged under its request whatever RUST_LOG leaves out.
        let span = tracing::error_span!("request", id = %request_id);
        let (mut response, pattern) = match preflight {
            Some(response) => (response, NO_ROUTE.into()),
            None => self.answer(request, &request_id).instrument(span).await,
        };
        finish_headers(response.headers_mut(), &request_id, origin);
        if self.app.draining.load(Ordering::Relaxed) {
            // The client's next request is to reach a server that stays.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let (status, ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
        tracing::debug!(%method, path = %pattern, status, ms, %request_id, "request");
        count(&self.app.metrics, &method, pattern, status);
        Ok(response)
    }
}

fn finish_headers(headers: &mut HeaderMap, request_id: &RequestId, origin: Option<HeaderValue>) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.extend(HeaderValue::from_str(request_id.as_str()).ok().map(|id| (REQUEST_ID, id)));
    if let Some(origin) = origin {
        Cors::allow(origin, headers);
    }
}

fn count(metrics: &Metrics, method: &Method, pattern: Arc<str>, status: u16) {
    // A client may make up methods without end; a label may not.
    let known = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
    metrics.count_request(method, pattern, status);
}

/// What a failure of a handler, or of poem itself, is to the caller. A cause of ours is logged here and nowhere else.
fn refusal_of(error: &poem::Error, allow: Option<&String>) -> Refusal {
    if let Some(ApiError(error)) = error.downcast_ref() {
        if let cause @ (Error::Failed { .. } | Error::Internal(_)) = error {
            tracing::error!(%cause, "internal error");
        }
        return Refusal::from(error);
    }
    if error.is::<MethodNotAllowedError>() {
        let methods = allow.map_or("", String::as_str);
        return Refusal::new(ErrorCode::MethodNotAllowed, format!("method not allowed: this path accepts {methods}"))
            .header(header::ALLOW, methods);
    }
    if error.is::<NotFoundError>() || error.is::<ParsePathError>() || error.is::<ParsePathParamError>() {
        return Refusal::new(ErrorCode::NotFound, "no such route: /openapi.json lists them");
    }
    if let Some(parameter) = error.downcast_ref::<ParseParamError>() {
        return Refusal::new(ErrorCode::BadRequest, format!("{}: wrong type", parameter.name));
    }
    tracing::error!(%error, "internal error");
    Refusal::internal()
}
