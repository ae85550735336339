//! Tools that are requests to an HTTP API: an input becomes a request, its answer an output.
//!
//! Rule: where a request goes is its owner's to say; an input only fills places of the path, and values. Rule: a call is sent once. Its
//! id goes along as the idempotency key, the same if it is ever made again. Rule: secrets are opened where they are sent.

mod answer; // what an answer means
mod request; // what is sent

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

pub use self::{answer::TOOL_ERROR_CHARS_MAX, request::Sent};
use super::{call::Ended, secrets::Secrets};
use crate::{
    outbound::{Bounds, Cause, Failure, Row, ToolClients, http::Uri},
    seal::{Sealer, from_environment},
    secret::Secret,
    store::tools::{AddedBy, HttpTool},
};

#[cfg(test)]
mod tests;

/// What sends the calls of HTTP tools.
pub struct Sender {
    clients: Arc<ToolClients>,
    sealer: Sealer,
}

/// What a call did, for whoever tries a tool.
#[derive(Debug)]
pub struct Tried {
    /// How it ended.
    pub ended: Ended,
    /// Why its address is not allowed, in the words of who can allow it.
    pub forbidden: Option<String>,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// What was sent, or would have been; none if the input does not fit.
    pub sent: Option<Sent>,
}

impl Sender {
    /// Over these connections, with secrets that this sealer opens.
    pub fn new(clients: Arc<ToolClients>, sealer: Sealer) -> Self {
        Sender { clients, sealer }
    }

    /// Makes a call. Dropping it closes its connection.
    pub async fn call(&self, tool: &HttpTool, input: &Value, call_id: &str) -> Ended {
        self.try_once(tool, input, call_id).await.ended
    }

    /// The same, told in full.
    pub async fn try_once(&self, tool: &HttpTool, input: &Value, call_id: &str) -> Tried {
        let began = Instant::now();
        let failed = |sentence: String| Tried {
            ended: Ended::Failed(format!("{}: {sentence}.", tool.name)),
            forbidden: None,
            status: None,
            duration: began.elapsed(),
            sent: None,
        };
        let secrets = match self.secrets_of(tool) {
            Ok(secrets) => secrets,
            Err(sentence) => return failed(sentence),
        };
        let (request, sent) = match request::of(tool, input, call_id, &secrets) {
            Ok(made) => made,
            Err(fault) => return failed(fault),
        };
        let (uri, bytes_max) = (request.uri().clone(), tool.response_bytes_max as usize);
        let host = uri.host().unwrap_or_default();
        let bounds = Bounds {
            time_max: Duration::from_millis(tool.timeout_ms.into()),
            bytes_max,
            may_repeat: tool.is_idempotent,
        };
        let fetched = self.clients.of(row(tool, &uri)).fetch(request, bounds).await;
        let secrets: Vec<_> = secrets.into_iter().map(|(_, secret)| secret).collect();
        let (ended, status, forbidden) = match &fetched {
            Ok(fetched) => {
                (answer::of_response(fetched, host, bytes_max, &secrets), Some(fetched.status.as_u16()), None)
            }
            Err(failure) => {
                let forbidden = match failure {
                    Failure::NotSent(Cause::Forbidden(forbidden)) => Some(forbidden.advice("alm tools add")),
                    _ => None,
                };
                (answer::of_failure(failure, host, tool.timeout_ms), None, forbidden)
            }
        };
        Tried { ended, forbidden, status, duration: began.elapsed(), sent: Some(sent) }
    }

    fn secrets_of(&self, tool: &HttpTool) -> Result<Vec<(String, Secret)>, String> {
        let secrets = Secrets::from_json(&tool.secrets).ok_or("its secrets cannot be read: give them again")?;
        secrets.open(&self.sealer, &format!("tool/{}", tool.id), from_environment).map_err(|shut| shut.to_string())
    }
}

fn row<'a>(tool: &'a HttpTool, url: &'a Uri) -> Row<'a> {
    match tool.added_by {
        AddedBy::Api => Row::Owner,
        AddedBy::Operator => Row::Operator { id: &tool.id, url },
    }
}
