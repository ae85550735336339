//! `Idempotency-Key`: a POST that is sent again is answered again, and done once.
//!
//! Rule: only what was done is remembered. A refusal did nothing, so the same key may be used for a better try. The work
//! runs in a task of its own: who lost the connection in the middle finds the answer on the next try.
//! A reply that is being written is joined from its start; one that was written is replayed.
//! Deliberately absent: memory beyond the process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use poem::{
    Body, Endpoint, Request, Response,
    http::{HeaderMap, HeaderName, Method, StatusCode},
};
use sha2::{Digest, Sha256};

use super::{
    API_PREFIX, App, auth,
    body::{self, BODY_BYTES_MAX, HISTORY_BYTES_MAX},
    envelope::ApiError,
};
use crate::{
    error::{Error, Result},
    turn::live::Live,
};

/// The header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY_CHARS_MAX: usize = 255;
/// How long an answer is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers that are remembered; past it the oldest are forgotten.
const ANSWERS_MAX: usize = 16_384;
/// Bytes of all remembered answers.
const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// SHA-256 of what names a request: who, where, and their key.
type Name = [u8; 32];

/// The answers that were given.
#[derive(Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Name, Entry>,
    /// The finished ones, the oldest first.
    order: VecDeque<(Name, Instant)>,
    bytes: usize,
}

struct Entry {
    /// SHA-256 of the request's body.
    body: [u8; 32],
    /// Absent while the first request is being answered.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Said,
}

#[derive(Clone)]
enum Said {
    /// All there is.
    Whole(Bytes),
    /// More is to come.
    Running(Arc<Live>),
}

impl Answer {
    fn bytes(&self) -> usize {
        match &self.body {
            Said::Whole(bytes) => bytes.len(),
            // It is the turn that keeps those.
            Said::Running(_) => 0,
        }
    }

    fn into_response(self) -> Response {
        let body = match self.body {
            Said::Whole(bytes) => Body::from_bytes(bytes),
            Said::Running(live) => Body::from_bytes_stream(live.reader()),
        };
        let mut response = Response::builder().status(self.status).body(body);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl Memory {
    /// The answer that was given; `None`: there is none, and the caller is now the first.
    fn begin(&self, name: Name, body: [u8; 32], now: Instant) -> Result<Option<Answer>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(|at| now.duration_since(at) >= REMEMBERED);
        match inner.entries.get(&name) {
            None => {}
            Some(entry) if entry.body != body => {
                return Err(Error::invalid("Idempotency-Key", "was used with another body: choose a new key"));
            }
            Some(Entry { answer: None, .. }) => {
                return Err(Error::Conflict("the first request with this Idempotency-Key is still running".into()));
            }
            Some(Entry { answer: Some(answer), .. }) => return Ok(Some(answer.clone())),
        }
        inner.entries.insert(name, Entry { body, answer: None });
        Ok(None)
    }

    /// The answer that others join.
    fn running(&self, name: &Name) -> Option<Answer> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.get(name)?.answer.clone()
    }

    /// Lets others join an answer that is still being written.
    fn join(&self, name: Name, running: Answer) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = inner.entries.get_mut(&name) {
            entry.answer = Some(running);
        }
    }

    /// Remembers the first one's answer, or that there was none.
    fn finish(&self, name: Name, answer: Option<Answer>, now: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = answer else {
            inner.entries.remove(&name);
            return;
        };
        inner.bytes += answer.bytes();
        inner.order.push_back((name, now));
        if let Some(entry) = inner.entries.get_mut(&name) {
            entry.answer = Some(answer);
        }
        while inner.order.len() > ANSWERS_MAX || inner.bytes > ANSWERS_BYTES_MAX {
            inner.forget_oldest();
        }
    }
}

impl Inner {
    fn forget(&mut self, is_old: impl Fn(Instant) -> bool) {
        while self.order.front().is_some_and(|(_, at)| is_old(*at)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let entry = self.order.pop_front().and_then(|(name, _)| self.entries.remove(&name));
        self.bytes -= entry.and_then(|entry| entry.answer).map_or(0, |answer| answer.bytes());
    }
}

/// The API, remembering.
pub struct Once<E> {
    inner: Arc<E>,
}

impl<E> Once<E> {
    /// Around the API.
    pub fn new(inner: E) -> Self {
        Once { inner: Arc::new(inner) }
    }
}

impl<E: Endpoint<Output = Response> + 'static> Endpoint for Once<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let Some((app, name, max_bytes)) = named(&request).map_err(ApiError)? else {
            return self.inner.call(request).await;
        };
        let sent = request.take_body();
        let body = body::read_capped(&request, sent, max_bytes).await.map_err(ApiError)?;
        let digest = Sha256::digest(&body).into();
        if let Some(answer) = app.answered.begin(name, digest, Instant::now()).map_err(ApiError)? {
            return Ok(answer.into_response());
        }
        request.set_body(body);
        let (inner, first) = (self.inner.clone(), First { app, name, answer: None });
        let answered = tokio::spawn(async move { first.answer(inner.call(request).await).await });
        answered.await.map_err(|error| ApiError(Error::internal(error)))?
    }
}

