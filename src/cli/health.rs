//! `alm health`: a probe for machines without `curl`, such as a container that holds nothing but this binary.

use std::time::Duration;

use serde_json::json;

use super::globals::Globals;
use crate::error::{Error, Result};

/// How long the server may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Health {
    /// Where the server is
    #[arg(long, default_value = "http://127.0.0.1:2560")]
    url: String,
}

impl Health {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let scheme = if self.url.contains("://") { "" } else { "http://" };
        let url = format!("{scheme}{}/readyz", self.url.trim_end_matches('/'));
        match probe(&url, PROBE_TIMEOUT) {
            Ok(200) => {
                globals.report(|| json!({ "ready": true }), || format!("{} is ready", self.url));
                Ok(())
            }
            Ok(status) => Err(Error::failed(format!("{url} returned {status}: see the server's log"))),
            Err(cause) => Err(Error::failed(format!("{url} does not respond: {cause}"))),
        }
    }
}

/// The status that `url` answers with.
fn probe(url: &str, timeout: Duration) -> std::result::Result<u16, ureq::Error> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).proxy(None);
    Ok(config.build().new_agent().get(url).call()?.status().as_u16())
}
