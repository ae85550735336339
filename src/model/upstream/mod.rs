//! Asking an OpenAI-compatible provider: a request becomes a running reply, a running reply becomes deltas.
//!
//! Rule: what fails before the response head fails [`Upstreams::start`], with a sentence of ours; what fails after it is
//! a [`Delta::Fault`], because what has arrived counts. Nothing an upstream wrote about an error leaves the log.
//! Rule: dropping is cancelling. A dropped `start` or [`Reply`] closes its connection at once, and waits no more.
//! Deliberately absent: a bound on a reply's length and duration, which is the turn's.

mod answered;
pub mod embeddings; // vectors for texts
mod endpoint;
mod failure;
mod told; // what servers tell of their models
mod unpack;

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep, timeout};

use self::{
    answered::Answered,
    failure::{Failure, Purpose},
    unpack::{Unpacker, entries},
};
pub use self::{endpoint::Endpoint, told::Listed};
use super::{
    Delta, Ending, Request,
    facts::Lesson,
    known::Known,
    openai::{Decoder, Repair, TooLong, encode, is_needed, repair},
};
use crate::{
    error::Result,
    outbound::{
        self, Body, Client, Connection,
        http::{Method, Request as HttpRequest, Response},
    },
    time::Timestamp,
};

/// One read takes at most this much, some 40 events.
const READ_BYTES: usize = 16 * 1024;
/// What is read of an error: for the log, and for what could be left out of the request.
const ERROR_BYTES_MAX: usize = 16 * 1024;
const ERROR_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest list of models; the longest known is under 1 MiB.
const MODELS_BYTES_MAX: usize = 4 * 1024 * 1024;
const MODELS_TIMEOUT: Duration = Duration::from_secs(15);
/// What a body may still bring after `[DONE]`, and how long its end may take.
const END_BYTES_MAX: usize = 1024;
const END_TIMEOUT: Duration = Duration::from_millis(250);

/// How often one request is changed because the server refused something of it.
const REPAIRS_MAX: u32 = 4;
/// How long a server may load its model, and how often it is asked meanwhile.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(10 * 60);
const LOAD_PAUSE: Duration = Duration::from_millis(500);
/// How long nobody may listen at an address of this machine where a server answered a short time ago: it is being started
/// again.
const REFUSED_WAIT: Duration = Duration::from_secs(10);

/// The way to every provider: connections, authorities, threads that wait for heads. One for each process.
pub struct Upstreams {
    /// For the operator's providers, and for those that owners added.
    clients: (Client, Client),
    /// Servers of this machine that answered lately.
    answered: Answered,
}

/// A request that got no reply.
struct Unanswered {
    failure: Failure,
    /// What a refusal said. It is read for what to change, and shown to nobody.
    said: String,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Unanswered { failure, said: String::new() }
    }
}

/// Told, again and again, how long a model has been loading.
pub type OnLoading<'a> = &'a mut (dyn FnMut(Duration) + Send);

impl Upstreams {
    /// Without connections as yet.
    pub fn new(options: &outbound::Options) -> Result<Self> {
        Ok(Upstreams { clients: Client::of_providers(options)?, answered: Answered::default() })
    }

    /// Sends the request and waits for the response head. What the server refuses of it is left out, and remembered once the
    /// rest was taken.
    pub async fn start(
        &self,
        endpoint: &Endpoint,
        known: &Known,
        request: &Request,
        loading: OnLoading<'_>,
    ) -> Result<Reply> {
        let authority = endpoint.authority()?;
        let mut dialect = endpoint.dialect.clone();
        dialect.take(&known.facts(), Timestamp::now());
        let (mut lessons, mut repairs) = (Vec::new(), 0);
        let response = loop {
            let body = encode(request, &dialect, &endpoint.name);
            let http = endpoint.request(Method::POST, "/chat/completions", body)?;
            let Unanswered { failure, said } = match self.send(endpoint, &authority, http, &mut *loading).await {
                Ok(response) => break response,
                Err(unanswered) => unanswered,
            };
            let change = failure.status().and_then(|status| repair(status, &said, request, &dialect));
            if let Some(Repair::Omit { field, .. }) = change
                && is_needed(request, field)
            {
                return Err(field.refused(&endpoint.who()));
            }
            let Some(change) = change.filter(|_| repairs < REPAIRS_MAX) else {
                tracing::warn!(authority, ?failure, "a provider did not reply");
                if let Failure::TooLong(TooLong { window: Some(tokens), .. }) = failure {
                    known.learn(Lesson::Window { tokens });
                }
                return Err(failure.into_error(&endpoint.who(), Purpose::Reply(&request.model)));
            };
            tracing::info!(
                authority,
                model = request.model,
                ?change,
                "a provider refused something: it is asked without"
            );
            lessons.extend(dialect.change(change));
            repairs += 1;
        };
        lessons.into_iter().for_each(|lesson| known.learn(lesson));
        if endpoint.is_local() {
            self.answered.note(&authority);
        }
        let unpacker = Unpacker::new(response.headers());
        Ok(Reply {
            who: endpoint.who(),
            authority,
            body: Some(response.into_body()),
            unpacker,
            decoder: Decoder::in_thoughts(known.facts().opens_thoughts(Timestamp::now())),
            known: known.clone(),
            omitted: dialect.omits(request),
            read_at: Instant::now(),
            silence_max: match endpoint.is_local() {
                // A local model reads its prompt before it says a word.
                true => self.clients.0.head_timeout(),
                false => self.clients.0.idle_timeout(),
            },
            idle_timeout: self.clients.0.idle_timeout(),
            idle: Box::pin(sleep(self.clients.0.idle_timeout())),
        })
    }

