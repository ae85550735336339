//! Providers that the environment names, for every organization.
//!
//! Rule: what is known of them is in memory, and begins anew with each process.

use std::{
    net::IpAddr,
    sync::{PoisonError, RwLock},
    time::Instant,
};

use super::{
    address::{base_url, endpoint, is_loopback, without_endpoint},
    model::Model,
};
use crate::{
    error::{Error, Result},
    model::{
        facts::Facts,
        known::Known,
        upstream::{Endpoint, Listed},
    },
    secret::{Secret, trimmed},
    time::Timestamp,
};

/// A provider that the environment names, for every organization.
pub struct EnvProvider {
    pub(super) slug: &'static str,
    /// How to reach it, or what is wrong with the variable that says so.
    endpoint: std::result::Result<Endpoint, String>,
    /// What it listed, and what is known of each; unknown until it was asked.
    models: RwLock<Option<Vec<(String, Known)>>>,
    /// When it was last asked because of an unknown model.
    pub(super) asked_again: tokio::sync::Mutex<Option<Instant>>,
}

impl EnvProvider {
    /// What it is sent that nobody may read.
    pub fn secrets(&self) -> Vec<Secret> {
        self.endpoint.iter().flat_map(Endpoint::secrets).collect()
    }

    /// The providers that the environment names; `variable` reads it. One that is named wrongly is there all the same, so that
    /// whoever asks it reads why it does not work.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Vec<EnvProvider> {
        let set = |name| variable(name).map(|value| trimmed(&value).to_owned()).filter(|value| !value.is_empty());
        let ollama = set("OLLAMA_HOST").map(|host| ("ollama", "OLLAMA_HOST", ollama_url(&host), None));
        let openai = set("OPENAI_BASE_URL").map(|url| ("openai", "OPENAI_BASE_URL", url, set("OPENAI_API_KEY")));
        let named = ollama.into_iter().chain(openai);
        named
            .map(|(slug, variable, url, key)| {
                let endpoint = base_url(&url).map(|url| endpoint(slug, &url, key.map(Secret::new), Vec::new()));
                let endpoint =
                    endpoint.and_then(|endpoint| endpoint.check().map(|()| endpoint)).map_err(|error| match error {
                        Error::Invalid(fields) => {
                            format!(
                                "{variable} {}",
                                fields.first().map_or_else(String::new, |wrong| wrong
                                    .message
                                    .replace("apiKey", "OPENAI_API_KEY"))
                            )
                        }
                        other => other.to_string(),
                    });
                if let Err(why) = &endpoint {
                    tracing::warn!(why, "a provider of the environment is not used");
                }
                EnvProvider { slug, endpoint, models: RwLock::new(None), asked_again: Default::default() }
            })
            .collect()
    }

    /// What its models' ids begin with.
    pub fn slug(&self) -> &'static str {
        self.slug
    }

    /// How to reach it.
    pub fn endpoint(&self) -> Result<&Endpoint> {
        self.endpoint.as_ref().map_err(|why| Error::ModelUnavailable(why.clone()))
    }

    /// The models it listed; absent: it was not asked yet.
    pub(super) fn names(&self) -> Option<Vec<String>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.as_ref().map(|models| models.iter().map(|(name, _)| name.clone()).collect())
    }

    /// Takes a list of models; what was learned of one that stays is kept.
    pub(super) fn listed(&self, listed: Vec<Listed>) {
        let with_known = listed.into_iter().map(|listed| {
            let known = self.known(&listed.name);
            known.change(|facts| facts.read = Some(listed.said));
            (listed.name, known)
        });
        let models = with_known.collect();
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = Some(models);
    }

    /// What is known of a model. Nothing is kept of one that it has not listed.
    pub(super) fn known(&self, name: &str) -> Known {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let found = models.iter().flatten().find(|(known, _)| known == name);
        found.map_or_else(|| Known::new(Facts::default()), |(_, known)| known.clone())
    }

    pub(super) fn model(&self, name: &str) -> Model {
        let (facts, now) = (self.known(name).facts(), Timestamp::now());
        Model {
            id: format!("{}/{name}", self.slug),
            provider: self.slug.into(),
            name: name.into(),
            local: self.endpoint.as_ref().is_ok_and(|endpoint| is_loopback(&endpoint.base_url)),
            pricing: None,
            paid_elsewhere: false,
            context_window: facts.context_window(now),
            tools: facts.tools(now),
            images: facts.images(now),
        }
    }
}

