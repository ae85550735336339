//! Every MCP server of a process: connected when it is used, and looked after in between.
//!
//! Rule: what a turn is offered is read from the file; no chat waits for a server to start.
//! Rule: a call that was refused before it was run may be made once more, and no other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Map, Value};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    known::{Failure, Known, Linked, NOT_ALLOWED, Seen, State},
    list, offer,
    open::Opening,
    refusal::Refusal,
    result::{self, Answer},
    target::Target,
    wire::{self, Server},
    words,
};
use crate::{
    error::{Error, Result},
    store::{Store, Tenant, mcp::McpServer, mcp_lists},
    tools::{
        Tool,
        call::{Call, Ended, File, duration},
    },
};

/// Calls of one server that run at once; the others wait.
pub const SERVER_CALLS_AT_ONCE: usize = 8;
/// Servers that are started at once in the background.
const STARTS_AT_ONCE: usize = 4;

/// The MCP servers of a process.
pub struct Servers {
    pub(super) store: Store,
    opening: Opening,
    known: Mutex<HashMap<String, Arc<Known>>>,
    pub(super) starts: Semaphore,
}

/// The tools of an organization's servers.
#[derive(Debug, Default)]
pub struct Offered {
    /// By server and name.
    pub tools: Vec<Tool>,
    /// Servers that do not answer, by slug.
    pub unavailable: Vec<String>,
    /// What servers say of how they want to be used, by slug, where a person lets models read it.
    pub said: BTreeMap<String, String>,
}

impl Servers {
    /// Those in a store; none is connected to yet.
    pub fn new(store: Store, opening: Opening) -> Arc<Self> {
        Arc::new(Servers { store, opening, known: Mutex::default(), starts: Semaphore::new(STARTS_AT_ONCE) })
    }

    /// Begins to look after every active server.
    pub fn start_all(self: &Arc<Self>) -> Result<()> {
        for (org_id, server_id) in self.store.active_mcp_servers()? {
            self.look_after(&Tenant { org_id, user_id: String::new() }, &server_id);
        }
        self.sweep_always();
        Ok(())
    }

    /// What a turn may be offered, as the file says. A server that was added meanwhile is looked after from now on.
    pub fn offered(self: &Arc<Self>, tenant: &Tenant) -> Result<Offered> {
        let org = self.store.org(tenant);
        let mut offered = Offered::default();
        let servers: HashMap<_, _> =
            org.mcp_servers()?.into_iter().filter(|server| server.is_active).map(|s| (s.id.clone(), s)).collect();
        if servers.is_empty() {
            return Ok(offered);
        }
        let mut reachable = HashMap::new();
        for server in servers.values() {
            self.look_after(tenant, &server.id);
            let is_reachable = !self.known(&server.id).seen().state.is_unavailable();
            reachable.insert(server.id.clone(), is_reachable);
            if !is_reachable {
                offered.unavailable.push(server.slug.clone());
            } else if let Some(text) = offer::instructions(server) {
                offered.said.insert(server.slug.clone(), text);
            }
        }
        offered.unavailable.sort();
        let tools = org.mcp_tools()?.into_iter().filter(|tool| reachable.get(&tool.server_id) == Some(&true));
        offered.tools = tools.filter_map(|tool| offer::offered(&servers[&tool.server_id], tool)).collect();
        Ok(offered)
    }

    /// Calls a tool with an input that was checked. Dropping it tells the server that nobody waits.
    pub async fn call(&self, tool: &Tool, target: &Target, input: &Value, call: &Call) -> Ended {
        let row = match self.store.org(&call.tenant).mcp_server_of_id(&target.server_id) {
            Ok(row) if row.is_active => row,
            Ok(row) => return Ended::Failed(format!("{} is switched off.", row.slug)),
            Err(Error::NotFound(_)) => return Ended::Failed("The server of this tool is not there any more.".into()),
            Err(error) => {
                tracing::error!(%error, "an MCP server could not be read");
                return Ended::Failed("The server of this tool could not be read.".into());
            }
        };
        let known = self.known(&row.id);
        let ends = Instant::now() + tool.time_max.min(wire::TOOL_TIME_MAX);
        let Ok(Ok(_place)) = timeout_at(ends, known.calls.acquire()).await else {
            let waited = duration(tool.time_max);
            return Ended::Failed(format!("{} was busy for {waited}: it was not called.", row.slug));
        };
        let empty = Map::new();
        let schema = tool.input_schema.as_object().unwrap_or(&empty);
        let arguments = input.as_object().unwrap_or(&empty);
        for round in 1.. {
            let linked = match self.link(&row, &known).await {
                Ok(linked) => linked,
                Err(failure) => return Ended::Failed(failure.for_models()),
            };
            let _use = linked.in_use();
            let (tool_name, arguments) = (&*target.remote_name, arguments.clone());
            let asked = wire::Call { tool: tool_name, schema, arguments, patience: tool.time_max };
            match linked.link.call(asked).await {
                Ok(result) => return ended(&tool.name, result),
                // It was refused by rule, or never went out: what speaks to it begins anew.
                Err(Refusal::Version) if round == 1 => known.unlink(&linked).await,
                Err(Refusal::NotSent(_)) if round == 1 && linked.link.is_closed() => known.unlink(&linked).await,
                Err(refusal) => return self.unanswered(&row, &known, refusal),
            }
        }
        Ended::Failed(format!("{} was not called.", row.slug))
    }

