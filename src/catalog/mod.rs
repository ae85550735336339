//! Which models an organization has, and where each of them answers.
//!
//! A model's id is `provider/model`. Providers are the built-in `demo`, those an organization keeps, and those the
//! environment names, in this order of precedence. Rule: keys leave this file only inside an [`Endpoint`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use crate::{
    error::{Error, Result},
    model::{
        facts::{FACTS_AGE_MAX, Facts, Known, Lesson, Said},
        source::Source,
        upstream::{Endpoint, Upstreams},
    },
    seal::{self, Sealer},
    secret::Secret,
    store::{
        Store, Tenant,
        providers::{Provider, ProviderModel},
    },
    time::Timestamp,
};

mod address; // base URLs
mod connect; // what a provider has to be
mod env; // those of the environment
mod model; // what is listed
mod probe; // whether it works

use self::{
    address::endpoint,
    model::{demo_model, facts_of, stored_model, taking},
};
pub use address::{base_url, is_loopback, shown};
pub use connect::{NewProvider, ProviderChange, vet};
pub use env::EnvProvider;
pub use model::{DEMO_MODEL, DEMO_PROVIDER, Model};
pub use probe::{LocalServer, TestReport};

pub use crate::{model::facts::WindowSource, seal::NewCredential};

/// How often an unknown model makes the environment's providers be asked again.
const ASK_AGAIN_INTERVAL: Duration = Duration::from_secs(10);

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

/// A model that a turn can ask.
#[derive(Clone)]
pub struct ResolvedModel {
    /// What is known of it.
    pub model: Model,
    /// Where it answers.
    pub source: Source,
}

/// Every organization's models.
pub struct Catalog {
    store: Store,
    sealer: Sealer,
    env_providers: Vec<EnvProvider>,
    upstreams: Arc<Upstreams>,
    /// When the environment's providers were last asked because of an unknown model.
    asked_again: tokio::sync::Mutex<Option<Instant>>,
    /// When each stored provider was last read behind a chat.
    read_at: Mutex<HashMap<String, Instant>>,
}

