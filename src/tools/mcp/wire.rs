//! One connection to a server, of either era and over either transport: what it lists, and a call of a tool.
//!
//! Rule: the library that speaks the protocol (`rmcp`) is named here, in `http.rs`, `events.rs`, `lines.rs` and `listening.rs` and nowhere else. Its majors come
//! often; what stands behind [`Server`] could be replaced, and the recorded conversations in `tests/golden/mcp` would tell.
//! Rule: nothing waits for a server without a bound: not the handshake, not a list, not a call, not the end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientCapabilities,
        ClientConfig, ClientRequest, Implementation, ListToolsRequest, PaginatedRequestParams,
        ProgressNotificationParam, ProgressToken, ProtocolVersion, RequestId, ServerResult,
    },
    service::{
        ClientLifecycleMode, NotificationContext, Peer, PeerRequestOptions, RequestHandle, RunningService,
        serve_client_with_lifecycle,
    },
    transport::{
        IntoTransport, StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Map, Value};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    events::MCP_LINE_BYTES_MAX,
    http::Http,
    list,
    listening::Listening,
    refusal::{Refusal, of_service, of_start, opened},
};

/// Pages of a list that are asked for.
pub const PAGES_MAX: usize = 32;
/// How long a call may take in all, however often it says that it goes on.
pub const TOOL_TIME_MAX: Duration = Duration::from_secs(600);
/// How long the pages of a list may take together.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a server may take to hear that nobody waits for its answer any more.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests that may wait for their head at once: calls, a list, and those that nobody waits for any more.
const REQUESTS_AT_ONCE: usize = 64;

/// What is asked of a server.
pub(super) trait Server {
    /// All its tools, as it lists them.
    fn list(&self) -> impl Future<Output = Result<List, Refusal>> + Send;
    /// Calls a tool; the result as it came. Dropping it tells the server that nobody waits.
    fn call(&self, call: Call<'_>) -> impl Future<Output = Result<Value, Refusal>> + Send;
}

/// A call of a tool.
pub(super) struct Call<'a> {
    /// What the server calls it.
    pub tool: &'a str,
    pub schema: &'a Map<String, Value>,
    pub arguments: Map<String, Value>,
    /// How long it may take without a word; a notice of progress begins it anew.
    pub patience: Duration,
}

/// A whole list.
#[derive(Debug)]
pub(super) struct List {
    pub tools: Vec<Value>,
    pub ttl: Duration,
    /// What there is to say of it.
    pub note: Option<&'static str>,
}

/// Which generation of the protocol a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// With a handshake: up to 2025-11-25.
    Legacy,
    /// Without: 2026-07-28.
    Modern,
}

/// What a server said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The era it speaks.
    pub era: Era,
    /// The version of the protocol.
    pub version: String,
    /// Its own name and version.
    pub name: Option<(String, String)>,
    /// How it wants to be used.
    pub instructions: Option<String>,
}

/// A running connection.
pub(super) struct Link {
    service: RunningService<RoleClient, Ear>,
    http: Option<Http>,
    ear: Ear,
    /// Rises when an answer was dropped because it was too long.
    cuts: Option<watch::Receiver<u64>>,
    /// Of the new era: it says when its list changes to who listens.
    _listening: Option<Listening>,
    pub told: Told,
}

/// What a server says unasked.
#[derive(Clone)]
struct Ear {
    /// Whoever waits, by the token of the call.
    progress: Arc<Mutex<HashMap<ProgressToken, Arc<Notify>>>>,
    changed: Arc<Notify>,
}

impl ClientHandler for Ear {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("alm", env!("CARGO_PKG_VERSION")))
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let waiting = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = waiting.get(&progress.progress_token) {
            waiting.notify_one();
        }
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

