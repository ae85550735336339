//! Base URLs: what one may be, where it leads, and whether that is this machine.
//!
//! Rule: whatever names a provider (the API, the command line, the environment, an import) has its base URL read by
//! [`base_url`]. Rule: a base URL holds no secret, since whoever may read providers reads it.

use std::net::IpAddr;

use crate::{
    error::{Error, Result},
    model::{
        openai::{CapField, Dialect},
        upstream::Endpoint,
    },
    outbound::{NO_CHILD_HOST, Whose, is_child_host},
    secret::{Secret, trimmed},
};

/// Longest base URL, in bytes.
pub(super) const BASE_URL_BYTES_MAX: usize = 2_000;
/// What people paste behind a base URL: the paths of the API itself.
const ENDPOINTS: [&str; 6] = ["/chat/completions", "/completions", "/responses", "/embeddings", "/models", "/chat"];
/// Where `/models` is no endpoint but the base: Azure AI Foundry answers at `/models/chat/completions`.
const MODELS_ARE_BASE: &str = ".services.ai.azure.com";
/// Words of a query's name that say that its value is a secret.
const SECRET_WORDS: [&str; 12] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "sig",
    "signature",
    "auth",
    "authorization",
    "credential",
    "jwt",
];

/// A base URL as it is kept: without what surrounds it, the endpoint that was pasted with it and the slashes at its end. What it
/// must not be is said of `baseUrl`.
pub fn base_url(text: &str) -> Result<String> {
    let wrong = |message: &str| Error::invalid("baseUrl", message);
    let text = trimmed(text);
    if text.len() > BASE_URL_BYTES_MAX {
        return Err(wrong("must be at most 2000 bytes"));
    }
    if text.contains('#') {
        return Err(wrong("must have no fragment: leave out # and what follows it"));
    }
    let shape = "must be an http:// or https:// URL, such as http://127.0.0.1:11434/v1";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong(shape))?;
    let (scheme, rest) = (scheme.to_ascii_lowercase(), rest);
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    if authority.contains('@') {
        return Err(wrong("must name no user and no password: put the key into apiKey"));
    }
    let secret = query.into_iter().flat_map(|query| query.split(['&', ';'])).find_map(secret_name);
    if let Some(name) = secret {
        return Err(wrong(&format!("must hold no secret, and its query has {name}: put the key into apiKey")));
    }
    if is_child_host(host_of(text)) {
        return Err(wrong(NO_CHILD_HOST));
    }
    let authority = authority.to_ascii_lowercase();
    let query = query.filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
    let whole = format!("{scheme}://{authority}{}{query}", without_endpoint(&authority, path));
    endpoint("", &whole, None, Vec::new()).check().map_err(|_| wrong(shape))?;
    Ok(whole)
}

/// A path without the endpoints that were pasted at its end.
pub(super) fn without_endpoint<'a>(authority: &str, path: &'a str) -> &'a str {
    let mut path = path.trim_end_matches('/');
    loop {
        let pasted =
            ENDPOINTS.iter().filter(|end| **end != "/models" || !host_of(authority).ends_with(MODELS_ARE_BASE));
        let ends = |end: &&&str| {
            let at = path.len().checked_sub(end.len());
            at.and_then(|at| path.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        };
        let Some(end) = pasted.clone().find(ends) else { return path };
        path = path[..path.len() - end.len()].trim_end_matches('/');
    }
}

/// The name of a query's pair if it says that its value is a secret.
fn secret_name(pair: &str) -> Option<String> {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let name = percent_decoded(name);
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && was_lower) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
        was_lower = c.is_ascii_lowercase();
    }
    let says = |word: &String| {
        let word = word.strip_suffix('s').unwrap_or(word);
        // `apikey`, `accesstoken`, `oauth`; but no `design` and no `author`.
        SECRET_WORDS.iter().any(|secret| word == *secret || (*secret != "sig" && word.ends_with(secret)))
    };
    words.iter().any(says).then_some(name)
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (byte, behind) = match hex.filter(|_| *byte == b'%') {
            Some(escaped) => (escaped, &tail[2..]),
            None => (*byte, tail),
        };
        decoded.push(byte);
        rest = behind;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A base URL as others may read it: of one that was kept before secrets were refused, without what may be one.
