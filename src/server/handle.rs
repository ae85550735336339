//! What a host program does with its server beside the HTTP API: organizations, keys, deposits, providers.
//!
//! Rule: what waits for the disk waits on a blocking thread, never on a worker of the host's runtime.

use std::{fmt, ops::BitOr, sync::Arc};

use tokio::sync::watch;

use super::error::Error;
use crate::{
    catalog::{Catalog, NewProvider},
    error::Error as Cause,
    key::{self, Env, Scope},
    money::{Price, Pricing},
    seal::NewCredential,
    secret::Secret,
    store::{Store, Tenant, keys::KeyTerms, orgs::OrgDetails, providers::ProviderModel, tools::AddedBy},
};

/// What a host program may do with its server. Cloning it is cheap.
#[derive(Clone)]
pub struct Handle {
    pub(super) store: Store,
    pub(super) catalog: Arc<Catalog>,
    stop: Arc<watch::Sender<bool>>,
}

/// An organization, as its owner reaches it.
#[derive(Clone)]
pub struct Organization {
    store: Store,
    catalog: Arc<Catalog>,
    slug: String,
    tenant: Tenant,
    is_new: bool,
}

impl fmt::Debug for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Organization").field("slug", &self.slug).finish_non_exhaustive()
    }
}

/// An API key that was just created. It is stored nowhere: this is the only time it can be read.
pub struct ApiKey {
    pub(super) id: String,
    pub(super) text: Secret,
}

/// What an API key may do. Join them with `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    read: bool,
    chat: bool,
    write: bool,
}

/// An OpenAI-compatible model server to connect.
pub struct Provider {
    slug: String,
    base_url: String,
    api_key: Option<Secret>,
    models: Vec<(String, Option<[String; 2]>)>,
}

impl Handle {
    pub(super) fn new(store: Store, catalog: Arc<Catalog>, stop: Arc<watch::Sender<bool>>) -> Self {
        Handle { store, catalog, stop }
    }

    /// The organization of that slug; it is created if there is none. Its owner is `owner@<slug>.localhost` and has no
    /// password: `alm org password` sets one.
    pub async fn ensure_org(&self, slug: &str) -> Result<Organization, Error> {
        let (store, slug) = (self.store.clone(), slug.to_owned());
        let ensure = move || match store.org_by_slug(&slug) {
            Ok(org) => Ok((org, false)),
            Err(Cause::NotFound(_)) => {
                store.create_org(&slug, &format!("owner@{slug}.localhost"), None).map(|org| (org, true))
            }
            Err(error) => Err(error),
        };
        let (org, is_new) = blocking(ensure).await?;
        Ok(self.organization(org, is_new))
    }

    /// Every organization, oldest first.
    pub async fn orgs(&self) -> Result<Vec<Organization>, Error> {
        let store = self.store.clone();
        let orgs = blocking(move || store.orgs()).await?;
        Ok(orgs.into_iter().map(|org| self.organization(org, false)).collect())
    }

    /// Ends [`Server::run`](super::Server::run) as its `shutdown` would. Repeating it changes nothing.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) fn organization(&self, org: OrgDetails, is_new: bool) -> Organization {
        let (store, catalog, tenant) = (self.store.clone(), self.catalog.clone(), org.tenant());
        Organization { store, catalog, slug: org.slug, tenant, is_new }
    }
}

impl Organization {
    /// Its slug, as `X-Alumia-Org` names it.
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// Whether [`Handle::ensure_org`] has just created it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Creates an API key of the owner's. `name` says what it is for.
    pub async fn create_key(&self, name: &str, scopes: Scopes) -> Result<ApiKey, Error> {
        key::check_name("name", name)?;
        let new = key::generate(Env::Live)?;
        let row = self.store.org(&self.tenant).create_key(&new, KeyTerms::live(name, scopes.list()?)).await?;
        Ok(ApiKey { id: row.id, text: Secret::new(new.text) })
    }

    /// Adds to the balance, which paid models are charged to; returns the new balance. 1 US dollar is 1,000,000
    /// microcents.
    pub async fn deposit_microcents(&self, amount: i64, note: &str) -> Result<i64, Error> {
        Ok(self.store.org(&self.tenant).deposit(amount, note.to_owned()).await?)
    }

