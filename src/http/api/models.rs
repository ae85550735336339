//! Models: what a chat can ask. Where they come from is next door, in `providers.rs`.

use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;

use super::tags::Tag;
use crate::{
    catalog::{self, WindowSource},
    error::{Error, Invalid, Result},
    http::{
        auth::{Caller, ReadOrChat},
        wire::{
            data::{Data, Items},
            envelope::ApiError,
        },
    },
    money,
    store::providers::ProviderModel,
};

/// A model available to chats.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Model {
    /// `provider/model`.
    id: String,
    /// The provider's slug.
    provider: String,
    /// The provider's own name for it.
    name: String,
    /// Whether it runs on the server's own machine.
    local: bool,
    /// Whether it costs nothing here.
    is_free: bool,
    /// `null` where no price is set.
    #[oai(nullable)]
    pricing: Option<Pricing>,
    /// Whether it is paid for in another place, as its provider's owner says. Nothing is refused for it.
    paid_elsewhere: bool,
    /// In tokens; `null` if unknown.
    #[oai(nullable)]
    context_window: Option<u32>,
    /// How the context window is known; `null` if it is unknown.
    #[oai(nullable)]
    context_window_source: Option<ContextWindowSource>,
    capabilities: Vec<Capability>,
}

/// Where a context window comes from.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum ContextWindowSource {
    /// The provider's owner said so.
    Told,
    /// The model server says so.
    Read,
    /// The model server said so when it refused a conversation.
    Learned,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Capability {
    Text,
    Tools,
    /// It sees images, as far as anybody knows.
    Images,
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

/// A provider's model.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedModel {
    /// The provider's own name for it.
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pricing: Option<Pricing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_window: Option<u32>,
    /// Whether chats may ask it, which is the default. One that is not offered is unknown to them.
    pub(super) offered: Option<bool>,
}

/// The operations.
#[derive(Default)]
pub struct Models;

#[OpenApi(tag = "Tag::Models")]
impl Models {
    /// List the models available to chats
    #[oai(path = "/models", method = "get", operation_id = "list_models")]
    async fn list_models(&self, caller: Caller<ReadOrChat>) -> Result<Data<Items<Model>>, ApiError> {
        Ok(Data::of(&Items::all(caller.app.catalog.models(&caller.tenant)?)))
    }
}

impl From<WindowSource> for ContextWindowSource {
    fn from(source: WindowSource) -> Self {
        match source {
            WindowSource::Told => ContextWindowSource::Told,
            WindowSource::Read => ContextWindowSource::Read,
            WindowSource::Learned => ContextWindowSource::Learned,
        }
    }
}

impl From<catalog::Model> for Model {
    fn from(model: catalog::Model) -> Self {
        let mut capabilities = vec![Capability::Text];
        if model.tools != Some(false) {
            capabilities.push(Capability::Tools);
        }
        if model.images != Some(false) {
            capabilities.push(Capability::Images);
        }
        Model {
            is_free: model.is_free(),
            id: model.id,
            provider: model.provider,
            name: model.name,
            local: model.local,
            paid_elsewhere: model.paid_elsewhere,
            pricing: model.pricing.map(Into::into),
            context_window: model.context_window.map(|(tokens, _)| tokens),
            context_window_source: model.context_window.map(|(_, source)| source.into()),
            capabilities,
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

impl Pricing {
    /// The prices themselves; what is none is said by its field, which stands at `at`.
    pub(super) fn read(&self, at: &str) -> Result<money::Pricing, Vec<Invalid>> {
        let mut invalid = Vec::new();
        let mut price = |field: &str, text: &str| {
            let wrong =
                |error: money::NotAPrice| Invalid { field: format!("{at}.{field}"), message: error.to_string() };
            text.parse().map_err(|error| invalid.push(wrong(error))).unwrap_or_default()
        };
        let pricing = money::Pricing {
            input: price("inputPerMillion", &self.input_per_million),
            output: price("outputPerMillion", &self.output_per_million),
            cached_input: self.cached_input_per_million.as_ref().map(|text| price("cachedInputPerMillion", text)),
        };
        if invalid.is_empty() { Ok(pricing) } else { Err(invalid) }
    }
}

impl From<ProviderModel> for ListedModel {
    fn from(model: ProviderModel) -> Self {
        ListedModel {
            id: model.name,
            pricing: model.pricing.map(Into::into),
            context_window: model.context_window,
            offered: Some(model.is_offered),
        }
    }
}

/// A provider's models as they are kept.
pub(super) fn read_models(models: Vec<ListedModel>) -> Result<Vec<ProviderModel>> {
    let mut invalid = Vec::new();
    let read = |(at, model): (usize, ListedModel)| {
        let pricing = model.pricing.map(|pricing| pricing.read(&format!("models[{at}].pricing")));
        let pricing = pricing.transpose().unwrap_or_else(|wrong| {
            invalid.extend(wrong);
            None
        });
        let (context_window, is_offered) = (model.context_window, model.offered.unwrap_or(true));
        ProviderModel { pricing, context_window, is_offered, ..ProviderModel::named(model.id) }
    };
    let models = models.into_iter().enumerate().map(read).collect();
    if invalid.is_empty() { Ok(models) } else { Err(Error::Invalid(invalid)) }
}