pub fn shown(base_url: &str) -> String {
    if self::base_url(base_url).is_ok() || origin_of(base_url).is_empty() {
        return base_url.to_owned();
    }
    let origin = origin_of(base_url);
    let place = base_url.split(['?', '#']).next().unwrap_or_default();
    let path = place.get(origin.len()..).unwrap_or_default();
    let (scheme, authority) = origin.split_once("://").unwrap_or(("", origin));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// How to reach a provider.
pub(super) fn endpoint(
    name: &str,
    base_url: &str,
    api_key: Option<Secret>,
    headers: Vec<(String, String)>,
) -> Endpoint {
    let dialect = match host_of(base_url) {
        "api.openai.com" => Dialect { cap: CapField::MaxCompletionTokens, system_anywhere: true, ..Dialect::default() },
        _ => Dialect::default(),
    };
    Endpoint {
        name: name.to_owned(),
        base_url: base_url.to_owned(),
        api_key,
        headers,
        dialect,
        whose: Whose::Operators,
        heard: Default::default(),
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

    fn refused(text: &str) -> String {
        match base_url(text) {
            Err(Error::Invalid(fields)) => {
                fields.into_iter().map(|wrong| format!("{}: {}", wrong.field, wrong.message)).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_endpoint_that_was_pasted_is_cut_off_and_a_query_stays() {
        for (text, kept) in [
            (" http://h/v1/\n", "http://h/v1"),
            ("http://h/v1///", "http://h/v1"),
            ("HTTP://LocalHost:1234/V1", "http://localhost:1234/V1"),
            ("http://h", "http://h"),
            ("http://h/v1/chat/completions", "http://h/v1"),
            ("http://h/v1/chat/completions//", "http://h/v1"),
            ("http://h/v1/Chat/Completions/chat/completions/", "http://h/v1"),
            ("http://h/v1/models", "http://h/v1"),
            ("http://h/models/", "http://h"),
            ("http://h/v1/responses", "http://h/v1"),
            ("http://h/v1/completions", "http://h/v1"),
            ("http://h/v1/embeddings", "http://h/v1"),
            ("http://h/v1/chat", "http://h/v1"),
            ("http://h/chatty/v1", "http://h/chatty/v1"),
            (
                "https://h/openai/deployments/d?api-version=2024-10-21",
                "https://h/openai/deployments/d?api-version=2024-10-21",
            ),
            ("https://h/d/chat/completions/?api-version=1&x=%20", "https://h/d?api-version=1&x=%20"),
            ("https://h/v1?", "https://h/v1"),
            (
                "https://r.services.ai.azure.com/models?api-version=1",
                "https://r.services.ai.azure.com/models?api-version=1",
            ),
            ("https://[::1]:8443/v1", "https://[::1]:8443/v1"),
        ] {
            assert_eq!(base_url(text).unwrap(), kept, "{text}");
            assert_eq!(base_url(kept).unwrap(), kept, "what is kept is read as it is");
        }
    }

    #[test]
    fn a_base_url_with_a_secret_points_to_the_key() {
        for text in [
            "http://user:pass@h/v1",
            "http://sk-1@h/v1",
            "http://@h/v1",
            "https://h/v1?key=1",
            "https://h/v1?a=1&api-key=2",
            "https://h/v1?api_key",
            "https://h/v1?apiKey=1",
            "https://h/v1?APIKEY=1",
            "https://h/v1?a=1;access_token=2",
            "https://h/v1?%6bey=1",
            "https://h/v1?api%2Dkey=1",
            "https://h/v1?subscription-key=1",
            "https://h/v1?client_secret=1",
            "https://h/v1?password=1",
            "https://h/v1?sig=1",
            "https://h/v1?X-Amz-Signature=1",
            "https://h/v1?auth=1",
            "https://h/v1?oauth=1",
            "https://h/v1?accessToken=1",
            "https://h/v1?Authorization=1",
            "https://h/v1?keys=1",
        ] {
            let said = refused(text);
            assert!(said.starts_with("baseUrl: ") && said.contains("apiKey"), "{text}: {said}");
            assert!(!shown(text).contains(['?', '@']), "{}", shown(text));
        }
        for text in [
            "https://h/v1?api-version=1",
            "https://h/v1?design=x",
            "https://h/v1?author=x",
            "https://h/v1?model=key",
            "https://h/v1?v",
        ] {
            assert_eq!((&base_url(text).unwrap(), &shown(text)), (&text.to_owned(), &text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_in_words() {
        for text in ["http://h/v1#x", "http://h/v1#", "http://h/#/v1", "http://h/v1?a=1#key=2"] {
            assert!(refused(text).contains("fragment"), "{text}");
        }
        for text in [
            "",
            "h/v1",
            "127.0.0.1:11434/v1",
            "ftp://h",
            "http://",
            "http:///v1",
            "file:///etc/passwd",
            "http://h:99999/v1",
            "http://h:/v1",
            "http://h:x/v1",
            "http://h h/v1",
            "http://h/v 1",
            "http://[::1/v1",
            "http://?x=1",
            "javascript://h",
        ] {
            assert!(refused(text).contains("http://127.0.0.1:11434/v1"), "{text}");
        }
        for text in ["http://small.child.invalid/v1", "HTTPS://Small.CHILD.Invalid.:80", " http://a.child.invalid?x=1"]
        {
            assert!(refused(text).contains(".child.invalid"), "{text}");
        }
        let long = |bytes: usize| base_url(&format!("http://h/{}", "v".repeat(bytes - 9))).is_ok();
        assert_eq!([BASE_URL_BYTES_MAX - 1, BASE_URL_BYTES_MAX, BASE_URL_BYTES_MAX + 1].map(long), [true, true, false]);
    }
}
