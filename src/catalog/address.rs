//! Base URLs: where a provider answers, and whether that is this machine.

use std::net::IpAddr;

use crate::{
    model::{
        openai::{CompletionTokensField, WireOptions},
        upstream::Endpoint,
    },
    secret::Secret,
};

/// How to reach a provider.
pub(super) fn endpoint(
    name: &str,
    base_url: &str,
    api_key: Option<Secret>,
    headers: Vec<(String, String)>,
) -> Endpoint {
    let completion_tokens_field = match host_of(base_url) {
        "api.openai.com" => CompletionTokensField::MaxCompletionTokens,
        _ => CompletionTokensField::MaxTokens,
    };
    Endpoint {
        name: name.to_owned(),
        base_url: base_url.to_owned(),
        api_key,
        headers,
        wire: WireOptions { include_usage: true, completion_tokens_field },
    }
}

/// Whether a base URL is of this machine.
pub fn is_loopback(base_url: &str) -> bool {
    let host = host_of(base_url);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Scheme, host and port of a URL: what a key belongs to.
pub(super) fn origin_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
    &url[..end]
}

/// The host of a URL, without user, port and brackets.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_urls_are_of_this_machine_and_no_look_alikes() {
        for url in ["http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]:8080", "http://u:p@127.3.2.1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://api.openai.com/v1", "http://localhost.evil.com", "http://127.0.0.1@evil.com", ""] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
