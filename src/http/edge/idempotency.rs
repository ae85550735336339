//! `Idempotency-Key`: a repeated POST is carried out once and receives the first one's response, across restarts too.
//!
//! Rule: only what was done is remembered. A refusal did nothing, so its key may be used again. The work runs in a task of
//! its own: a client that lost its connection gets the response when it retries.
//! A running reply is joined from its start; a finished one is replayed from what is stored.
//! What is done is noted in the commit that does it ([`Claim`]); the response is stored afterwards, before it is sent.
//! With only the note (a crash between the two, a response with a secret in it), the repeat is refused: it would be
//! carried out twice.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use poem::{
    Body, Endpoint, Request, Response,
    endpoint::BoxEndpoint,
    http::{HeaderName, HeaderValue, StatusCode},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    http::{
        auth::identity::{Identity, app_of, named_org},
        body::Arrival,
        state::{
            App,
            in_flight::{Head, Live, Lookup, Name},
            rate_limit::{Allowance, Left},
        },
        wire::{
            data::AnswerBytes,
            envelope::ApiError,
            face,
            operation::{Operation, Repeats},
            request_id::RequestId,
            stream::stream_response,
        },
    },
    store::{
        Tenant,
        idempotency::{Answer, Claim, Done},
    },
};

/// The header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_CHARS_MAX: usize = 255;
/// Bytes of a response that is kept; a longer one is noted and not kept.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Around one operation, whose row says what it remembers.
pub struct IdempotencyLayer {
    inner: Arc<BoxEndpoint<'static>>,
    operation: Operation,
}

impl IdempotencyLayer {
    /// Around `inner`.
    pub fn new(inner: Arc<BoxEndpoint<'static>>, operation: Operation) -> Self {
        IdempotencyLayer { inner, operation }
    }
}

impl Endpoint for IdempotencyLayer {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let Some(Named { app, tenant, name }) = named(&request).map_err(ApiError)? else {
            return self.inner.call(request).await;
        };
        let is_openai = face::is_openai(request.uri().path());
        let sent = request.take_body();
        let claim = claim(&tenant, name, &request, sent).await.map_err(ApiError)?;
        match app.in_flight.begin(&claim, || app.store.done_request(&name)).map_err(ApiError)? {
            Lookup::Running(live, head) => return Ok(with_head(live.body(), head)),
            Lookup::Done(done) => {
                // The stored message is no stream of this face.
                let done = if is_openai { Done { turn: None, ..done } } else { done };
                return Ok(replay(&app, done, tenant, &request).await.map_err(ApiError)?);
            }
            Lookup::Nothing => {}
        }
        request.set_data(claim.clone());
        let left = request.data::<Left>().cloned().unwrap_or_default();
        let keeps_answer = self.operation.repeats == Repeats::Replayed;
        let (inner, first) = (self.inner.clone(), First { app, claim, keeps_answer, is_openai, left });
        let answered = tokio::spawn(async move { first.answer(inner.call(request).await).await });
        answered.await.map_err(|error| ApiError(Error::internal(error)))?
    }
}

/// What a request asks under its name. Its body waits where the handler looks for it.
async fn claim(tenant: &Tenant, name: Name, request: &Request, sent: Body) -> Result<Claim> {
    let arrival = Arrival::of(request)?;
    arrival.receive(request, sent).await?;
    Ok(Claim { org_id: tenant.org_id.clone(), name, body_hash: arrival.hash().await? })
}

/// The first request of its name that is in flight. Its name is free again when it is dropped, by a panic too.
struct First {
    app: Arc<App>,
    claim: Claim,
    keeps_answer: bool,
    /// Whether a reply is kept as it was sent: on the OpenAI-compatible face.
    is_openai: bool,
    /// What is left to whoever asks, which a repeat does not lessen and is told again.
    left: Left,
}

impl First {
    async fn answer(self, result: poem::Result<Response>) -> poem::Result<Response> {
        let mut response = result?;
        if !response.status().is_success() {
            return Ok(response);
        }
        let mut head = (response.status(), response.headers().clone());
        head.1.extend(self.left.told().into_iter().flat_map(Allowance::headers));
        if let Some(live) = response.data::<Live>().cloned() {
            if !self.is_openai {
                self.keep(&head, Bytes::new()).await;
            }
            self.app.in_flight.join(&self.claim.name, (live.clone(), head.clone()));
            tokio::spawn(async move {
                if self.is_openai {
                    self.keep_stream(&head, live.body()).await;
                } else {
                    live.turn.ended().await;
                }
            });
            return Ok(response);
        }
        let body = response.take_body().into_bytes().await?;
        self.keep(&head, body.clone()).await;
        response.set_body(body);
        Ok(response)
    }

