//! `alm health`: a probe for machines without `curl`, such as a container that holds nothing but this binary.

use std::{io::Read, time::Duration};

use serde_json::{Value, json};

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
/// The most that is read of its answer, in bytes: it may run eight models.
const ANSWER_BYTES_MAX: u64 = 64 * 1_024;

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
    Ok(ask(url, timeout)?.status().as_u16())
}

/// The names of the models that the server at `url` runs itself; none if it does not say.
pub(super) fn local_models(url: &str) -> Vec<String> {
    let answer = ask(&format!("{url}/readyz"), PROBE_TIMEOUT);
    answer.map_or_else(|_| Vec::new(), |answer| names_in(answer.into_body().into_reader()))
}

/// The models that an answer names. One that is too long is none of ours.
fn names_in(answer: impl Read) -> Vec<String> {
    let mut text = Vec::new();
    let read = answer.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut text);
    if !read.is_ok_and(|bytes| bytes as u64 <= ANSWER_BYTES_MAX) {
        return Vec::new();
    }
    let ready: Value = serde_json::from_slice(&text).unwrap_or_default();
    let models = ready["data"]["localModels"].as_array().into_iter().flatten();
    models.filter_map(|model| model["name"].as_str().map(str::to_owned)).collect()
}

fn ask(url: &str, timeout: Duration) -> std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).proxy(None);
    config.build().new_agent().get(url).call()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_up_to_its_bound() {
        for (bytes, is_read) in [(ANSWER_BYTES_MAX - 1, true), (ANSWER_BYTES_MAX, true), (ANSWER_BYTES_MAX + 1, false)]
        {
            let said = r#"{"data":{"localModels":[{"name":"tiny"}]}}"#;
            let long = format!("{}{said}", " ".repeat(bytes as usize - said.len()));
            assert_eq!(names_in(long.as_bytes()) == ["tiny"], is_read, "{bytes}");
        }
        assert!(names_in(&b"no JSON"[..]).is_empty());
    }
}