impl Link {
    /// Over HTTP. `changed` is told when the server's list changes.
    pub(super) async fn by_url(
        url: &str,
        http: Http,
        changed: Arc<Notify>,
        patience: Duration,
    ) -> Result<Self, Refusal> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(url)
            .max_sse_event_size(MCP_LINE_BYTES_MAX)
            .max_json_response_size(MCP_LINE_BYTES_MAX)
            .max_concurrent_requests(REQUESTS_AT_ONCE)
            .reinit_on_expired_session(true);
        config.allow_stateless = true;
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        Self::begin(transport, Some(http), None, changed, patience).await
    }

    /// Over a transport of ours.
    pub(super) async fn begin<E, A>(
        transport: impl IntoTransport<RoleClient, E, A>,
        http: Option<Http>,
        cuts: Option<watch::Receiver<u64>>,
        changed: Arc<Notify>,
        patience: Duration,
    ) -> Result<Self, Refusal>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let ear = Ear { progress: Arc::default(), changed };
        let either = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let served = timeout(patience, serve_client_with_lifecycle(ear.clone(), transport, either)).await;
        let service = served.map_err(|_| Refusal::Silent(patience))?.map_err(of_start)?;
        let info = service.peer().peer_info().ok_or(Refusal::Cut)?;
        let tools = info.capabilities.tools.as_ref();
        let told = Told {
            era: if info.protocol_version.has_initialize() { Era::Legacy } else { Era::Modern },
            version: info.protocol_version.to_string(),
            name: info.server_info.as_ref().map(|server| (server.name.clone(), server.version.clone())),
            instructions: info.instructions.clone(),
        };
        let tells_changes = tools.is_some_and(|tools| tools.list_changed == Some(true));
        let listening = (tells_changes && told.era == Era::Modern)
            .then(|| Listening::begin(service.peer().clone(), ear.changed.clone()));
        Ok(Link { service, http, ear, cuts, _listening: listening, told })
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.peer().is_transport_closed()
    }

    /// Ends it: a session is given up, what is running is dropped.
    pub(super) async fn close(mut self) {
        // What is not over by then ends when it is dropped.
        let _ = self.service.close_with_timeout(CLOSE_TIMEOUT).await;
    }

    /// Ends it without waiting, whoever uses it.
    pub(super) fn cancel(&self) {
        self.service.cancellation_token().cancel();
    }

    async fn ask(&self, request: ClientRequest) -> Result<Pending, Refusal> {
        let peer = self.service.peer().clone();
        let handle = peer.send_request_with_option(request, PeerRequestOptions::no_options()).await;
        // Its queue is closed: nothing went out.
        let handle = handle.map_err(|_| Refusal::NotSent("the connection is closed".into()))?;
        Ok(Pending::new(handle, peer, self.ear.clone()))
    }

    async fn page(&self, cursor: Option<String>) -> Result<Value, Refusal> {
        let params = cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let request = ListToolsRequest { method: Default::default(), params, extensions: Default::default() };
        self.ask(ClientRequest::ListToolsRequest(request)).await?.answer(LIST_TIMEOUT, self.cuts.clone()).await
    }
}

