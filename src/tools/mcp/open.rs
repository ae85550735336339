//! How a server is reached: the client with its headers, or the command with its variables.
//!
//! Rule: secrets are opened here and go into the connection and nowhere else.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    http::{self, Http},
    known::{Failure, Known, Linked, State},
    lines::Lines,
    refusal::{Refusal, of_failed},
    stdio::{Commands, NotStarted, Process, Program, Running},
    wire::Link,
    words,
};
use crate::{
    outbound::{
        Client, Row, ToolClients,
        http::{HeaderName, HeaderValue, Uri},
    },
    seal::{Sealer, from_environment},
    secret::Secret,
    store::{mcp::McpServer, tools::AddedBy},
    tools::secrets::Secrets,
};

/// How long a command that has closed its output may take to be gone.
const END_WAIT: Duration = Duration::from_secs(1);

/// One that starts in less than this has heard which era it is asked for. Another, as one that is fetched first, is started again.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// What opens connections.
pub struct Opening {
    clients: Arc<ToolClients>,
    sealer: Sealer,
    commands: Option<Arc<Commands>>,
}

impl Opening {
    /// Over HTTP, and to these commands.
    pub fn new(clients: Arc<ToolClients>, sealer: Sealer, commands: Option<Arc<Commands>>) -> Self {
        Opening { clients, sealer, commands }
    }

    /// Opens a connection.
    pub(super) async fn open(&self, row: &McpServer, known: &Known) -> Result<Linked, Failure> {
        let patience = Duration::from_millis(row.handshake_ms.into());
        let (link, running) = match &row.url {
            Some(url) => (self.by_url(row, url, known, patience).await?, None),
            None => {
                let began = Instant::now();
                let started = match self.by_command(row, known, patience).await {
                    Err(_) if (PROBE_PATIENCE..patience).contains(&began.elapsed()) => {
                        self.by_command(row, known, patience).await
                    }
                    started => started,
                };
                let (link, running) = started?;
                (link, Some(running))
            }
        };
        Ok(Linked { link: Arc::new(link), running, of: row.updated_at })
    }

    async fn by_command(&self, row: &McpServer, known: &Known, patience: Duration) -> Result<(Link, Running), Failure> {
        let failed = |why: String| Failure::down(format!("{}: {why}", row.slug));
        let silent = || Failure::of(&row.slug, &Refusal::Silent(patience));
        let commands = self.commands.as_ref().ok_or_else(|| failed("commands are not started here".into()))?;
        let program = self.program(row).map_err(failed)?;
        let started = tokio::time::timeout(patience, commands.start(program)).await.map_err(|_| silent())?;
        let Process { stdin, stdout, running } = started.map_err(|why| match why {
            NotStarted::Refused(why) => failed(why),
            NotStarted::Failed(why) => Failure { state: State::Failed, ..failed(why) },
        })?;
        let lines = Lines::new(stdout, stdin);
        match Link::begin(lines, None, Some(running.cuts()), known.changed.clone(), patience).await {
            Ok(link) => Ok((link, running)),
            Err(refusal) => {
                // One that has ended says more than that it did not answer.
                let ended = tokio::time::timeout(END_WAIT, running.ended()).await;
                running.stop().await;
                Err(ended.map_or_else(|_| Failure::of(&row.slug, &refusal), failed))
            }
        }
    }

    /// The command of a row.
    fn program(&self, row: &McpServer) -> Result<Program, String> {
        Ok(Program {
            server_id: row.id.clone(),
            command: row.command.clone().ok_or("it has no command")?,
            args: serde_json::from_str(&row.args).map_err(|_| "its arguments cannot be read")?,
            env: self.secrets(row)?,
            folder: row.cwd.as_ref().map(PathBuf::from),
            idle_max: row.idle_stop_minutes.map(|minutes| Duration::from_secs(60 * u64::from(minutes))),
        })
    }

    async fn by_url(&self, row: &McpServer, url: &str, known: &Known, patience: Duration) -> Result<Link, Failure> {
        let failed = |why: String| Failure::down(format!("{}: {why}.", row.slug));
        let headers = self.headers(row).map_err(failed)?;
        let http = Http::new(self.client(row, url).map_err(failed)?, headers);
        match Link::by_url(url, http.clone(), known.changed.clone(), patience).await {
            Ok(link) => Ok(link),
            Err(Refusal::Said(_) | Refusal::Cut | Refusal::Silent(_)) if http.speaks_sse(url).await => {
                Err(Failure::of(&row.slug, &Refusal::OldTransport))
            }
            Err(refusal) => Err(Failure::of(&row.slug, &refusal)),
        }
    }

    /// The client that may go where this row may.
    fn client(&self, row: &McpServer, url: &str) -> Result<Client, String> {
        let url: Uri = url.parse().map_err(|_| "its URL is none")?;
        Ok(match row.added_by {
            AddedBy::Operator => self.clients.of(Row::Operator { id: &row.id, url: &url }),
            AddedBy::Api => self.clients.of(Row::Owner),
        })
    }

    /// Whether anything answers at a server's address; nothing for a command.
    pub(super) async fn reach(&self, row: &McpServer) -> Option<Result<(), String>> {
        let url = row.url.as_ref()?;
        let reached = match self.client(row, url) {
            Ok(client) => http::reach(&client, url).await,
            Err(why) => return Some(Err(format!("{}: {why}.", row.slug))),
        };
        Some(reached.map_err(|failed| words::refusal(&row.slug, &of_failed(&failed))))
    }

    /// The row's headers, secret ones too.
    fn headers(&self, row: &McpServer) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let plain: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&row.headers).unwrap_or_default();
        let plain = plain.iter().filter_map(|(name, value)| Some((name.clone(), Secret::new(value.as_str()?))));
        let all = plain.chain(self.secrets(row)?).map(|(name, value)| {
            let header = HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value.expose()).ok());
            let (name, mut value) =
                header.ok_or_else(|| format!("the header {name} has a value that no header can have"))?;
            value.set_sensitive(true);
            Ok((name, value))
        });
        all.collect()
    }

    fn secrets(&self, row: &McpServer) -> Result<Vec<(String, Secret)>, String> {
        let kept = Secrets::from_json(&row.secrets).ok_or("its secrets cannot be read")?;
        kept.open(&self.sealer, &format!("mcp/{}", row.id), from_environment).map_err(|shut| shut.to_string())
    }

    /// How often commands that had ended by themselves were started again.
    pub(super) fn restarts(&self) -> u64 {
        self.commands.as_ref().map_or(0, |commands| commands.restarts())
    }

    /// The process of a command that runs.
    pub(super) fn pid(&self, server_id: &str) -> Option<u32> {
        self.commands.as_ref()?.pid(server_id)
    }

    /// What a command said that was no message.
    pub(super) fn log(&self, server_id: &str) -> String {
        self.commands.as_ref().map(|commands| commands.log(server_id)).unwrap_or_default()
    }

    /// A person starts a command again that ended too often.
    pub(super) fn forget_ends(&self, server_id: &str) {
        if let Some(commands) = &self.commands {
            commands.forget_ends(server_id);
        }
    }

    /// Ends a command.
    pub(super) async fn stop(&self, server_id: &str) {
        if let Some(commands) = &self.commands {
            commands.stop(server_id).await;
        }
    }

    /// Ends a command whose row is gone.
    pub(super) async fn remove(&self, server_id: &str) {
        if let Some(commands) = &self.commands {
            commands.remove(server_id).await;
        }
    }
}