    /// Keeps a stream, once it is over.
    async fn keep_stream(&self, head: &Head, frames: Body) {
        let (mut sent, mut frames) = (Vec::new(), frames.into_bytes_stream());
        while let Some(Ok(piece)) = frames.next().await {
            // What is too long is read to its end all the same: until then its name is taken.
            if sent.len() <= ANSWER_BYTES_MAX {
                sent.extend_from_slice(&piece);
            }
        }
        self.keep(head, sent.into()).await;
    }

    /// Keeps a response. The request is done and noted whether or not this comes to pass.
    async fn keep(&self, (status, headers): &Head, body: Bytes) {
        if !self.keeps_answer || body.len() > ANSWER_BYTES_MAX {
            return;
        }
        let headers: Map<String, Value> =
            headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into()))).collect();
        let answer =
            Answer { status: status.as_u16(), headers: Value::Object(headers).to_string(), body: body.to_vec() };
        if let Err(error) = self.app.store.keep_answer(self.claim.clone(), answer).await {
            tracing::warn!(%error, "a response could not be stored for its Idempotency-Key");
        }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.app.in_flight.end(&self.claim.name);
    }
}

/// The response to a request that was done.
async fn replay(app: &App, done: Done, tenant: Tenant, request: &Request) -> Result<Response> {
    let head = done.answer.as_ref().map(head_of).transpose()?;
    if let Some(turn) = done.turn {
        let (engine, request_id) = (app.engine.clone(), request.data::<RequestId>().cloned());
        let frames = move || engine.replay(&tenant, turn, request_id.as_ref().map_or("", RequestId::as_str));
        let (session_id, frames) = app.bridge.run(frames).await?;
        return Ok(whole(frames, |body| match head {
            Some(head) => with_head(body, head),
            None => stream_response(body, Some(&session_id)),
        }));
    }
    match (done.answer, head) {
        (Some(answer), Some(head)) => Ok(whole(answer.body, |body| with_head(body, head))),
        _ => Err(Error::Conflict(
            "this request was already carried out, but its response was not stored: read the resource instead".into(),
        )),
    }
}

/// A response of these bytes, which says how many there are.
fn whole(bytes: Vec<u8>, respond: impl FnOnce(Body) -> Response) -> Response {
    let size = AnswerBytes(bytes.len());
    let mut response = respond(Body::from_vec(bytes));
    response.set_data(size);
    response
}

fn head_of(answer: &Answer) -> Result<Head> {
    let kept: Map<String, Value> = serde_json::from_str(&answer.headers).map_err(Error::internal)?;
    let header = |(name, value): (String, Value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
    };
    let status = StatusCode::from_u16(answer.status).map_err(Error::internal)?;
    Ok((status, kept.into_iter().filter_map(header).collect()))
}

fn with_head(body: Body, (status, headers): Head) -> Response {
    let mut response = Response::builder().status(status).body(body);
    response.headers_mut().extend(headers);
    response
}

/// A request that is to be done once.
struct Named {
    app: Arc<App>,
    tenant: Tenant,
    name: Name,
}

/// What a request with an `Idempotency-Key` is remembered by; `None` for all others.
fn named(request: &Request) -> Result<Option<Named>> {
    // A variable that is not set makes an empty header.
    if request.header(IDEMPOTENCY_KEY).is_none_or(|key| key.trim().is_empty()) {
        return Ok(None);
    }
    // The gate lets nobody by who has no organization.
    let Some((who, tenant)) = Identity::of(request)?.speaker() else { return Ok(None) };
    let key = request.header(IDEMPOTENCY_KEY).unwrap_or_default().trim();
    if !(1..=KEY_CHARS_MAX).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    }
    let mut name = Sha256::new();
    for part in [&who, named_org(request).unwrap_or_default(), request.uri().path(), key] {
        name.update(part.len().to_le_bytes());
        name.update(part);
    }
    Ok(Some(Named { app: app_of(request)?.clone(), tenant, name: name.finalize().into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_time_in_the_file() {
        let headers = r#"{"content-type":"application/json","x-alm-session-id":"c"}"#;
        let answer = Answer { status: 201, headers: headers.into(), body: Vec::new() };
        let (status, head) = head_of(&answer).unwrap();
        assert_eq!((status, &head["x-alm-session-id"]), (StatusCode::CREATED, &HeaderValue::from_static("c")));
        assert_eq!(head.len(), 2);
    }
}