    /// How a call ended that has no result.
    fn unanswered(&self, row: &McpServer, known: &Known, refusal: Refusal) -> Ended {
        let sentence = words::refusal(&row.slug, &refusal);
        match refusal {
            Refusal::Said(text) => return Ended::Failed(result::error(&text)),
            Refusal::TooLong(_) => return Ended::Failed(sentence),
            Refusal::NotSent(_) | Refusal::Forbidden(_) | Refusal::OldTransport => {
                known.see(State::Down, Some(sentence.clone()))
            }
            Refusal::Credentials(_) => known.see(State::AuthFailed, Some(sentence.clone())),
            Refusal::Version | Refusal::Cut | Refusal::Silent(_) => {}
        }
        known.poked.notify_one();
        match refusal {
            Refusal::Cut => Ended::Unknown("The connection broke".into()),
            Refusal::Silent(patience) => Ended::Unknown(format!("No answer came within {}", duration(patience))),
            Refusal::Forbidden(_) => Ended::Failed(NOT_ALLOWED.into()),
            _ => Ended::Failed(sentence),
        }
    }

    /// Asks a server for its list and keeps it.
    pub async fn refresh(&self, tenant: &Tenant, slug: &str) -> Result<Result<(), String>> {
        let row = self.store.org(tenant).mcp_server(slug)?;
        self.refresh_row(tenant, &row).await
    }

    /// Connects to a server anew; a command is started again, also one that failed.
    pub async fn restart(&self, tenant: &Tenant, slug: &str) -> Result<Result<(), String>> {
        let row = self.store.org(tenant).mcp_server(slug)?;
        self.disconnect(&row.id).await;
        self.opening.forget_ends(&row.id);
        self.refresh_row(tenant, &row).await
    }

    /// How a server is. What it told is in its row.
    pub fn seen(&self, row: &McpServer) -> Seen {
        if !row.is_active {
            return Seen { state: State::Off, ..Seen::default() };
        }
        let mut seen = self.known(&row.id).seen();
        seen.pid = self.opening.pid(&row.id);
        seen
    }

    /// The last of what a command said that was no message.
    pub fn log(&self, server_id: &str) -> String {
        self.opening.log(server_id)
    }

    /// How many servers there are, by transport and state.
    pub fn states(&self) -> Result<BTreeMap<(&'static str, State), u64>> {
        let mut states = BTreeMap::new();
        let rows = self.store.all_mcp_servers()?;
        let known = self.all_known();
        for row in rows {
            let state = match row.is_active {
                true => known.get(&row.id).map_or(State::Idle, |known| known.seen().state),
                false => State::Off,
            };
            *states.entry((row.transport.as_str(), state)).or_default() += 1;
        }
        Ok(states)
    }

    /// How often commands that had ended by themselves were started again.
    pub fn restarts(&self) -> u64 {
        self.opening.restarts()
    }

    /// Ends what runs for a server whose row has changed or is gone.
    pub async fn forget(&self, server_id: &str) {
        let known = self.all_known().remove(server_id);
        if let Some(known) = known {
            known.end().await;
        }
        self.end_command(server_id).await;
    }

    /// Ends a command. Its folder goes with its row.
    pub(super) async fn end_command(&self, server_id: &str) {
        match self.store.has_mcp_server(server_id) {
            Ok(false) => self.opening.remove(server_id).await,
            _ => self.opening.stop(server_id).await,
        }
    }

    /// Whether a command has been stopped because nobody used it: it is not started to be asked for its list.
    pub(super) fn rests(&self, row: &McpServer, known: &Known) -> bool {
        row.idle_stop_minutes.is_some() && known.seen().state == State::Ready && self.opening.pid(&row.id).is_none()
    }

    /// Ends everything, sessions as well.
    pub async fn stop_all(&self) {
        let known: Vec<_> = self.all_known().drain().map(|(_, known)| known).collect();
        join_all(known.iter().map(|known| known.end())).await;
    }

    async fn disconnect(&self, server_id: &str) {
        let known = self.known(server_id);
        known.disconnect().await;
        self.opening.stop(server_id).await;
    }

    pub(super) fn known(&self, server_id: &str) -> Arc<Known> {
        self.all_known()
            .entry(server_id.to_owned())
            .or_insert_with(|| Arc::new(Known::new(SERVER_CALLS_AT_ONCE)))
            .clone()
    }

