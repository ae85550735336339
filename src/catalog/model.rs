//! A model, as it is listed.

use super::address::is_loopback;
use crate::{
    model::{
        facts::{Facts, WindowSource},
        local::LocalModel,
        upstream::Listed,
    },
    money::Pricing,
    store::providers::{Provider, ProviderModel},
    time::Timestamp,
};

/// The model that needs nothing, and the default of a chat.
pub const DEMO_MODEL: &str = "demo/ala";
/// The provider of that model, whose slug no other may take.
pub const DEMO_PROVIDER: &str = "demo";

/// The provider of models whose processes are ours, in every organization that has not given a provider this slug.
pub const LOCAL_PROVIDER: &str = "local";

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
    /// Absent: no price was set, and it costs nothing here.
    pub pricing: Option<Pricing>,
    /// Whether it is paid for in another place, as its provider's owner says.
    pub paid_elsewhere: bool,
    /// Tokens, and how they are known; absent: unknown.
    pub context_window: Option<(u32, WindowSource)>,
    /// Whether it can call tools; absent: unknown.
    pub tools: Option<bool>,
    /// Whether it can see images; absent: unknown.
    pub images: Option<bool>,
}

impl Model {
    /// One whose process is a server's own, of which no more is known than its name.
    pub fn local(name: String) -> Self {
        Model {
            id: format!("{LOCAL_PROVIDER}/{name}"),
            provider: LOCAL_PROVIDER.into(),
            name,
            local: true,
            pricing: None,
            paid_elsewhere: false,
            context_window: None,
            tools: None,
            images: None,
        }
    }

    /// Whether its tokens cost nothing.
    pub fn is_free(&self) -> bool {
        self.pricing.is_none_or(|pricing| pricing.is_free())
    }
}

/// The built-in model.
pub(super) fn demo_model() -> Model {
    Model {
        id: DEMO_MODEL.into(),
        provider: DEMO_PROVIDER.into(),
        name: "ala".into(),
        local: true,
        pricing: None,
        paid_elsewhere: false,
        context_window: None,
        tools: Some(true),
        // It says itself that it cannot.
        images: None,
    }
}

/// A model whose process is ours.
pub(super) fn local_model(local: &LocalModel) -> Model {
    let status = local.status();
    Model {
        context_window: status.window.map(|tokens| (tokens, WindowSource::Read)),
        tools: Some(status.tools),
        ..Model::local(status.name)
    }
}

/// A stored model.
pub(super) fn stored_model(provider: &Provider, model: &ProviderModel, facts: &Facts) -> Model {
    let now = Timestamp::now();
    let told = model.context_window.map(|tokens| (tokens, WindowSource::Told));
    Model {
        id: format!("{}/{}", provider.slug, model.name),
        provider: provider.slug.clone(),
        name: model.name.clone(),
        local: provider.cassette.is_some() || is_loopback(&provider.base_url),
        pricing: model.pricing,
        paid_elsewhere: provider.paid_elsewhere && model.pricing.is_none(),
        context_window: told.or_else(|| facts.context_window(now)),
        tools: facts.tools(now),
        images: facts.images(now),
    }
}

/// What is known of a stored model beside what its owner told.
pub(super) fn facts_of(model: &ProviderModel) -> Facts {
    model.facts.as_deref().map(Facts::from_text).unwrap_or_default()
}

/// What becomes of a model's facts once its provider was read; `anew` forgets what was learned by asking.
pub(super) fn taking(listed: Vec<Listed>, anew: bool) -> impl FnMut(&str, Option<String>) -> Option<String> + Send {
    move |name, text| {
        let mut facts = text.as_deref().map(Facts::from_text).unwrap_or_default();
        if anew {
            facts.forget();
        }
        let said = listed.iter().find(|listed| listed.name == name).map(|listed| listed.said.clone());
        facts.read = said.or(facts.read.take());
        Some(facts.to_text()).filter(|new| Some(new) != text.as_ref())
    }
}