impl Server for Link {
    async fn list(&self) -> Result<List, Refusal> {
        let mut list = List { tools: Vec::new(), ttl: list::TTL_MAX, note: None };
        let (mut taken, mut cursor) = (list::Taken::default(), None);
        let deadline = Instant::now() + LIST_TIMEOUT;
        for page in 1.. {
            let result = match tokio::time::timeout_at(deadline, self.page(cursor.clone())).await {
                Err(_) => return Err(Refusal::Silent(LIST_TIMEOUT)),
                Ok(Err(Refusal::Said(_))) if page == 1 && !self.lists() => {
                    list.note = Some("It says that it has no tools.");
                    break;
                }
                Ok(result) => result?,
            };
            let read = list::page(result).map_err(Refusal::Said)?;
            let is_whole = taken.take(read.tools);
            list.ttl = list.ttl.min(read.ttl);
            match read.next_cursor {
                _ if !is_whole => {
                    list.note = Some("Its list has more than 16 MiB: the rest is left out.");
                    break;
                }
                None => break,
                same if same == cursor => {
                    list.note = Some("Its list begins again and again: what came first is taken.");
                    break;
                }
                Some(_) if page == PAGES_MAX => {
                    list.note = Some("Its list has more than 32 pages: the rest is left out.");
                    break;
                }
                next => cursor = next,
            }
        }
        Ok(List { tools: taken.tools, ..list })
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, Refusal> {
        if let Some(http) = &self.http {
            http.know(call.tool, call.schema);
        }
        let params = CallToolRequestParams::new(call.tool.to_owned()).with_arguments(call.arguments);
        let request = CallToolRequest::new(params);
        self.ask(ClientRequest::CallToolRequest(request)).await?.answer(call.patience, self.cuts.clone()).await
    }
}

impl Link {
    /// Whether it says that it has tools at all.
    fn lists(&self) -> bool {
        self.service.peer().peer_info().is_some_and(|info| info.capabilities.tools.is_some())
    }
}

/// A request on its way. Dropping it tells the server that nobody waits.
struct Pending {
    handle: Option<RequestHandle<RoleClient>>,
    peer: Peer<RoleClient>,
    id: RequestId,
    ear: Ear,
    token: ProgressToken,
    progressed: Arc<Notify>,
}

impl Pending {
    fn new(handle: RequestHandle<RoleClient>, peer: Peer<RoleClient>, ear: Ear) -> Self {
        let (id, token, progressed) = (handle.id.clone(), handle.progress_token.clone(), Arc::new(Notify::new()));
        ear.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), progressed.clone());
        Pending { handle: Some(handle), peer, id, ear, token, progressed }
    }

    async fn answer(mut self, patience: Duration, mut cuts: Option<watch::Receiver<u64>>) -> Result<Value, Refusal> {
        let end = Instant::now() + TOOL_TIME_MAX;
        let mut deadline = Instant::now() + patience;
        let Some(handle) = &mut self.handle else { return Err(Refusal::Cut) };
        let too_long = || Err(Refusal::TooLong(MCP_LINE_BYTES_MAX as u64));
        let cuts_before = cuts.as_ref().map(|cuts| *cuts.borrow());
        let answered = loop {
            tokio::select! {
                answered = &mut handle.rx => break answered,
                () = self.progressed.notified() => deadline = Instant::now() + patience,
                () = cut(&mut cuts) => return too_long(),
                () = sleep_until(deadline.min(end)) => return Err(Refusal::Silent(patience.min(TOOL_TIME_MAX))),
            }
        };
        self.handle = None;
        let answer = match answered {
            Ok(Ok(ServerResult::CustomResult(closed))) => opened(closed.0),
            Ok(Ok(_)) => Err(Refusal::Said("The answer is none to this question.".into())),
            Ok(Err(error)) => Err(of_service(error)),
            Err(_) => Err(Refusal::Cut),
        };
        match answer {
            // Whoever waited beside it may have ended the connection for it first.
            Err(Refusal::Cut) if cuts.map(|cuts| *cuts.borrow()) > cuts_before => too_long(),
            answer => answer,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.ear.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
        let (Some(_), Ok(runtime)) = (self.handle.take(), tokio::runtime::Handle::try_current()) else { return };
        let (peer, id) = (self.peer.clone(), self.id.clone());
        runtime.spawn(async move {
            let cancelled = CancelledNotification::new(CancelledNotificationParam::new(Some(id), None));
            // A server that does not hear it finishes for nobody.
            let _ = timeout(CANCEL_TIMEOUT, peer.send_notification(cancelled.into())).await;
        });
    }
}

/// Until an answer was dropped because it was too long: whose it was nobody knows.
async fn cut(cuts: &mut Option<watch::Receiver<u64>>) {
    if let Some(cuts) = cuts
        && cuts.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
