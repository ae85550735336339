//! The seam around the API: every refusal, poem's own and a panic included, gets the envelope.

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use poem::{
    Endpoint, PathPattern, Request, Response,
    error::{MethodNotAllowedError, NotFoundError, ParsePathError},
    http::header,
};
use poem_openapi::error::{ParseParamError, ParsePathError as ParsePathParamError};

use super::single;
use crate::{
    error::{Error, ErrorCode},
    http::{
        auth::identity::app_of,
        wire::{
            envelope::{ApiError, Refusal},
            face,
            request_id::RequestId,
        },
    },
};

/// Refuses a request that says two things at once, or that came for another server.
pub struct Checked<E>(pub E);

impl<E: Endpoint<Output = Response>> Endpoint for Checked<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        single::check(&request).map_err(ApiError)?;
        app_of(&request).and_then(|app| app.hosts.check(&request)).map_err(ApiError)?;
        self.0.call(request).await
    }
}

/// The seam around `inner`. It never fails.
pub struct Seam<E> {
    inner: E,
    allow: BTreeMap<String, String>,
}

impl<E: Endpoint<Output = Response>> Seam<E> {
    /// `allow` says which methods each path pattern has.
    pub fn new(inner: E, allow: BTreeMap<String, String>) -> Self {
        Seam { inner, allow }
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Seam<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let request_id = request.data::<RequestId>().cloned();
        let request_id = request_id.as_ref().map_or("", RequestId::as_str);
        let wants_openai = face::is_misplaced(request.uri().path());
        match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let pattern = error.data::<PathPattern>().cloned();
                let unmatched = error.is::<NotFoundError>();
                let refusal = match unmatched && wants_openai {
                    true => Refusal::new(ErrorCode::NotFound, ELSEWHERE),
                    false => refusal_of(&error, pattern.as_ref().and_then(|pattern| self.allow.get(&*pattern.0))),
                };
                let mut response = refusal.into_response(request_id);
                pattern.filter(|_| !unmatched).into_iter().for_each(|pattern| response.set_data(pattern));
                Ok(response)
            }
            Err(_panic) => {
                tracing::error!("a handler panicked");
                Ok(Refusal::internal().into_response(request_id))
            }
        }
    }
}

/// What a client of the other API is told that has typed this one's base URL.
const ELSEWHERE: &str = "the OpenAI-compatible API is at /v1: take /api out of the base URL";

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
