//! Outside everything: every request gets an id, a log line and a count.
//!
//! Rule: nothing of a query string or a header is logged. A path is logged as its pattern.

use std::{sync::Arc, time::Instant};

use poem::{
    Endpoint, PathPattern, Request, Response,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use tracing::Instrument;

use self::linger::linger;
use crate::{
    error::ErrorCode,
    http::{
        auth::identity::Asking,
        state::{App, cors::Cors, counters::Metrics},
        wire::{
            asking, face,
            request_id::{REQUEST_ID, RequestId},
        },
    },
    store::requests::{Came, RefusedRequest},
    time::Timestamp,
};

mod answer;
mod gate;
pub mod health;
pub mod idempotency;
mod linger;
pub mod metrics;
pub mod operations;
mod revocable;
pub mod seam;
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

/// What is around everything. `inner` never fails.
pub struct Edge<E> {
    inner: E,
    app: Arc<App>,
}

impl<E: Endpoint<Output = Response>> Edge<E> {
    /// Around `inner`.
    pub fn new(inner: E, app: Arc<App>) -> Self {
        Edge { inner, app }
    }
}

impl<E> Edge<E> {
    /// Writes down that a model was asked and the request refused. One of nobody known is nobody's to read.
    fn note_refused(&self, asking: &Asking, came: Came, at: Timestamp, http_status: u16) {
        let Some((tenant, key_id)) = asking.who() else { return };
        let Some(unlisted) = self.app.refusals.list(&tenant.org_id, at) else { return };
        let code = ErrorCode::ALL.into_iter().find(|code| code.status().as_u16() == http_status);
        let code = code.unwrap_or(ErrorCode::Internal).as_str();
        self.app.store.note_refused(RefusedRequest { tenant, key_id, came, at, http_status, code, unlisted });
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let request_id = RequestId::of(&request);
        let method = request.method().clone();
        let origin = self.app.cors.origin(&request);
        let is_openai = face::is_openai(request.uri().path());
        let preflight = origin.as_ref().and_then(|_| Cors::preflight(&request));
        linger(&mut request);
        request.set_data(request_id.clone());
        request.set_data(self.app.clone());
        let asking = asking::route(request.uri().path()).filter(|_| method == Method::POST);
        let asking = asking.map(|route| (Asking::at(route), Timestamp::now()));
        if let Some((asking, _)) = &asking {
            request.set_data(asking.clone());
        }
        // Of the highest level, so that a cause is logged under its request whatever RUST_LOG leaves out.
        let span = tracing::error_span!("request", id = %request_id);
        let mut response = match preflight {
            Some(response) => response,
            None => self.inner.get_response(request).instrument(span).await,
        };
        let pattern = response.data::<PathPattern>().map_or_else(|| NO_ROUTE.into(), |pattern| pattern.0.clone());
        finish_headers(response.headers_mut(), &request_id, origin.map(|origin| (origin, is_openai)));
        if *self.app.draining.borrow() {
            // The client's next request is to reach a server that stays.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let (status, ms) = (response.status().as_u16(), started.elapsed().as_millis() as u64);
        tracing::debug!(%method, path = %pattern, status, ms, %request_id, "request");
        count(&self.app.metrics, &method, pattern, status);
        if let (Some((asking, at)), 400..) = (asking, status) {
            let came = Came { request_id: request_id.as_str().to_owned(), route: asking.route };
            self.note_refused(&asking, came, at, status);
        }
        Ok(response)
    }
}

fn finish_headers(headers: &mut HeaderMap, request_id: &RequestId, origin: Option<(HeaderValue, bool)>) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    headers.extend(HeaderValue::from_str(request_id.as_str()).ok().map(|id| (REQUEST_ID, id)));
    if let Some((origin, is_openai)) = origin {
        Cors::allow(origin, is_openai, headers);
    }
}

fn count(metrics: &Metrics, method: &Method, pattern: Arc<str>, status: u16) {
    // A client may make up methods without end; a label may not.
    let known = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
    metrics.count_request(method, pattern, status);
}
