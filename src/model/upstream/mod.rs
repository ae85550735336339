//! Asking an OpenAI-compatible provider: a request becomes a running reply, a running reply becomes deltas.
//!
//! Rule: what fails before the response head fails [`Upstreams::start`], with a sentence of ours; what fails after it is
//! a [`Delta::Fault`], because what has arrived counts. Nothing an upstream wrote about an error leaves the log.
//! Rule: dropping is cancelling. A dropped `start` or [`Reply`] closes its connection at once, and waits no more.
//! Deliberately absent: a bound on a reply's length and duration, which is the turn's.

mod answered;
pub mod embeddings; // vectors for texts
mod endpoint;
pub(in crate::model) mod failure; // why none did
mod heard; // what was said in place of a reply
mod recorded; // what a recorder is told
mod reply; // one that runs
mod told; // what servers tell of their models
mod unpack;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use self::{
    answered::Answered,
    failure::{Failure, Purpose},
    recorded::head_of,
    unpack::entries,
};
pub use self::{endpoint::Endpoint, heard::Heard, reply::Reply, told::Listed};
use super::{
    Request, Said,
    cassette::{Head, Recorder, Scrubber},
    facts::Lesson,
    known::Known,
    openai::{Repair, TooLong, explain, is_needed, question, refusal, repair, status_in},
    waiting::{OnWaiting, Waiting},
};
use crate::{
    error::Result,
    outbound::{
        self, Body, Connection, ProviderClients, Whose,
        http::{Method, Request as HttpRequest, Response},
    },
    time::Timestamp,
};

/// What is read of an error: for the log, and for what could be left out of the request.
const ERROR_BYTES_MAX: usize = 16 * 1024;
const ERROR_TIMEOUT: Duration = Duration::from_millis(500);
/// The longest list of models; the longest known is under 1 MiB.
const MODELS_BYTES_MAX: usize = 4 * 1024 * 1024;
const MODELS_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may take to say whether it has loaded its model.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one request is changed because the server refused something of it.
pub const REPAIRS_MAX: u32 = 4;
/// How long a server may load its model, and how often it is asked meanwhile.
pub const LOAD_WAIT_MAX: Duration = Duration::from_secs(10 * 60);
const LOAD_PAUSE: Duration = Duration::from_millis(500);
/// How long nobody may listen at an address of this machine where a server answered a short time ago: it is being started
/// again.
const REFUSED_WAIT: Duration = Duration::from_secs(10);

/// The way to every provider: connections, authorities, threads that wait for heads. One for each process.
pub struct Upstreams {
    clients: ProviderClients,
    /// Servers of this machine that answered lately.
    answered: Answered,
    /// What writes down what is asked and answered.
    recorder: Option<Recorder>,
}

/// A request that got no reply.
struct Unanswered {
    failure: Failure,
    /// What a refusal said. It is read for what to change, and shown to nobody but the provider's owner, who asked for it.
    said: String,
    /// Its head, if one came.
    head: Option<Head>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Unanswered { failure, said: String::new(), head: None }
    }
}

impl Upstreams {
    /// Without connections as yet.
    pub fn new(options: &outbound::Options) -> Result<Self> {
        Ok(Upstreams { clients: ProviderClients::new(options)?, answered: Answered::default(), recorder: None })
    }

    /// The same, and what its models are asked and answer is written down.
    pub fn recorded_by(self, recorder: Option<Recorder>) -> Self {
        Upstreams { recorder, ..self }
    }