    /// The list at `/models`; `reached` is called when the provider begins to answer.
    async fn model_list(&self, endpoint: &Endpoint, reached: impl FnOnce()) -> Result<Value> {
        let authority = endpoint.authority()?;
        let http = endpoint.request(Method::GET, "/models", Vec::new())?;
        let list = async {
            let response = self.send(endpoint, &authority, http, &mut |_| ()).await;
            let response = response.map_err(|unanswered| unanswered.failure)?;
            reached();
            unpack::json(response, MODELS_BYTES_MAX).await
        };
        let list = timeout(MODELS_TIMEOUT, list).await.unwrap_or(Err(Failure::HeadTimeout));
        let list = list.and_then(|list| if entries(&list).is_some() { Ok(list) } else { Err(Failure::NoList) });
        list.map_err(|failure| failure.into_error(&endpoint.who(), Purpose::Models))
    }

    /// Whether a server says that it has not loaded its model as yet; asked once.
    pub async fn is_loading(&self, endpoint: &Endpoint) -> Result<bool> {
        let http = endpoint.request(Method::GET, "/models", Vec::new())?;
        let answer = self.send_once(endpoint, &endpoint.authority()?, http, Connection::Any).await;
        Ok(answer.is_err_and(|unanswered| unanswered.failure == Failure::Loading))
    }

    /// Sends until a head of use has come, or sending again would be useless or not safe.
    async fn send(
        &self,
        endpoint: &Endpoint,
        authority: &str,
        request: HttpRequest<Bytes>,
        loading: OnLoading<'_>,
    ) -> Result<Response<Body>, Unanswered> {
        let (mut connection, began) = (Connection::Any, Instant::now());
        let mut retries = 0;
        loop {
            let unanswered = match self.send_once(endpoint, authority, request.clone(), connection).await {
                Ok(response) => return Ok(response),
                Err(unanswered) => unanswered,
            };
            let failure = &unanswered.failure;
            if began.elapsed() < self.patience(failure, endpoint, authority) {
                loading(began.elapsed());
                sleep(LOAD_PAUSE).await;
                continue;
            }
            // `pause` is what ends this loop: it grants `failure::RETRIES_MAX`.
            let Some(pause) = failure.pause(retries, rand::random()) else { return Err(unanswered) };
            if *failure == Failure::Stale {
                connection = Connection::Fresh;
            }
            retries += 1;
            sleep(pause).await;
        }
    }

    /// How long a failure is taken for a server that is being started or loads its model.
    fn patience(&self, failure: &Failure, endpoint: &Endpoint, authority: &str) -> Duration {
        match failure {
            Failure::Loading => LOAD_WAIT_MAX,
            Failure::Refused if endpoint.is_local() && self.answered.lately(authority) => REFUSED_WAIT,
            _ => Duration::ZERO,
        }
    }

    async fn send_once(
        &self,
        endpoint: &Endpoint,
        authority: &str,
        request: HttpRequest<Bytes>,
        connection: Connection,
    ) -> Result<Response<Body>, Unanswered> {
        let client = if endpoint.is_owners { &self.clients.1 } else { &self.clients.0 };
        let mut response = client.send(request, connection).await.map_err(|error| {
            let failure = Failure::of_send(&error);
            if failure == Failure::Other {
                tracing::warn!(authority, ?error, "no response head");
            } else {
                tracing::debug!(authority, ?error, "no response head");
            }
            failure
        })?;
        let Some(failure) = Failure::of_head(response.status(), response.headers()) else { return Ok(response) };
        let said = timeout(ERROR_TIMEOUT, response.body_mut().read_up_to(ERROR_BYTES_MAX)).await;
        let said = said.ok().and_then(|said| said.ok()).unwrap_or_default();
        let said = unpack::whole(said, response.headers(), ERROR_BYTES_MAX);
        let said = endpoint.redacted(&said);
        tracing::debug!(authority, status = response.status().as_u16(), said, "refused");
        Err(Unanswered { failure: failure.explained(&said), said })
    }
}

