//! Which models an organization has, and where each of them answers.
//!
//! A model's id is `provider/model`. Providers are the built-in `demo`, those an organization keeps, `local` for the server's own
//! processes, and those the environment names, in this order of precedence. Rule: keys leave this file only inside an [`Endpoint`].

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use crate::{
    error::{Error, Result},
    model::{
        cassette::{Recorder, Scrubber, Shelf},
        facts::{FACTS_AGE_MAX, Said},
        known::Known,
        local::LocalModels,
        source::Source,
        upstream::{Endpoint, Upstreams},
    },
    outbound::Whose,
    seal::{self, Sealer},
    secret::Secret,
    store::{Store, Tenant, providers::Provider, tools::AddedBy},
    time::Timestamp,
};

mod address; // base URLs
mod cassettes; // what plays a cassette
mod connect; // what a provider has to be
mod env; // those of the environment
mod lessons; // what models teach, on its way into the file
mod model; // what is listed
mod probe; // whether it works

use self::{
    address::endpoint,
    lessons::Lessons,
    model::{demo_model, local_model, stored_model, taking},
};
pub use address::{base_url, is_loopback, shown};
pub use cassettes::NewCassette;
pub use connect::{NewProvider, ProviderChange, vet};
pub use env::EnvProvider;
pub use model::{DEMO_MODEL, DEMO_PROVIDER, LOCAL_PROVIDER, Model};
pub use probe::{LocalServer, TestReport};

pub use crate::{model::facts::WindowSource, seal::NewCredential};

/// How often an unknown model makes a provider of the environment be asked again.
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

impl fmt::Debug for ResolvedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResolvedModel").field(&self.model.id).finish()
    }
}

/// Every organization's models.
pub struct Catalog {
    store: Store,
    sealer: Sealer,
    env_providers: Vec<EnvProvider>,
    /// The models whose processes are ours.
    local: Arc<LocalModels>,
    upstreams: Arc<Upstreams>,
    shelf: Arc<Shelf>,
    /// Those that every organization may play, kept nowhere.
    cassettes: Vec<Provider>,
    lessons: Lessons,
    /// When each stored provider was last read behind a chat.
    read_at: Mutex<HashMap<String, Instant>>,
}

impl Catalog {
    /// Over the stored providers and those of the environment.
    pub fn new(
        store: Store,
        sealer: Sealer,
        env_providers: Vec<EnvProvider>,
        upstreams: impl Into<Arc<Upstreams>>,
    ) -> Self {
        Catalog {
            store,
            sealer,
            env_providers,
            local: Arc::default(),
            upstreams: upstreams.into(),
            shelf: Arc::new(Shelf::new(Scrubber::new(seal::all_from_environment()))),
            cassettes: Vec::new(),
            lessons: Lessons::default(),
            read_at: Default::default(),
        }
    }

    /// The same with models whose processes are ours.
    pub fn with_local(self, local: Arc<LocalModels>) -> Self {
        Catalog { local, ..self }
    }

    /// The models whose processes are ours.
    pub fn local(&self) -> &LocalModels {
        &self.local
    }

    /// The model of a chat for which nobody names one.
    pub fn default_model(&self, tenant: &Tenant) -> Result<String> {
        let Some(first) = self.local.all().first() else { return Ok(DEMO_MODEL.into()) };
        let is_hidden = self.store.org(tenant).provider_if_any(LOCAL_PROVIDER)?.is_some();
        Ok(if is_hidden { DEMO_MODEL.into() } else { format!("{LOCAL_PROVIDER}/{}", first.name()) })
    }

