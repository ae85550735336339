//! Models, and the providers they come from. A key reads them; a person at a browser changes them.
//!
//! Rule: a provider's key and headers are written and never read.

use std::collections::BTreeMap;

use poem_openapi::{Enum, Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use super::{
    Tag,
    auth::{Caller, Read, ReadOrChat, SignedIn},
    body::JsonBody,
    data::{Created, Data, Deleted, Items},
    envelope::ApiError,
    wire::Moment,
};
use crate::{
    catalog, money,
    store::providers::{self as stored, ProviderModel},
};

/// A model that a chat can ask.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Model {
    /// `provider/model`.
    id: String,
    /// The provider's slug.
    provider: String,
    /// As the provider knows it.
    name: String,
    /// Whether it answers on the server's own machine.
    local: bool,
    is_free: bool,
    /// `null`: free.
    #[oai(nullable)]
    pricing: Option<Pricing>,
    /// Tokens; `null`: unknown.
    #[oai(nullable)]
    context_window: Option<u32>,
    capabilities: Vec<Capability>,
}

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Capability {
    Text,
    Tools,
}

/// Prices in US dollars per million tokens, as decimal text.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    input_per_million: String,
    output_per_million: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_input_per_million: Option<String>,
}

/// Where models come from.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Provider {
    id: String,
    slug: String,
    kind: ProviderKind,
    base_url: String,
    /// Whether it answers on the server's own machine.
    local: bool,
    /// Whether a key is kept; the key itself is never shown.
    has_api_key: bool,
    /// The environment variable that holds the key instead.
    #[oai(nullable)]
    api_key_env: Option<String>,
    models: Vec<ListedModel>,
    created_at: Moment,
    updated_at: Moment,
}

/// How a provider is spoken to.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
enum ProviderKind {
    OpenaiCompatible,
    Demo,
}

/// A model of a provider.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
struct ListedModel {
    /// As the provider knows it.
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u32>,
}

/// A new provider.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct NewProvider {
    slug: String,
    kind: ProviderKind,
    /// Up to and without `/chat/completions`; known for the usual slugs.
    base_url: Option<String>,
    /// Sealed at rest, never shown.
    api_key: Option<String>,
    api_key_env: Option<String>,
    /// Extra request headers, never shown.
    headers: Option<BTreeMap<String, String>>,
    models: Vec<ListedModel>,
}

impl Example for NewProvider {
    fn example() -> Self {
        NewProvider {
            slug: "ollama".into(),
            kind: ProviderKind::OpenaiCompatible,
            base_url: None,
            api_key: None,
            api_key_env: None,
            headers: None,
            models: vec![ListedModel { id: "llama3.2:3b".into(), pricing: None, context_window: Some(131_072) }],
        }
    }
}

/// Changes of a provider; what is absent stays.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct ProviderPatch {
    base_url: Option<String>,
    api_key: Option<String>,
    api_key_env: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    /// Replaced as a whole.
    models: Option<Vec<ListedModel>>,
}

impl Example for ProviderPatch {
    fn example() -> Self {
        ProviderPatch {
            base_url: Some("http://127.0.0.1:11434/v1".into()),
            api_key: None,
            api_key_env: None,
            headers: None,
            models: None,
        }
    }
}

/// How a provider answered.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct ProviderTest {
    /// Until it said which models it has.
    models_ms: u64,
    /// Until the first token of a reply.
    first_token_ms: u64,
    models: Vec<String>,
}

/// The operations.
pub struct Models;

#[OpenApi(tag = "Tag::Models")]
impl Models {
    /// List the models a chat can ask
    #[oai(path = "/models", method = "get", operation_id = "list_models")]
    async fn list_models(&self, caller: Caller<ReadOrChat>) -> Result<Data<Items<Model>>, ApiError> {
        Ok(Data::of(&Items::all(caller.app.catalog.models(&caller.tenant)?)))
    }

