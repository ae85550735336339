//! How a server is reached: the client with its headers, or the command with its variables.
//!
//! Rule: secrets are opened here and go into the connection and nowhere else.

use std::{sync::Arc, time::Duration};

use super::{
    http::{self, Http},
    known::{Failure, Known, Linked},
    refusal::of_failed,
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

/// What opens connections.
pub struct Opening {
    clients: Arc<ToolClients>,
    sealer: Sealer,
}

impl Opening {
    /// Over HTTP alone.
    pub fn new(clients: Arc<ToolClients>, sealer: Sealer) -> Self {
        Opening { clients, sealer }
    }

    /// Opens a connection.
    pub(super) async fn open(&self, row: &McpServer, known: &Known) -> Result<Linked, Failure> {
        let patience = Duration::from_millis(row.handshake_ms.into());
        let opened = match &row.url {
            Some(url) => self.by_url(row, url, known, patience).await,
            None => Err(Failure::down(format!("{} is a command, and this server starts none.", row.slug))),
        };
        opened.map(|link| Linked { link: Arc::new(link), of: row.updated_at })
    }

    async fn by_url(&self, row: &McpServer, url: &str, known: &Known, patience: Duration) -> Result<Link, Failure> {
        let failed = |why: String| Failure::down(format!("{}: {why}.", row.slug));
        let headers = self.headers(row).map_err(failed)?;
        let http = Http::new(self.client(row, url).map_err(failed)?, headers);
        let linked = Link::by_url(url, http, known.changed.clone(), patience).await;
        linked.map_err(|refusal| Failure::of(&row.slug, &refusal))
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

    /// The process of a command that runs.
    pub(super) fn pid(&self, _server_id: &str) -> Option<u32> {
        None
    }

    /// What a command said that was no message.
    pub(super) fn log(&self, _server_id: &str) -> String {
        String::new()
    }

    /// A person starts a command again that ended too often.
    pub(super) fn forget_ends(&self, _server_id: &str) {}

    /// Ends a command.
    pub(super) async fn stop(&self, _server_id: &str) {}
}
