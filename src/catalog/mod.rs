//! Which models an organization has, and where each of them answers.
//!
//! A model's id is `provider/model`. Providers are the built-in `demo`, those an organization keeps, and those the
//! environment names, in this order of precedence. Rule: keys leave this file only inside an [`Endpoint`].

use std::{
    net::IpAddr,
    sync::{Arc, RwLock},
};

use crate::{
    error::{Error, Result},
    model::{
        openai::{CompletionTokensField, WireOptions},
        source::Source,
        upstream::{Endpoint, Upstreams},
    },
    money::Pricing,
    seal::{self, Sealer},
    secret::Secret,
    store::{
        Store, Tenant,
        providers::{Provider, ProviderModel},
    },
};

mod connect; // what a provider has to be
mod probe; // whether it works

pub use connect::{NewProvider, ProviderChange};
pub use probe::{LocalServer, TestReport};

pub use crate::seal::NewCredential;

/// The model that needs nothing, and the default of a chat.
pub const DEMO_MODEL: &str = "demo/ala";
/// The provider of that model, whose slug no other may take.
pub const DEMO_PROVIDER: &str = "demo";

/// A well-known provider.
#[derive(Debug)]
pub struct Preset {
    pub slug: &'static str,
    /// What people call it.
    pub name: &'static str,
    pub base_url: &'static str,
}

/// The providers whose base URL is known.
pub const PRESETS: [Preset; 8] = [
    Preset { slug: "ollama", name: "Ollama", base_url: "http://127.0.0.1:11434/v1" },
    Preset { slug: "llamacpp", name: "llama.cpp", base_url: "http://127.0.0.1:8080/v1" },
    Preset { slug: "lmstudio", name: "LM Studio", base_url: "http://127.0.0.1:1234/v1" },
    Preset { slug: "vllm", name: "vLLM", base_url: "http://127.0.0.1:8000/v1" },
    Preset { slug: "openai", name: "OpenAI", base_url: "https://api.openai.com/v1" },
    Preset { slug: "openrouter", name: "OpenRouter", base_url: "https://openrouter.ai/api/v1" },
    Preset { slug: "groq", name: "Groq", base_url: "https://api.groq.com/openai/v1" },
    Preset { slug: "mistral", name: "Mistral", base_url: "https://api.mistral.ai/v1" },
];

/// A model as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// `provider/model`.
    pub id: String,
    /// The provider's slug.
    pub provider: String,
    /// As the provider knows it.
    pub name: String,
    /// Whether it answers on this machine.
    pub local: bool,
    /// Absent: free.
    pub pricing: Option<Pricing>,
    /// Tokens; absent: unknown.
    pub context_window: Option<u32>,
}

impl Model {
    /// Whether its tokens cost nothing.
    pub fn is_free(&self) -> bool {
        self.pricing.is_none_or(|pricing| pricing.is_free())
    }
}

/// A model that a turn can ask.
#[derive(Clone)]
pub struct ResolvedModel {
    /// What is known of it.
    pub model: Model,
    /// Where it answers.
    pub source: Source,
}

/// A provider that the environment names, for every organization.
pub struct EnvProvider {
    slug: &'static str,
    endpoint: Endpoint,
    /// What it listed; unknown until it was asked.
    models: RwLock<Option<Vec<String>>>,
}

/// Every organization's models.
pub struct Catalog {
    store: Store,
    sealer: Sealer,
    env_providers: Vec<EnvProvider>,
    upstreams: Arc<Upstreams>,
}

impl Catalog {
    /// Over the stored providers and those of the environment.
    pub fn new(store: Store, sealer: Sealer, env_providers: Vec<EnvProvider>, upstreams: Upstreams) -> Self {
        Catalog { store, sealer, env_providers, upstreams: Arc::new(upstreams) }
    }

    /// The models of an organization: the built-in one, then by provider.
    pub fn models(&self, tenant: &Tenant) -> Result<Vec<Model>> {
        let stored = self.store.org(tenant).providers()?;
        let mut models = vec![demo_model()];
        for provider in &stored {
            models.extend(provider.models.iter().map(|model| stored_model(provider, model)));
        }
        for named in self.env_providers.iter().filter(|named| stored.iter().all(|p| p.slug != named.slug)) {
            models.extend(named.names().unwrap_or_default().iter().map(|name| named.model(name)));
        }
        Ok(models)
    }

    /// The model of that id, ready to be asked.
    pub fn resolve(&self, tenant: &Tenant, id: &str) -> Result<ResolvedModel> {
        if id == DEMO_MODEL {
            return Ok(ResolvedModel { model: demo_model(), source: Source::Demo });
        }
        let unknown = || Error::invalid("model", format!("there is no model {id}: GET /models lists them"));
        let (slug, name) = id.split_once('/').ok_or_else(unknown)?;
        if let Some(provider) = self.store.org(tenant).provider_if_any(slug)?.filter(|p| p.slug == slug) {
            let known = provider.models.iter().find(|model| model.name == name).ok_or_else(unknown)?;
            let source = self.source(self.endpoint(&provider)?);
            return Ok(ResolvedModel { model: stored_model(&provider, known), source });
        }
        let named = self.env_providers.iter().find(|named| named.slug == slug).ok_or_else(unknown)?;
        // Until it has listed its models, the provider itself is the judge.
        if name.is_empty() || named.names().is_some_and(|names| names.iter().all(|known| known != name)) {
            return Err(unknown());
        }
        Ok(ResolvedModel { model: named.model(name), source: self.source(named.endpoint.clone()) })
    }