    /// Connects a model server. A slug that is connected already is a conflict.
    pub async fn connect(&self, provider: Provider) -> Result<(), Error> {
        let mut prepared = self.catalog.prepare(provider.into_new()?)?;
        // Whose program it is may reach what it says.
        prepared.added_by = AddedBy::Operator;
        self.store.org(&self.tenant).create_provider(prepared).await?;
        Ok(())
    }

    /// Chooses the model of chats that name none, such as `ollama/llama3.2:3b`.
    pub async fn set_default_model(&self, model: &str) -> Result<(), Error> {
        let (catalog, tenant, wanted) = (self.catalog.clone(), self.tenant.clone(), model.to_owned());
        blocking(move || catalog.resolve(&tenant, &wanted).map(drop)).await?;
        Ok(self.store.org(&self.tenant).set_default_model(Some(model.to_owned())).await?)
    }
}

impl ApiKey {
    /// Its id, by which it is listed and revoked.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key itself: `alm_live_…`.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Scopes {
    /// Every GET.
    pub const READ: Scopes = Scopes { read: true, chat: false, write: false };
    /// Sessions and chat, and listing agents and models.
    pub const CHAT: Scopes = Scopes { read: false, chat: true, write: false };
    /// Changing agents and projects.
    pub const WRITE: Scopes = Scopes { read: false, chat: false, write: true };
    /// All of them.
    pub const ALL: Scopes = Scopes { read: true, chat: true, write: true };

    fn list(self) -> Result<Vec<Scope>, Cause> {
        let all = [(self.read, Scope::Read), (self.chat, Scope::Chat), (self.write, Scope::Write)];
        let list: Vec<Scope> = all.into_iter().filter_map(|(has, scope)| has.then_some(scope)).collect();
        if list.is_empty() { Err(Cause::invalid("scopes", "must be at least one")) } else { Ok(list) }
    }
}

impl BitOr for Scopes {
    type Output = Scopes;

    fn bitor(self, other: Scopes) -> Scopes {
        Scopes { read: self.read | other.read, chat: self.chat | other.chat, write: self.write | other.write }
    }
}

impl Provider {
    /// A model server that answers at `base_url`, such as `http://127.0.0.1:11434/v1`. Its models are `slug/…`.
    pub fn new(slug: &str, base_url: &str) -> Self {
        Provider { slug: slug.to_owned(), base_url: base_url.to_owned(), api_key: None, models: Vec::new() }
    }

    /// The key that it wants. It is stored sealed.
    pub fn api_key(mut self, key: &str) -> Self {
        self.api_key = Some(Secret::new(key));
        self
    }

    /// A model of it that costs nothing.
    pub fn model(mut self, name: &str) -> Self {
        self.models.push((name.to_owned(), None));
        self
    }

    /// A model of it, with prices in US dollars per million tokens, such as `"0.25"` in and `"2.00"` out.
    pub fn paid_model(mut self, name: &str, input: &str, output: &str) -> Self {
        self.models.push((name.to_owned(), Some([input.to_owned(), output.to_owned()])));
        self
    }

    fn into_new(self) -> Result<NewProvider, Cause> {
        let price = |text: &str| text.parse::<Price>().map_err(|_| Cause::invalid("price", "must be such as 0.25"));
        let model = |(name, prices): (String, Option<[String; 2]>)| {
            let pricing = match prices {
                Some([input, output]) => {
                    Some(Pricing { input: price(&input)?, output: price(&output)?, cached_input: None })
                }
                None => None,
            };
            Ok(ProviderModel { pricing, ..ProviderModel::named(name) })
        };
        Ok(NewProvider {
            slug: self.slug,
            base_url: Some(self.base_url),
            key: self.api_key.map(NewCredential::Text),
            models: self.models.into_iter().map(model).collect::<Result<_, Cause>>()?,
            ..NewProvider::default()
        })
    }
}

/// Runs what waits for the disk where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Cause> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(Cause::internal)?;
    done.map_err(Error::from)
}