    /// What writes that down, if it is written down.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Sends the request and waits for the response head. What the server refuses of it is left out, and remembered once the
    /// rest was taken.
    pub async fn start(
        &self,
        endpoint: &Endpoint,
        known: &Known,
        request: &Request,
        waiting: OnWaiting<'_>,
    ) -> Result<Reply> {
        let authority = endpoint.authority()?;
        let mut dialect = endpoint.dialect.clone();
        dialect.take(&known.facts(), Timestamp::now());
        let (mut lessons, mut repairs) = (Vec::new(), 0);
        let recording = self.recorder.as_ref().map(|recorder| recorder.begin(request, endpoint.secrets()));
        let response = loop {
            let (path, body) = question(request, &dialect, &endpoint.name);
            let http = endpoint.request(Method::POST, path, body)?;
            let Unanswered { failure, said, head } = match self.send(endpoint, &authority, http, &mut *waiting).await {
                Ok(response) => break response,
                Err(unanswered) => unanswered,
            };
            let change = failure.status().and_then(|status| repair(status, &said, request, &dialect));
            if let Some(Repair::Omit { field, .. }) = &change
                && is_needed(request, *field)
            {
                recorded::refused(recording, head, &said);
                hear(endpoint, &said);
                return Err(field.refused(&endpoint.who()));
            }
            let Some(change) = change.filter(|_| repairs < REPAIRS_MAX) else {
                tracing::warn!(authority, ?failure, "a provider did not reply");
                recorded::refused(recording, head, &said);
                hear(endpoint, &said);
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
        let (omitted, client) = (dialect.omits(request), self.clients.of(endpoint.whose));
        Ok(Reply::new(endpoint, authority, known.clone(), response, omitted, recording, client))
    }

    /// What a refusal that came in the place of words changes in how a model is asked; what it teaches, once the rest is taken. `None`:
    /// it names nothing that the request can do without.
    pub(in crate::model) fn mend(
        endpoint: &mut Endpoint,
        known: &Known,
        request: &Request,
        Said(said): &Said,
    ) -> Result<Option<Vec<Lesson>>> {
        // A quota or a key names fields too, and is no refusal of them.
        if refusal(explain(said)).is_some() {
            return Ok(None);
        }
        let mut dialect = endpoint.dialect.clone();
        dialect.take(&known.facts(), Timestamp::now());
        let Some(change) = repair(status_in(said), said, request, &dialect) else { return Ok(None) };
        if let Repair::Omit { field, .. } = change
            && is_needed(request, field)
        {
            return Err(field.refused(&endpoint.who()));
        }
        tracing::info!(
            model = request.model,
            ?change,
            "a provider refused something in its reply: it is asked without"
        );
        Ok(Some(endpoint.dialect.change(change).into_iter().collect()))
    }

    /// The list at `/models`; `reached` is called when the provider begins to answer.
    async fn model_list(&self, endpoint: &Endpoint, reached: impl FnOnce()) -> Result<Value> {
        let authority = endpoint.authority()?;
        let http = endpoint.request(Method::GET, "/models", Vec::new())?;
        let list = async {
            let response = self.send(endpoint, &authority, http, &mut |_| ()).await;
            let response = response.map_err(|unanswered| {
                hear(endpoint, &unanswered.said);
                unanswered.failure
            })?;
            reached();
            unpack::json(response, MODELS_BYTES_MAX).await.map_err(|_| Failure::Lost)?.ok_or(Failure::NoList)
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

    /// Whether a llama.cpp has loaded its model; asked once.
    pub async fn is_healthy(&self, endpoint: &Endpoint) -> bool {
        let endpoint = endpoint.native();
        let (Ok(http), Ok(authority)) = (endpoint.request(Method::GET, "/health", Vec::new()), endpoint.authority())
        else {
            return false;
        };
        let asked = timeout(HEALTH_TIMEOUT, self.send_once(&endpoint, &authority, http, Connection::Any)).await;
        matches!(asked, Ok(Ok(_)))
    }

    /// Sends until a head of use has come, or sending again would be useless or not safe.
    async fn send(
        &self,
        endpoint: &Endpoint,
        authority: &str,
        request: HttpRequest<Bytes>,
        waiting: OnWaiting<'_>,
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
                waiting(Waiting::Loading { since: began.elapsed() });
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
            Failure::Refused if endpoint.whose == Whose::Ours => REFUSED_WAIT,
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
        let client = self.clients.of(endpoint.whose);
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
        let head = head_of(response.status(), response.headers());
        Err(Unanswered { failure: failure.explained(&said), said, head: Some(head) })
    }
}

/// Notes what a refusal said, without secrets.
fn hear(endpoint: &Endpoint, said: &str) {
    endpoint.heard.note(&Scrubber::new(endpoint.secrets()).masked(said));
}