    /// The models of an organization: the built-in one, then by provider.
    pub fn models(&self, tenant: &Tenant) -> Result<Vec<Model>> {
        let unwritten = self.lessons.unwritten();
        let stored = self.store.org(tenant).providers()?;
        self.look_behind(tenant, &stored);
        let mut models = vec![demo_model()];
        let given = self.cassettes.iter().filter(|given| stored.iter().all(|p| p.slug != given.slug));
        for provider in stored.iter().chain(given) {
            let listed = |model| stored_model(provider, model, &unwritten.facts_of(provider, model));
            models.extend(provider.offered().map(listed));
        }
        if stored.iter().all(|provider| provider.slug != LOCAL_PROVIDER) {
            models.extend(self.local.all().iter().map(|local| local_model(local)));
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
        let unknown = || Error::UnknownModel(id.to_owned());
        let (slug, name) = id.split_once('/').ok_or_else(unknown)?;
        let unwritten = self.lessons.unwritten();
        let kept = self.store.org(tenant).provider_if_any(slug)?.filter(|p| p.slug == slug);
        let given = || self.cassettes.iter().find(|p| p.slug == slug).cloned();
        if let Some(provider) = kept.or_else(given) {
            let stored = provider.offered().find(|model| model.name == name).ok_or_else(unknown)?;
            let facts = unwritten.facts_of(&provider, stored);
            if let Some(cassette) = &provider.cassette {
                let model = stored_model(&provider, stored, &facts);
                return Ok(ResolvedModel { model, source: self.playing(tenant, &provider, cassette)? });
            }
            let endpoint = self.endpoint(&provider)?;
            self.read_behind(tenant, &provider.id, &endpoint, facts.read.as_ref());
            let model = stored_model(&provider, stored, &facts);
            let (lessons, store, tenant) = (self.lessons.clone(), self.store.clone(), tenant.clone());
            let (provider_id, name) = (provider.id, name.to_owned());
            let keep = move |lesson| lessons.keep(&store, &tenant, (&provider_id, &name), lesson);
            return Ok(ResolvedModel { model, source: self.source(endpoint, Known::kept_by(facts, keep)) });
        }
        if slug == LOCAL_PROVIDER {
            let local = self.local.get(name).ok_or_else(unknown)?;
            let model = local_model(&local);
            let (endpoint, person) = (Box::new(local.endpoint()), tenant.user_id.clone());
            return Ok(ResolvedModel { model, source: Source::Local { model: local, endpoint, person } });
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

    /// What writes down what models are asked and answer, if it is written down.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.upstreams.recorder()
    }

    fn source(&self, endpoint: Endpoint, known: Known) -> Source {
        Source::Upstream { upstreams: self.upstreams.clone(), endpoint: Box::new(endpoint), known }
    }

    /// Reads again what a provider told of its models if what it told of one of them, `read`, is old; without keeping the caller.
    fn read_behind(&self, tenant: &Tenant, provider_id: &str, endpoint: &Endpoint, read: Option<&Said>) {
        let is_old = read.is_some_and(|said| said.is_old(Timestamp::now()));
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

    /// Asks a provider of the environment again, and looks into a cassette, if `id` may be a model that has come there meanwhile;
    /// without an id, all of them. Whether it was worth it. A provider is asked at most every [`ASK_AGAIN_INTERVAL`]: who comes earlier
    /// gets what it said then.
    pub async fn ask_again_for(&self, tenant: &Tenant, id: Option<&str>) -> bool {
        let slug = id.map(|id| id.split_once('/').map_or("", |(slug, _)| slug));
        let mut is_worth_it = self.look_again(tenant, slug).await;
        for named in self.env_providers.iter().filter(|named| slug.is_none_or(|slug| slug == named.slug)) {
            let Ok(endpoint) = named.endpoint() else { continue };
            is_worth_it = true;
            let mut asked = named.asked_again.lock().await;
            if is_due(*asked, Instant::now()) {
                if let Ok(models) = self.upstreams.read_models(endpoint, || ()).await {
                    named.listed(models);
                }
                *asked = Some(Instant::now());
            }
        }
        is_worth_it
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

/// Whether an unknown model is worth asking for again.
fn is_due(asked: Option<Instant>, now: Instant) -> bool {
    asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN_INTERVAL)
}

/// How to reach a stored provider; `open` opens its key, if it has one that is sealed.
pub fn endpoint_of(provider: &Provider, open: impl FnOnce(&[u8], &str) -> Result<Secret>) -> Result<Endpoint> {
    if provider.cassette.is_some() {
        return Err(Error::ModelUnavailable(format!("{} plays a cassette: it has no address", provider.slug)));
    }
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
    let mut endpoint = endpoint(&provider.slug, &provider.base_url, api_key, provider.headers.clone());
    if let Some(anywhere) = provider.system_anywhere {
        endpoint.dialect.system_anywhere = anywhere;
    }
    let whose = if provider.added_by == AddedBy::Api { Whose::Owners } else { Whose::Operators };
    Ok(Endpoint { whose, ..endpoint })
}

#[cfg(test)]
mod tests;
