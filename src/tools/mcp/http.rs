//! A server by URL: what the protocol's library asks of an HTTP client, over `outbound`.
//!
//! Rule: every body has a bound and is read here. What a server answers goes on in an [`envelope`].
//! Rule: what failed says whether the server may have got the request: only what it did not get is ever sent again.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rmcp::{
    model::{ClientJsonRpcMessage, ClientRequest},
    transport::streamable_http_client::{
        StreamableHttpClient, StreamableHttpPostResponse, StreamableHttpResponseLimits,
    },
};
use serde_json::{Map, Value};
use sse_stream::Sse;

use super::{
    asked::{Asked, header_text, media_type, opened, refusal, single},
    envelope,
    events::{self, MCP_LINE_BYTES_MAX},
    failed::{Events, Failed, Failure},
    param_headers,
    questions::{Questions, is_answer},
};
use crate::outbound::{
    Body, Cause, Client, Failure as Unanswered,
    http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header},
};

/// Until an answer begins; whoever waits for it gives up sooner.
const HEAD_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a server may take to be connected to.
const REACH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one that is there may take to say anything; who listens on says nothing.
const LISTEN_WAIT: Duration = Duration::from_secs(2);
/// How long a server may take to hear that a session is over.
const DELETE_TIMEOUT: Duration = Duration::from_secs(1);
/// A stream of notices that lasted this long has not failed.
const NOTICES_LASTED: Duration = Duration::from_secs(60);
/// Between two tries to open the stream of notices, at most.
const NOTICES_PAUSE_MAX: Duration = Duration::from_secs(60);

/// One server, as often as the library needs it.
#[derive(Clone)]
pub(super) struct Http(Arc<Inner>);

struct Inner {
    client: Client,
    /// Of the row, secret ones too.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Schemas of tools whose arguments are headers too, by the server's names.
    marked: RwLock<HashMap<String, Arc<Map<String, Value>>>>,
    /// How often in a row the stream of notices failed.
    notices_failed: AtomicU32,
    questions: Questions,
}

impl Http {
    pub(super) fn new(client: Client, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let (marked, notices_failed) = (RwLock::default(), AtomicU32::new(0));
        Http(Arc::new(Inner { client, headers, marked, notices_failed, questions: Questions::default() }))
    }

    /// Remembers the schema of a tool that is about to be called.
    pub(super) fn know(&self, tool: &str, schema: &Map<String, Value>) {
        let mut known = self.0.marked.write().unwrap_or_else(PoisonError::into_inner);
        match param_headers::marks(schema) {
            true => known.insert(tool.to_owned(), Arc::new(schema.clone())),
            false => known.remove(tool),
        };
    }

    fn param_headers(&self, message: &ClientJsonRpcMessage) -> Vec<(String, String)> {
        let ClientJsonRpcMessage::Request(request) = message else { return Vec::new() };
        let ClientRequest::CallToolRequest(call) = &request.request else { return Vec::new() };
        let known = self.0.marked.read().unwrap_or_else(PoisonError::into_inner).get(&*call.params.name).cloned();
        let arguments = call.params.arguments.clone().map(Value::Object).unwrap_or_default();
        known.map(|schema| param_headers::headers(&schema, &arguments)).unwrap_or_default()
    }