/// A running reply. Dropping it closes the provider's connection at once.
pub struct Reply {
    who: String,
    authority: String,
    /// None once the reply is over.
    body: Option<Body>,
    unpacker: Unpacker,
    decoder: Decoder,
    known: Known,
    /// Fields of the request that the model was not sent.
    omitted: Vec<&'static str>,
    read_at: Instant,
    /// How long nothing may come before the first delta; after it, `idle_timeout`.
    silence_max: Duration,
    idle_timeout: Duration,
    /// Re-armed only when it fires: a timer moved with every token would cost more than the token.
    idle: Pin<Box<Sleep>>,
}

/// What became of one wait.
enum Step {
    Read,
    End,
    Broken(String),
}

impl Reply {
    /// Waits until something has arrived and appends it to `deltas`; the ending when the reply is over,
    /// which is the time to drop it.
    pub async fn next(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        let known = deltas.len();
        let ending = self.next_unless_idle(deltas).await;
        if deltas.len() > known {
            self.silence_max = self.idle_timeout;
        }
        if let (Some(_), Some(opens)) = (&ending, self.decoder.opens_thoughts()) {
            self.known.learn(Lesson::OpensThoughts { opens });
        }
        if let Some(field) = ending.as_ref().and_then(|ending| ending.thoughts_field) {
            self.known.learn(Lesson::ThoughtsAt { field: field.name().into() });
        }
        ending
    }

    /// Fields of the request that the model was not sent, since it refuses them.
    pub fn omitted(&self) -> &[&'static str] {
        &self.omitted
    }

    async fn next_unless_idle(&mut self, deltas: &mut Vec<Delta>) -> Option<Ending> {
        let known = deltas.len();
        loop {
            // A provider that is faster than us never makes a read wait; the other tasks of this worker should not.
            tokio::task::coop::consume_budget().await;
            match std::future::poll_fn(|cx| self.poll_step(cx, deltas)).await {
                Step::Read if self.decoder.is_done() => {
                    if let Some(body) = self.body.take() {
                        let_end(body);
                    }
                    return Some(self.decoder.finish(deltas));
                }
                Step::Read if deltas.len() == known => continue,
                Step::Read => return None,
                Step::End => {
                    self.body = None;
                    return Some(self.decoder.finish(deltas));
                }
                Step::Broken(sentence) => {
                    self.body = None;
                    return Some(self.cut(sentence, deltas));
                }
            }
        }
    }

    /// One read, decoded where it lands: a buffer for each worker, not for each reply.
    fn poll_step(&mut self, cx: &mut Context, deltas: &mut Vec<Delta>) -> Poll<Step> {
        thread_local! {
            static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
        }
        let Reply { body: Some(body), unpacker, decoder, .. } = self else { return Poll::Ready(Step::End) };
        let read = BUFFER.with_borrow_mut(|buffer| {
            let read = body.poll_read(cx, buffer);
            if let Poll::Ready(Ok(n)) = read {
                let unpacked = match n {
                    0 => unpacker.finish(|bytes| decoder.feed(bytes, deltas)),
                    n => unpacker.feed(&buffer[..n], |bytes| decoder.feed(bytes, deltas)),
                };
                if unpacked.is_err() {
                    decoder.spoil(deltas);
                }
            }
            read
        });
        match read {
            Poll::Pending => self.poll_idle(cx),
            Poll::Ready(Ok(0)) => Poll::Ready(Step::End),
            Poll::Ready(Ok(_)) => {
                self.read_at = Instant::now();
                Poll::Ready(Step::Read)
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(authority = self.authority, %error, "a reply broke");
                Poll::Ready(Step::Broken(format!("the connection to {} broke in the middle of the reply", self.who)))
            }
        }
    }

    fn poll_idle(&mut self, cx: &mut Context) -> Poll<Step> {
        while self.idle.as_mut().poll(cx).is_ready() {
            let deadline = self.read_at + self.silence_max;
            if deadline <= Instant::now() {
                let seconds = self.silence_max.as_secs_f32();
                let sentence = format!("{} sent nothing for {seconds} seconds: the reply was abandoned", self.who);
                return Poll::Ready(Step::Broken(sentence));
            }
            self.idle.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Ends a reply whose body did not end. If all of it had come but the goodbye, nothing is wrong with it.
    fn cut(&mut self, sentence: String, deltas: &mut Vec<Delta>) -> Ending {
        let known = deltas.len();
        let ending = self.decoder.finish(deltas);
        // Ours says more than the decoder's, which only sees that there is no end.
        if let Some(Delta::Fault(fault)) = deltas[known..].iter_mut().find(|delta| matches!(delta, Delta::Fault(_))) {
            *fault = sentence;
        }
        ending
    }
}

/// Reads the end of a body whose reply is over: only a connection that was read to its end goes back to the pool.
fn let_end(mut body: Body) {
    let mut end = Box::pin(async move { body.read_up_to(END_BYTES_MAX + 1).await });
    if (&mut end).now_or_never().is_none() {
        // The last chunk often comes a packet later.
        tokio::spawn(timeout(END_TIMEOUT, end));
    }
}