/// `OLLAMA_HOST` as Ollama reads it: quotes, scheme, host and port may be missing, and the address it listens on may be every one.
fn ollama_url(host: &str) -> String {
    let host = host.trim_matches(['"', '\'']).trim();
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
        "" => ("http", 11434),
        "http" => ("http", 80),
        "https" => ("https", 443),
        // What it is instead is said by whoever reads the URL.
        _ => return host.to_owned(),
    };
    let (place, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let bare: Option<IpAddr> = authority.trim_matches(['[', ']']).parse().ok();
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if bare.is_none() => (name, port.parse().unwrap_or(usual_port)),
        _ => (authority, usual_port),
    };
    let name = name.trim_matches(['[', ']']);
    let name = match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(every)) if every.is_unspecified() => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(every)) if every.is_unspecified() => "[::1]".to_owned(),
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ if name.is_empty() => "127.0.0.1".to_owned(),
        _ => name.to_owned(),
    };
    let path = without_endpoint(authority, path);
    let path = path.strip_suffix("/v1").unwrap_or(path);
    format!("{scheme}://{name}:{port}{path}/v1{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_providers_as_their_own_tools_read_it() {
        for (host, url) in [
            ("127.0.0.1", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
            ("https://gpu.lan:443/", "https://gpu.lan:443/v1"),
            ("gpu.lan\n", "http://gpu.lan:11434/v1"),
            (":8000", "http://127.0.0.1:8000/v1"),
            ("'gpu.lan:1'", "http://gpu.lan:1/v1"),
            ("http://gpu.lan", "http://gpu.lan:80/v1"),
            ("https://gpu.lan/ollama/v1/", "https://gpu.lan:443/ollama/v1"),
            ("[::]:8000", "http://[::1]:8000/v1"),
            ("::1", "http://[::1]:11434/v1"),
            ("[fd00::7]", "http://[fd00::7]:11434/v1"),
            ("gpu.lan:what", "http://gpu.lan:11434/v1"),
            ("http://gpu.lan:11434/v1/chat/completions?api-version=1", "http://gpu.lan:11434/v1?api-version=1"),
        ] {
            let named = EnvProvider::from_env(|name| (name == "OLLAMA_HOST").then(|| host.to_owned()));
            assert_eq!(named.iter().map(|named| &*named.endpoint().unwrap().base_url).collect::<Vec<_>>(), [url]);
        }
        assert!(EnvProvider::from_env(|name| (name == "OPENAI_API_KEY").then(|| "k".into())).is_empty());
    }

    #[test]
    fn a_provider_that_the_environment_names_wrongly_says_why() {
        for (url, key, why) in [
            ("http://h/v1#x", "k", "OPENAI_BASE_URL must have no fragment"),
            ("https://u:p@h/v1", "k", "OPENAI_API_KEY"),
            ("h/v1", "k", "OPENAI_BASE_URL must be an http"),
            ("http://small.child.invalid/v1", "k", "OPENAI_BASE_URL must not be at a .child.invalid name"),
            ("http://h/v1", "sk\u{201c}1", "API key"),
        ] {
            let set = |name: &str| match name {
                "OPENAI_BASE_URL" => Some(url.to_owned()),
                "OPENAI_API_KEY" => Some(key.to_owned()),
                _ => None,
            };
            let named = EnvProvider::from_env(set);
            let error = named[0].endpoint().err().unwrap().to_string();
            assert!(error.contains(why) && !error.contains("sk"), "{error}");
        }
    }

    #[test]
    fn what_surrounds_a_variable_is_no_part_of_it_and_an_empty_one_is_absent() {
        let named = |url: &'static str, key: &'static str| {
            EnvProvider::from_env(move |name| match name {
                "OPENAI_BASE_URL" => Some(url.to_owned()),
                "OPENAI_API_KEY" => Some(key.to_owned()),
                _ => None,
            })
        };
        let one = named(" http://h/v1/\r\n", "sk-1\r\n");
        let endpoint = one[0].endpoint().unwrap();
        assert_eq!((&*endpoint.base_url, endpoint.api_key.as_ref().unwrap().expose()), ("http://h/v1", "sk-1"));
        assert!(named("http://h/v1", " \n")[0].endpoint().unwrap().api_key.is_none());
        assert!(named(" \n", "sk-1").is_empty());
    }
}