    async fn send(
        &self,
        method: Method,
        uri: &str,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
        body: Bytes,
        may_repeat: bool,
    ) -> Result<Response<Body>, Failed> {
        let mut request = Request::builder().method(&method).uri(uri);
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if method != Method::DELETE {
            let accept = if method == Method::GET { events::MEDIA_TYPE } else { "application/json, text/event-stream" };
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.0.headers {
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|error| Failed::NotSent(error.to_string()))?;
        self.0.client.open(request, HEAD_TIMEOUT, may_repeat).await.map_err(Failed::from)
    }

    async fn post(
        &self,
        uri: &str,
        message: &ClientJsonRpcMessage,
        session: Option<&str>,
        mut headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        for (name, value) in self.param_headers(message) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        let body = serde_json::to_vec(message)?;
        let asked = Asked::of(message);
        let sent = self.send(Method::POST, uri, session, headers, body.into(), !asked.is_call).await;
        self.0.questions.sent(is_answer(message));
        let mut response = sent.map_err(Failure::Client)?;
        if !response.status().is_success() {
            return refusal(&mut response, &asked, session.is_some()).await;
        }
        let new_session = header_text(&response, "mcp-session-id");
        if matches!(response.status(), StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let max = limits.max_json_response_size;
        if media_type(&response) == events::MEDIA_TYPE {
            let events = events::read(response.into_body(), limits.max_sse_event_size, asked.id.clone());
            return Ok(StreamableHttpPostResponse::Sse(opened(events, asked, self.0.questions.clone()), new_session));
        }
        // One byte more tells a longer body.
        let bytes = response.body_mut().read_up_to(max + 1).await.map_err(|_| Failure::Client(Failed::Cut))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let message = match serde_json::from_slice(&bytes) {
            _ if bytes.len() > max => asked.close(envelope::too_long(&asked.id.clone().unwrap_or_default(), max)),
            Ok(message) => asked.close(single(message)),
            Err(_) => return Err(Failure::Client(Failed::NotJson)),
        };
        let message = serde_json::from_value(message).map_err(|_| Failure::Client(Failed::NotJson))?;
        Ok(StreamableHttpPostResponse::Json(message, new_session))
    }

    /// Whether there is a server of the transport before this one: it says at once where to post.
    pub(super) async fn speaks_sse(&self, uri: &str) -> bool {
        let first = async {
            let response = self.send(Method::GET, uri, None, HashMap::new(), Bytes::new(), true).await.ok()?;
            if !response.status().is_success() || media_type(&response) != events::MEDIA_TYPE {
                return None;
            }
            events::read(response.into_body(), MCP_LINE_BYTES_MAX, None).next().await?.ok()
        };
        let first = tokio::time::timeout(LISTEN_WAIT, first).await;
        first.is_ok_and(|event| event.is_some_and(|event| event.event.as_deref() == Some("endpoint")))
    }

    /// The stream of notices of a session. One that fails is tried again, ever more slowly, and does nothing else.
    async fn notices(
        &self,
        uri: &str,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Failure> {
        let failed = self.0.notices_failed.load(Ordering::Relaxed);
        if failed > 0 {
            tokio::time::sleep(pause_after(failed)).await;
        }
        self.0.notices_failed.fetch_add(1, Ordering::Relaxed);
        let Ok(response) = self.send(Method::GET, uri, session, headers, Bytes::new(), true).await else {
            return Ok(stream::empty().boxed());
        };
        if response.status().is_client_error() {
            return Err(Failure::ServerDoesNotSupportSse);
        }
        if !response.status().is_success() || media_type(&response) != events::MEDIA_TYPE {
            return Ok(stream::empty().boxed());
        }
        let (began, inner) = (Instant::now(), self.0.clone());
        let events = events::read(response.into_body(), MCP_LINE_BYTES_MAX, None);
        let events = opened(events, Asked::default(), self.0.questions.clone()).map(move |event| {
            if began.elapsed() > NOTICES_LASTED {
                inner.notices_failed.store(0, Ordering::Relaxed);
            }
            // Without ids: what was missed is made good by asking for the list.
            event.map(|event| Sse { id: None, ..event })
        });
        Ok(events.boxed())
    }
}

/// Whether anything answers there, whatever it says.
pub(super) async fn reach(client: &Client, url: &str) -> Result<(), Failed> {
    let request = Request::builder().method(Method::HEAD).uri(url).body(Bytes::new());
    let request = request.map_err(|error| Failed::NotSent(error.to_string()))?;
    let mut answer = client.open(request.clone(), LISTEN_WAIT, true).await;
    if matches!(answer, Err(Unanswered::NotSent(Cause::ConnectTimeout))) {
        answer = client.open(request, REACH_TIMEOUT, true).await;
    }
    match answer.map_err(Failed::from) {
        // Somebody is there who does not know what to say to this, or goes on listening.
        Ok(_) | Err(Failed::Cut | Failed::Silent) => Ok(()),
        Err(failed) => Err(failed),
    }
}

/// How long to wait after so many failures in a row.
fn pause_after(failed: u32) -> Duration {
    Duration::from_secs(1 << failed.min(6)).min(NOTICES_PAUSE_MAX)
}

impl StreamableHttpClient for Http {
    type Error = Failed;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _auth_header: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        self.post(&uri, &message, session.as_deref(), headers, StreamableHttpResponseLimits::default()).await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _auth_header: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        self.post(&uri, &message, session.as_deref(), headers, limits).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        _auth_header: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let gone = self.send(Method::DELETE, &uri, Some(&session), headers, Bytes::new(), true);
        // A server that does not hear it forgets the session by itself.
        let _ = tokio::time::timeout(DELETE_TIMEOUT, gone).await;
        Ok(())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        mut headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Failure> {
        let Some(last) = last_event_id.and_then(|id| HeaderValue::try_from(id).ok()) else {
            return self.notices(&uri, session.as_deref(), headers).await;
        };
        headers.insert(HeaderName::from_static("last-event-id"), last);
        // The rest of an answer. If it cannot be had, the answer will not come.
        let response = self.send(Method::GET, &uri, session.as_deref(), headers, Bytes::new(), true).await;
        let response = response.map_err(|_| Failure::ServerDoesNotSupportSse)?;
        if !response.status().is_success() || media_type(&response) != events::MEDIA_TYPE {
            return Err(Failure::ServerDoesNotSupportSse);
        }
        let events = events::read(response.into_body(), MCP_LINE_BYTES_MAX, None);
        Ok(opened(events, Asked::default(), self.0.questions.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_notices_is_tried_ever_more_slowly() {
        let seconds: Vec<_> = (1..8).map(|failed| pause_after(failed).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), NOTICES_PAUSE_MAX);
    }
}
