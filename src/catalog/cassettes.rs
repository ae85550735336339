//! Providers that play a cassette.
//!
//! Rule: who can name a file of this machine is on it: a cassette comes from the command line or from a host program, and never from
//! the API.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    Catalog, EnvProvider,
    connect::{MODELS_MAX, ProviderChange, check_new_slug},
    probe::TestReport,
};
use crate::{
    error::{Error, Result},
    model::{
        cassette::{self, Match, Shelf, Speed, Tape},
        facts::Said,
        source::Source,
        upstream::Listed,
    },
    secret::Secret,
    store::{
        Store, Tenant,
        providers::{Cassette, Provider, ProviderModel},
        tools::AddedBy,
    },
};

/// A cassette that is to be played.
pub struct NewCassette {
    /// The provider's slug.
    pub slug: String,
    pub file: PathBuf,
    pub speed: Speed,
    /// How far an answer may be looked for.
    pub reach: Match,
    /// Whether tools run where it has no answer of theirs.
    pub real_tools: bool,
    /// Prices and windows of its models; each model that answers in it is listed anyway.
    pub models: Vec<ProviderModel>,
}

impl Catalog {
    /// This catalog, and every organization may play these.
    pub fn with_cassettes(self, cassettes: Vec<NewCassette>) -> Result<Self> {
        let cassettes = cassettes.into_iter().map(|new| self.prepare_cassette(new)).collect::<Result<_>>()?;
        Ok(Catalog { cassettes, ..self })
    }

    /// A provider that plays a cassette, as it will be kept. The file is read once.
    pub fn prepare_cassette(&self, new: NewCassette) -> Result<Provider> {
        check_new_slug(&new.slug)?;
        let refused = |wrong: String| Error::failed(format!("{}: {wrong}", new.file.display()));
        let file = new.file.canonicalize().map_err(|error| refused(error.to_string()))?;
        let file = file.to_str().ok_or_else(|| refused("its name is no UTF-8: rename it".into()))?.to_owned();
        let read = cassette::read(&new.file).map_err(Error::failed)?;
        let names: Vec<_> = read.models().into_iter().map(str::to_owned).collect();
        if names.is_empty() {
            return Err(refused("no model answers in it: record something first".into()));
        }
        if let Some(unknown) = new.models.iter().find(|model| !names.contains(&model.name)) {
            let (name, known) = (&unknown.name, names.join(", "));
            return Err(refused(format!("{name} does not answer in it, but {known}")));
        }
        let model = |name: String| {
            let told = new.models.iter().find(|model| model.name == name).cloned();
            told.unwrap_or_else(|| ProviderModel::named(name))
        };
        let speed = match new.speed {
            Speed::Instant => 0.0,
            Speed::Times(times) => times,
        };
        let mut provider = Provider::new(new.slug, "");
        provider.added_by = AddedBy::Operator;
        let models = Some(names.into_iter().map(model).collect());
        self.change(&mut provider, ProviderChange { models, ..Default::default() })?;
        let (reach, real_tools) = (new.reach.to_string(), new.real_tools);
        provider.cassette = Some(Cassette { file, speed, reach, real_tools });
        Ok(provider)
    }

    /// Where the models of such a provider answer.
    pub(super) fn playing(&self, tenant: &Tenant, provider: &Provider, cassette: &Cassette) -> Result<Source> {
        let speed = if cassette.speed == 0.0 { Speed::Instant } else { Speed::Times(cassette.speed) };
        let tape = Tape {
            provider: provider.slug.clone(),
            file: cassette.file.clone().into(),
            speed,
            reach: cassette.reach.parse()?,
            real_tools: cassette.real_tools,
            secrets: self.secrets_of(tenant)?,
        };
        Ok(Source::Cassette { shelf: self.shelf.clone(), tape: Box::new(tape), conversation: String::new() })
    }