/// The first request of its name. When it is dropped, by a panic too, its answer is remembered if there is one.
struct First {
    app: Arc<App>,
    name: Name,
    answer: Option<Answer>,
}

impl First {
    async fn answer(mut self, result: poem::Result<Response>) -> poem::Result<Response> {
        let mut response = result?;
        if !response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(live) = response.data::<Arc<Live>>().cloned() {
            self.app.answered.join(self.name, Answer { status, headers, body: Said::Running(live.clone()) });
            tokio::spawn(self.follow(live));
            return Ok(response);
        }
        let body = response.take_body().into_bytes().await?;
        self.answer = Some(Answer { status, headers, body: Said::Whole(body.clone()) });
        response.set_body(body);
        Ok(response)
    }

    /// Waits until the reply is written; what is remembered of it then counts against the bounds.
    async fn follow(mut self, live: Arc<Live>) {
        live.ended().await;
        let running = self.app.answered.running(&self.name);
        self.answer = running.map(|answer| Answer { body: Said::Whole(live.since(0).into()), ..answer });
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.app.answered.finish(self.name, self.answer.take(), Instant::now());
    }
}

/// What a request that is to be remembered is remembered by, and the cap of its body; `None` for all others.
fn named(request: &Request) -> Result<Option<(Arc<App>, Name, usize)>> {
    let path = request.original_uri().path();
    let route = path.strip_prefix(API_PREFIX).unwrap_or(path);
    let Some(key) = request.header(IDEMPOTENCY_KEY).filter(|_| request.method() == Method::POST) else {
        return Ok(None);
    };
    // Who is nobody is told so by the handler, as always.
    let (Some(app), Some(holder)) = (request.data::<Arc<App>>(), auth::key_holder(request)?) else { return Ok(None) };
    if !(1..=KEY_CHARS_MAX).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
    }
    let mut name = Sha256::new();
    for part in [&holder.key_id, request.header("x-alumia-org").unwrap_or_default(), route, key] {
        name.update(part.len().to_le_bytes());
        name.update(part);
    }
    let max_bytes = if route.ends_with("/messages") || route == "/chat" { HISTORY_BYTES_MAX } else { BODY_BYTES_MAX };
    Ok(Some((app.clone(), name.finalize().into(), max_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> Option<Answer> {
        let body = Said::Whole(Bytes::from_static(text.as_bytes()));
        Some(Answer { status: StatusCode::CREATED, headers: HeaderMap::new(), body })
    }

    #[test]
    fn the_second_is_answered_as_the_first_until_it_is_forgotten() {
        let (memory, start) = (Memory::default(), Instant::now());
        let again = |body, at| memory.begin([1; 32], [body; 32], at);
        assert!(again(0, start).unwrap().is_none());
        assert!(matches!(again(0, start), Err(Error::Conflict(_))));
        memory.finish([1; 32], answer("first"), start);
        assert!(matches!(again(0, start).unwrap().unwrap().body, Said::Whole(text) if text == "first"));
        assert!(matches!(again(1, start), Err(Error::Invalid(_))));
        assert!(again(1, start + REMEMBERED).unwrap().is_none());
    }

    #[test]
    fn what_was_refused_may_be_tried_again() {
        let (memory, now) = (Memory::default(), Instant::now());
        assert!(memory.begin([1; 32], [0; 32], now).unwrap().is_none());
        memory.finish([1; 32], None, now);
        assert!(memory.begin([1; 32], [9; 32], now).unwrap().is_none());
    }

    #[test]
    fn the_oldest_answers_make_room() {
        let (memory, now) = (Memory::default(), Instant::now());
        for n in 0..=ANSWERS_MAX {
            let mut name = [0; 32];
            name[..8].copy_from_slice(&n.to_le_bytes());
            memory.begin(name, [0; 32], now).unwrap();
            memory.finish(name, answer("x"), now);
        }
        let inner = memory.inner.lock().unwrap();
        assert_eq!((inner.entries.len(), inner.bytes), (ANSWERS_MAX, ANSWERS_MAX));
        assert!(!inner.entries.contains_key(&[0; 32]));
    }
}
