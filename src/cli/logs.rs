//! `alm logs`: what was asked of models, a line for each request.
//!
//! Rule: it reads the file, beside a running server or without one.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use super::globals::{Globals, block_on};
use crate::{
    error::Result,
    store::requests::{Request, RequestFilter, RequestStatus},
};

/// Requests that are listed, and that are looked through for new ones.
const PAGE: usize = 200;
/// Between two looks for new ones.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// Go on with each request that ends, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Only those that broke off or got no reply
    #[arg(long)]
    failed: bool,
    /// Only those of the keys of this name
    #[arg(long, value_name = "NAME")]
    key_name: Option<String>,
}

impl Logs {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let failed = self.failed.then_some(true);
        let filter = RequestFilter { failed, key_name: self.key_name, ..RequestFilter::default() };
        let mut told = BTreeSet::new();
        loop {
            let mut requests = store.org(&tenant).requests(&filter, PAGE, None)?.items;
            requests.reverse();
            for request in &requests {
                // One that runs is told of when it has ended, if that is waited for.
                let waits = self.follow && request.status == RequestStatus::Running;
                if !waits && told.insert(request.n) {
                    globals.print(|| to_json(request), || line(request))?;
                }
            }
            if !self.follow {
                return Ok(());
            }
            let first = requests.first().map_or(0, |request| request.n);
            told.retain(|n| *n >= first);
            block_on(async {
                tokio::time::sleep(LOOK_INTERVAL).await;
                Ok(())
            })?;
        }
    }
}

fn line(request: &Request) -> String {
    let who = request.key_name.as_deref().unwrap_or("browser");
    let took = request.duration_ms.map_or_else(String::new, |ms| format!("{ms} ms"));
    let tokens = request.input_tokens + request.output_tokens;
    let said = request.code.as_deref().unwrap_or_default();
    let model = request.model.as_deref().unwrap_or("-");
    let words = format!(
        "{}  {:<11}  {:<20}  {who}  {model}  {took:>9}  {tokens:>7} tokens  {}  {said}",
        request.at,
        request.status.as_str(),
        request.route,
        request.request_id,
    );
    let mut lines = words.trim_end().to_owned();
    if request.unlisted > 0 {
        lines += &format!("\n  and {} refused before it", request.unlisted);
    }
    if let Some(said) = &request.said {
        lines += &format!("\n  the provider said: {}", said.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    lines
}

fn to_json(request: &Request) -> Value {
    json!({
        "id": request.id, "requestId": request.request_id, "at": request.at.to_string(), "route": request.route,
        "status": request.status.as_str(), "code": request.code, "email": request.user_email, "keyId": request.key_id,
        "keyName": request.key_name, "agentName": request.agent_name, "model": request.model, "sessionId": request.session_id,
        "firstMs": request.first_ms, "durationMs": request.duration_ms, "inputTokens": request.input_tokens,
        "outputTokens": request.output_tokens, "costMicrocents": request.cost, "unlisted": request.unlisted,
        "upstreamSaid": request.said,
    })
}