    /// Those that somebody looks after.
    pub(super) fn kept_ids(&self) -> Vec<String> {
        let known = self.all_known();
        known.iter().filter(|(_, known)| known.is_kept()).map(|(id, _)| id.clone()).collect()
    }

    fn all_known(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to a server. Whoever waits for it while it fails learns of that failure and does not try again.
    pub(super) async fn link(&self, row: &McpServer, known: &Arc<Known>) -> Result<Linked, Failure> {
        let asked = Instant::now();
        let mut slot = known.link.lock().await;
        if let Some(linked) = slot.as_ref().filter(|linked| linked.is_good(row)) {
            return Ok(linked.clone());
        }
        if let Some(failure) = known.failure_since(asked) {
            return Err(failure);
        }
        if let Some(old) = slot.take() {
            old.close().await;
        }
        // One that is down is not offered again before it answers.
        if !known.seen().state.is_unavailable() {
            known.see(State::Connecting, None);
        }
        match self.opening.open(row, known).await {
            Ok(linked) => {
                known.see_ready(&linked);
                *slot = Some(linked.clone());
                Ok(linked)
            }
            Err(failure) => {
                known.see_failure(&failure);
                Err(failure)
            }
        }
    }

    /// Asks for the list and keeps it; why not is noted in the row.
    pub(super) async fn refresh_row(&self, tenant: &Tenant, row: &McpServer) -> Result<Result<(), String>> {
        let known = self.known(&row.id);
        let linked = match self.link(row, &known).await {
            Ok(linked) => linked,
            Err(failure) => return self.noted(tenant, row, failure.sentence).await,
        };
        let _use = linked.in_use();
        match linked.link.list().await {
            Ok(list) => {
                known.see_ready(&linked);
                self.keep(tenant, row, &linked, list).await
            }
            Err(refusal) => {
                let sentence = words::refusal(&row.slug, &refusal);
                let state = if let Refusal::Credentials(_) = refusal { State::AuthFailed } else { State::Down };
                known.unlink(&linked).await;
                known.see(state, Some(sentence.clone()));
                self.noted(tenant, row, sentence).await
            }
        }
    }

    async fn noted(&self, tenant: &Tenant, row: &McpServer, sentence: String) -> Result<Result<(), String>> {
        if row.last_error.as_ref() != Some(&sentence) {
            self.store.org(tenant).note_mcp_error(row.id.clone(), sentence.clone()).await?;
        }
        Ok(Err(sentence))
    }

    /// Keeps a list. An empty one does not take the place of one with tools.
    pub(super) async fn keep(
        &self,
        tenant: &Tenant,
        row: &McpServer,
        linked: &Linked,
        list: wire::List,
    ) -> Result<Result<(), String>> {
        let there = self.store.org(tenant).mcp_tools_of(row)?.iter().filter(|tool| tool.is_there).count();
        if list.tools.is_empty() && there > 0 {
            let sentence = format!("{} lists no tools now: the {there} of before are kept.", row.slug);
            return self.noted(tenant, row, sentence).await;
        }
        let (ttl, note) = (list.ttl, list.note.map(str::to_owned));
        // Hundreds of schemas are compiled.
        let read = tokio::task::spawn_blocking(move || list::tools(list.tools));
        let listed = read.await.map_err(Error::internal)?;
        let told = &linked.link.told;
        let named = |text: &str| offer::cut(text, list::REMOTE_NAME_CHARS_MAX);
        let info = told.name.as_ref().map(|(name, version)| {
            let (name, version) = (named(name), named(version));
            serde_json::json!({"name": name, "version": version}).to_string()
        });
        let told = mcp_lists::Told {
            era: named(&told.version),
            info,
            instructions: told.instructions.as_deref().map(|text| offer::cut(text, offer::INSTRUCTIONS_CHARS_MAX)),
            ttl_ms: ttl.as_millis() as i64,
            note: note.or_else(|| listed.is_empty().then(|| format!("{} lists no tools.", row.slug))),
        };
        let merge = move |server: &McpServer, kept| super::merge::merged(server, kept, listed);
        self.store.org(tenant).relist_mcp_tools(row.id.clone(), told, merge).await?;
        Ok(Ok(()))
    }

    /// The handle to what opens connections, for tests of a server.
    pub(super) fn opening(&self) -> &Opening {
        &self.opening
    }
}

/// How a call ended that was answered.
fn ended(name: &str, result: Value) -> Ended {
    match result::read(name, result) {
        Answer::Failed(sentence) => Ended::Failed(sentence),
        Answer::Done { output, files } => {
            let file = |file: result::Shown| File {
                url: format!("data:{};base64,{}", file.media_type, file.data),
                media_type: file.media_type,
            };
            Ended::Done { output, files: files.into_iter().map(file).collect() }
        }
    }
}

/// Between a notice that a list has changed and the question for it: more may come.
pub(super) const DEBOUNCE: Duration = Duration::from_secs(1);