impl Catalog {
    /// Over the stored providers and those of the environment.
    pub fn new(store: Store, sealer: Sealer, env_providers: Vec<EnvProvider>, upstreams: Upstreams) -> Self {
        Catalog {
            store,
            sealer,
            env_providers,
            upstreams: Arc::new(upstreams),
            asked_again: Default::default(),
            read_at: Default::default(),
        }
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
            let known_facts = self.known(tenant, &provider, known);
            let endpoint = self.endpoint(&provider)?;
            self.read_behind(tenant, &provider.id, &endpoint, known_facts.facts().read);
            let source = self.source(endpoint, known_facts);
            return Ok(ResolvedModel { model: stored_model(&provider, known), source });
        }
        let named = self.env_providers.iter().find(|named| named.slug == slug).ok_or_else(unknown)?;
        // Until it has listed its models, the provider itself is the judge.
        if name.is_empty() || named.names().is_some_and(|names| names.iter().all(|known| known != name)) {
            return Err(unknown());
        }
        Ok(ResolvedModel {
            model: named.model(name),
            source: self.source(named.endpoint()?.clone(), named.known(name)),
        })
    }

    /// How to reach a stored provider.
    pub fn endpoint(&self, provider: &Provider) -> Result<Endpoint> {
        endpoint_of(provider, |sealed, context| self.sealer.unseal(sealed, context))
    }

    fn source(&self, endpoint: Endpoint, known: Known) -> Source {
        Source::Upstream { upstreams: self.upstreams.clone(), endpoint: Box::new(endpoint), known }
    }

    /// What is known of a stored model. What it is taught is written down behind the reply.
    fn known(&self, tenant: &Tenant, provider: &Provider, model: &ProviderModel) -> Known {
        let (store, tenant) = (self.store.clone(), tenant.clone());
        let (provider_id, name) = (provider.id.clone(), model.name.clone());
        Known::kept_by(facts_of(model), move |lesson| {
            let (store, tenant) = (store.clone(), tenant.clone());
            let kept = (provider_id.clone(), name.clone());
            tokio::spawn(async move {
                if let Err(error) = keep_lesson(&store, &tenant, kept, lesson).await {
                    tracing::warn!(%error, "what a model taught is not kept");
                }
            });
        })
    }

    /// Reads again what a provider told of its models if what it told of one of them, `read`, is old; without keeping the caller.
    fn read_behind(&self, tenant: &Tenant, provider_id: &str, endpoint: &Endpoint, read: Option<Said>) {
        let now = Timestamp::now();
        let is_old = read.is_some_and(|said| now.since(Timestamp::from_millis(said.at)) >= FACTS_AGE_MAX);
        let (Ok(runtime), true) = (Handle::try_current(), is_old) else { return };
        {
            let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
            read_at.retain(|_, at| at.elapsed() < FACTS_AGE_MAX);
            if read_at.contains_key(provider_id) {
                return;
            }
            read_at.insert(provider_id.to_owned(), Instant::now());
        }
        let (upstreams, store, tenant) = (self.upstreams.clone(), self.store.clone(), tenant.clone());
        let (id, endpoint) = (provider_id.to_owned(), endpoint.clone());
        runtime.spawn(async move {
            let Ok(listed) = upstreams.read_models(&endpoint, || ()).await else { return };
            if let Err(error) = store.org(&tenant).change_all_facts(id, taking(listed, false)).await {
                tracing::warn!(%error, "what a provider tells of its models is not kept");
            }
        });
    }

    /// Asks the environment's providers again if `id` may be a model that one of them has got meanwhile; whether it was worth it. At
    /// most every [`ASK_AGAIN_INTERVAL`].
    pub async fn ask_again_for(&self, id: &str) -> bool {
        let of = |named: &&EnvProvider| id.split_once('/').is_some_and(|(slug, _)| slug == named.slug);
        let Some(named) = self.env_providers.iter().find(of) else { return false };
        let mut asked = self.asked_again.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN_INTERVAL) {
            *asked = Some(Instant::now());
            let Ok(endpoint) = named.endpoint() else { return false };
            if let Ok(models) = self.upstreams.read_models(endpoint, || ()).await {
                named.listed(models);
            }
        }
        true
    }

    /// Asks the environment's providers for their models; whether all of them responded. One that does not respond keeps
    /// what it listed before.
    pub async fn refresh_env_providers(&self) -> bool {
        let mut all_responded = true;
        for named in &self.env_providers {
            // What is wrong with it was said when it was read.
            let Ok(endpoint) = named.endpoint() else { continue };
            match self.upstreams.read_models(endpoint, || ()).await {
                Ok(models) => named.listed(models),
                Err(error) => {
                    all_responded = false;
                    tracing::info!(provider = named.slug, %error, "its models are not known");
                }
            }
        }
        all_responded
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

async fn keep_lesson(store: &Store, tenant: &Tenant, of: (String, String), lesson: Lesson) -> Result<()> {
    let (provider_id, name) = of;
    let learn = move |text: Option<String>| {
        let mut facts = text.as_deref().map(Facts::from_text).unwrap_or_default();
        facts.learn(lesson, Timestamp::now()).then(|| facts.to_text())
    };
    store.org(tenant).change_facts(provider_id, name, learn).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::upstream::Listed, outbound::Options};

    #[test]
    fn an_unknown_model_is_refused_by_name_and_a_free_one_has_no_price() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let sealer = Sealer::open(&folder.path().join("key")).unwrap();
        let named = EnvProvider::from_env(|name| (name == "OLLAMA_HOST").then(|| "127.0.0.1".into()));
        named[0].listed(vec![Listed { name: "llama3.2:3b".into(), ..Listed::default() }]);
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
    #[tokio::test]
    async fn what_a_model_teaches_is_known_at_the_next_chat() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 2).unwrap();
        let tenant = store.create_org("acme", "a@example.com", None).unwrap().tenant();
        let sealer = Sealer::open(&folder.path().join("key")).unwrap();
        let catalog = Catalog::new(store.clone(), sealer, Vec::new(), Upstreams::new(&Options::default()).unwrap());
        let mut provider = Provider::new("up", "http://127.0.0.1:1/v1");
        provider.models = ["m", "n"]
            .map(|name| ProviderModel { name: name.into(), pricing: None, context_window: None, facts: None })
            .into();
        store.org(&tenant).create_provider(provider).await.unwrap();
        let known = |id| match catalog.resolve(&tenant, id).unwrap().source {
            Source::Upstream { known, .. } => known,
            Source::Demo => panic!("{id} is no built-in model"),
        };
        let first = known("up/m");
        for lesson in [Lesson::NoTools, Lesson::Window { tokens: 512 }] {
            first.learn(lesson);
        }
        // It is written down behind the reply.
        let learned = (Some(false), Some((512, WindowSource::Learned)));
        let shown = || catalog.resolve(&tenant, "up/m").unwrap().model;
        while (shown().tools, shown().context_window) != learned {
            tokio::task::yield_now().await;
        }
        assert_eq!(known("up/n").facts(), Facts::default());
    }
}