    /// List providers
    #[oai(path = "/providers", method = "get", operation_id = "list_providers")]
    async fn list_providers(&self, caller: Caller<Read>) -> Result<Data<Items<Provider>>, ApiError> {
        Ok(Data::of(&Items::all(caller.org().providers()?)))
    }

    /// Add a provider
    ///
    /// Needs a signed-in browser session.
    #[oai(path = "/providers", method = "post", operation_id = "create_provider")]
    async fn create_provider(
        &self,
        caller: Caller<SignedIn>,
        _body: JsonBody<NewProvider>,
    ) -> Result<Created<Provider>, ApiError> {
        match caller.access {}
    }

    /// Read a provider
    #[oai(path = "/providers/:id", method = "get", operation_id = "get_provider")]
    async fn get_provider(
        &self,
        caller: Caller<Read>,
        /// The provider's id or slug.
        id: Path<String>,
    ) -> Result<Data<Provider>, ApiError> {
        Ok(Data::of(&caller.org().provider(&id)?.into()))
    }

    /// Change a provider
    ///
    /// Needs a signed-in browser session.
    #[oai(path = "/providers/:id", method = "patch", operation_id = "update_provider")]
    async fn update_provider(
        &self,
        caller: Caller<SignedIn>,
        #[oai(name = "id")] _id: Path<String>,
        _body: JsonBody<ProviderPatch>,
    ) -> Result<Data<Provider>, ApiError> {
        match caller.access {}
    }

    /// Forget a provider
    ///
    /// Needs a signed-in browser session.
    #[oai(path = "/providers/:id", method = "delete", operation_id = "delete_provider")]
    async fn delete_provider(
        &self,
        caller: Caller<SignedIn>,
        #[oai(name = "id")] _id: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        match caller.access {}
    }

    /// Reach a provider, list its models, stream one token
    ///
    /// Needs a signed-in browser session.
    #[oai(path = "/providers/:id/test", method = "post", operation_id = "test_provider")]
    async fn test_provider(
        &self,
        caller: Caller<SignedIn>,
        #[oai(name = "id")] _id: Path<String>,
    ) -> Result<Data<ProviderTest>, ApiError> {
        match caller.access {}
    }

    /// Take over the list of models a provider has
    ///
    /// Needs a signed-in browser session.
    #[oai(path = "/providers/:id/refresh", method = "post", operation_id = "refresh_provider")]
    async fn refresh_provider(
        &self,
        caller: Caller<SignedIn>,
        #[oai(name = "id")] _id: Path<String>,
    ) -> Result<Data<Provider>, ApiError> {
        match caller.access {}
    }
}

impl From<catalog::Model> for Model {
    fn from(model: catalog::Model) -> Self {
        Model {
            id: model.id,
            provider: model.provider,
            name: model.name,
            local: model.local,
            is_free: model.pricing.is_none(),
            pricing: model.pricing.map(Into::into),
            context_window: model.context_window,
            capabilities: vec![Capability::Text, Capability::Tools],
        }
    }
}

impl From<money::Pricing> for Pricing {
    fn from(pricing: money::Pricing) -> Self {
        Pricing {
            input_per_million: pricing.input.to_string(),
            output_per_million: pricing.output.to_string(),
            cached_input_per_million: pricing.cached_input.map(|price| price.to_string()),
        }
    }
}

impl From<stored::Provider> for Provider {
    fn from(provider: stored::Provider) -> Self {
        Provider {
            local: catalog::is_loopback(&provider.base_url),
            id: provider.id,
            slug: provider.slug,
            kind: ProviderKind::OpenaiCompatible,
            base_url: provider.base_url,
            has_api_key: provider.api_key_sealed.is_some(),
            api_key_env: provider.api_key_env,
            models: provider.models.into_iter().map(Into::into).collect(),
            created_at: provider.created_at.into(),
            updated_at: provider.updated_at.into(),
        }
    }
}

impl From<ProviderModel> for ListedModel {
    fn from(model: ProviderModel) -> Self {
        ListedModel { id: model.name, pricing: model.pricing.map(Into::into), context_window: model.context_window }
    }
}
