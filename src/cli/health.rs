//! `alm health`: a probe for machines without `curl`, such as a container that holds nothing but this binary.

use std::time::Duration;

use serde_json::json;

use super::{
    address::{self, Address},
    globals::Globals,
};
use crate::{
    error::{Error, Result},
    server::url_of,
    store::file::lock,
};

/// How long the server may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Health {
    /// Where the server is; by default where the one that uses the data folder says that it listens, else at --listen
    #[arg(long)]
    url: Option<String>,
    /// Where a server listens that has not said so
    #[arg(long, default_value = "127.0.0.1:2560", value_name = "ADDRESS", value_parser = address::parse)]
    listen: Address,
}

impl Health {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        // A folder that cannot be named says nothing.
        let announced = || lock::announced(&globals.folder().ok()?).map(|said| said.url);
        let server = self.url.or_else(announced).unwrap_or_else(|| url_of(self.listen.socket));
        let scheme = if server.contains("://") { "" } else { "http://" };
        let url = format!("{scheme}{}/readyz", server.trim_end_matches('/'));
        match probe(&url, PROBE_TIMEOUT) {
            Ok(200) => {
                globals.report(|| json!({ "ready": true }), || format!("{server} is ready"));
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