    /// How to reach a stored provider.
    pub fn endpoint(&self, provider: &Provider) -> Result<Endpoint> {
        endpoint_of(provider, |sealed, context| self.sealer.unseal(sealed, context))
    }

    fn source(&self, endpoint: Endpoint) -> Source {
        Source::Upstream { upstreams: self.upstreams.clone(), endpoint: Box::new(endpoint) }
    }

    /// Asks the environment's providers for their models; whether all of them responded. One that does not respond keeps
    /// what it listed before.
    pub async fn refresh_env_providers(&self) -> bool {
        let mut all_responded = true;
        for named in &self.env_providers {
            match self.upstreams.list_models(&named.endpoint).await {
                Ok(names) => named.set_names(names),
                Err(error) => {
                    all_responded = false;
                    tracing::info!(provider = named.slug, %error, "its models are not known");
                }
            }
        }
        all_responded
    }
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

    fn names(&self) -> Option<Vec<String>> {
        self.models.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn set_names(&self, names: Vec<String>) {
        *self.models.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(names);
    }

    fn model(&self, name: &str) -> Model {
        Model {
            id: format!("{}/{name}", self.slug),
            provider: self.slug.into(),
            name: name.into(),
            local: is_loopback(&self.endpoint.base_url),
            pricing: None,
            context_window: None,
        }
    }
}

/// How to reach a stored provider; `open` opens its key, if it has one that is sealed.
pub fn endpoint_of(provider: &Provider, open: impl FnOnce(&[u8], &str) -> Result<Secret>) -> Result<Endpoint> {
    let api_key = match (&provider.api_key_sealed, &provider.api_key_env) {
        (Some(sealed), _) => Some(open(sealed, &provider.seal_context())?),
        (None, Some(variable)) => Some(seal::from_environment(variable).ok_or_else(|| {
            let slug = &provider.slug;
            Error::ModelUnavailable(format!(
                "{variable} is not set in the server's environment: it holds the key of {slug}"
            ))
        })?),
        (None, None) => None,
    };
    Ok(endpoint(&provider.slug, &provider.base_url, api_key, provider.headers.clone()))
}

fn demo_model() -> Model {
    Model {
        id: DEMO_MODEL.into(),
        provider: DEMO_PROVIDER.into(),
        name: "ala".into(),
        local: true,
        pricing: None,
        context_window: None,
    }
}

fn stored_model(provider: &Provider, model: &ProviderModel) -> Model {
    Model {
        id: format!("{}/{}", provider.slug, model.name),
        provider: provider.slug.clone(),
        name: model.name.clone(),
        local: is_loopback(&provider.base_url),
        pricing: model.pricing.filter(|pricing| !pricing.is_free()),
        context_window: model.context_window,
    }
}

fn endpoint(name: &str, base_url: &str, api_key: Option<Secret>, headers: Vec<(String, String)>) -> Endpoint {
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

/// `OLLAMA_HOST` as Ollama reads it: scheme and port may be missing, and the address it listens on may be every one.
fn ollama_url(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let rest = rest.trim_end_matches('/');
    let name = host_of(host);
    let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let rest = if has_port { rest.to_owned() } else { format!("{rest}:11434") };
    format!("{scheme}://{}/v1", rest.replacen("0.0.0.0", "127.0.0.1", usize::from(name == "0.0.0.0")))
}

/// Whether a base URL is of this machine.
pub fn is_loopback(base_url: &str) -> bool {
    let host = host_of(base_url);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Scheme, host and port of a URL: what a key belongs to.
fn origin_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
    &url[..end]
}

/// The host of a URL, without user, port and brackets.
fn host_of(url: &str) -> &str {
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
    use crate::outbound::Options;

    #[test]
    fn loopback_urls_are_of_this_machine_and_no_look_alikes() {
        for url in ["http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]:8080", "http://u:p@127.3.2.1"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://api.openai.com/v1", "http://localhost.evil.com", "http://127.0.0.1@evil.com", ""] {
            assert!(!is_loopback(url), "{url}");
        }
    }

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

    #[test]
    fn an_unknown_model_is_refused_by_name_and_a_free_one_has_no_price() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let sealer = Sealer::open(&folder.path().join("key")).unwrap();
        let named = EnvProvider::from_env(|name| (name == "OLLAMA_HOST").then(|| "127.0.0.1".into()));
        named[0].set_names(vec!["llama3.2:3b".into()]);
        let catalog = Catalog::new(store, sealer, named, Upstreams::new(&Options::default()).unwrap());
        let ids: Vec<_> = catalog.models(&tenant).unwrap().into_iter().map(|model| model.id).collect();
        assert_eq!(ids, [DEMO_MODEL, "ollama/llama3.2:3b"]);
        for id in &ids {
            assert_eq!(catalog.resolve(&tenant, id).unwrap().model.pricing, None);
        }
        for id in ["demo/bea", "ollama/other", "nobody/x", "x", ""] {
            assert!(matches!(catalog.resolve(&tenant, id), Err(Error::Invalid(_))), "{id}");
        }
    }
}