    /// What an organization's providers are sent that nobody may read. One whose key cannot be had is not asked either.
    fn secrets_of(&self, tenant: &Tenant) -> Result<Vec<Secret>> {
        let stored = self.store.org(tenant).providers()?;
        let stored = stored.iter().filter_map(|provider| self.endpoint(provider).ok());
        let named = self.env_providers.iter().flat_map(EnvProvider::secrets);
        Ok(stored.flat_map(|endpoint| endpoint.secrets()).chain(named).collect())
    }

    /// The models that answer in a cassette.
    pub(super) async fn recorded_models(&self, cassette: &Cassette) -> Result<Vec<Listed>> {
        let album = self.shelf.read(cassette.file.as_ref()).await?;
        let listed = |name: &str| Listed { name: name.to_owned(), owner: None, said: Said::default() };
        Ok(album.cassette().models().into_iter().map(listed).collect())
    }

    /// Has the models offered that answer in the cassettes of these providers by now, without keeping the caller.
    pub(super) fn look_behind(&self, tenant: &Tenant, providers: &[Provider]) {
        let Ok(runtime) = Handle::try_current() else { return };
        for provider in providers.iter().filter(|provider| provider.cassette.is_some()) {
            runtime.spawn(offer_new(self.shelf.clone(), self.store.clone(), tenant.clone(), provider.clone()));
        }
    }

    /// The same for an organization's provider of that slug, or for all, and waits for it; whether one was new.
    pub(super) async fn look_again(&self, tenant: &Tenant, slug: Option<&str>) -> bool {
        let providers = self.store.org(tenant).providers().unwrap_or_default();
        let mut is_new = false;
        for provider in providers.into_iter().filter(|provider| slug.is_none_or(|slug| slug == provider.slug)) {
            is_new |= offer_new(self.shelf.clone(), self.store.clone(), tenant.clone(), provider).await;
        }
        is_new
    }

    /// Reads a cassette, as the test of a provider does whose models answer elsewhere.
    pub(super) async fn test_cassette(
        &self,
        provider: &Provider,
        cassette: &Cassette,
        model: Option<String>,
    ) -> Result<TestReport> {
        let began = Instant::now();
        let models: Vec<_> = self.recorded_models(cassette).await?.into_iter().map(|model| model.name).collect();
        let first = || provider.offered().next().map(|model| &model.name).or(models.first()).cloned();
        let model = model.or_else(first).unwrap_or_default();
        if !models.contains(&model) {
            let file = cassette::name_of(cassette.file.as_ref());
            return Err(Error::ModelUnavailable(format!("{model} does not answer in {file}: refresh the provider")));
        }
        let took = began.elapsed();
        Ok(TestReport {
            reach: took,
            listed: Some(took),
            models,
            model,
            first_token: Some(Duration::ZERO),
            reply: Duration::ZERO,
            omitted: Vec::new(),
        })
    }
}

/// Offers the models that answer in a provider's cassette and are not known yet; whether there are any.
async fn offer_new(shelf: Arc<Shelf>, store: Store, tenant: Tenant, provider: Provider) -> bool {
    let Some(cassette) = &provider.cassette else { return false };
    // What is wrong with the file is said to whoever asks it.
    let Ok(album) = shelf.read(cassette.file.as_ref()).await else { return false };
    let new = move |provider: &Provider| -> Vec<ProviderModel> {
        let is_new = |name: &&str| provider.models.iter().all(|known| known.name != **name);
        let names = album.cassette().models().into_iter().filter(is_new);
        names.take(MODELS_MAX.saturating_sub(provider.models.len())).map(ProviderModel::named).collect()
    };
    if new(&provider).is_empty() {
        return false;
    }
    let offer = move |provider: &mut Provider| {
        provider.models.extend(new(provider));
        Ok(())
    };
    let offered = store.org(&tenant).update_provider(provider.id, offer).await;
    if let Err(error) = &offered {
        tracing::warn!(provider = provider.slug, %error, "new models of a cassette are not offered");
    }
    offered.is_ok()
}
