//! Providers that the environment names, for every organization.
//!
//! Rule: what is known of them is in memory, and begins anew with each process.

use std::sync::{PoisonError, RwLock};

use super::{
    address::{endpoint, host_of, is_loopback},
    model::Model,
};
use crate::{
    model::{
        facts::{Facts, Known},
        upstream::Endpoint,
    },
    secret::Secret,
    time::Timestamp,
};

/// A provider that the environment names, for every organization.
pub struct EnvProvider {
    pub(super) slug: &'static str,
    pub(super) endpoint: Endpoint,
    /// What it listed, and what is known of each; unknown until it was asked.
    models: RwLock<Option<Vec<(String, Known)>>>,
}

impl EnvProvider {
    /// The providers that the environment names; `variable` reads it.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Vec<EnvProvider> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let ollama = set("OLLAMA_HOST").map(|host| ("ollama", ollama_url(host.trim()), None));
        let openai = set("OPENAI_BASE_URL").map(|url| ("openai", url, set("OPENAI_API_KEY")));
        let named = ollama.into_iter().chain(openai);
        named
            .map(|(slug, url, key)| EnvProvider {
                slug,
                endpoint: endpoint(slug, &url, key.map(Secret::new), Vec::new()),
                models: RwLock::new(None),
            })
            .collect()
    }

    /// How to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The models it listed; absent: it was not asked yet.
    pub(super) fn names(&self) -> Option<Vec<String>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.as_ref().map(|models| models.iter().map(|(name, _)| name.clone()).collect())
    }

    /// Takes a list of models; what is known of one that stays is kept.
    pub(super) fn listed(&self, names: Vec<String>) {
        let with_known = names.into_iter().map(|name| (self.known(&name), name)).map(|(known, name)| (name, known));
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
            local: is_loopback(&self.endpoint.base_url),
            pricing: None,
            context_window: facts.context_window(now),
            tools: facts.tools(now),
        }
    }
}

/// `OLLAMA_HOST` as Ollama reads it: scheme and port may be missing, and the address it listens on may be every one.
fn ollama_url(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let rest = rest.trim_end_matches('/');
    let name = host_of(host);
    let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let rest = if has_port { rest.to_owned() } else { format!("{rest}:11434") };
    format!("{scheme}://{}/v1", rest.replacen("0.0.0.0", "127.0.0.1", usize::from(name == "0.0.0.0")))
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
        ] {
            let named = EnvProvider::from_env(|name| (name == "OLLAMA_HOST").then(|| host.to_owned()));
            assert_eq!(named.iter().map(|named| &*named.endpoint.base_url).collect::<Vec<_>>(), [url]);
        }
        assert!(EnvProvider::from_env(|name| (name == "OPENAI_API_KEY").then(|| "k".into())).is_empty());
    }
}
