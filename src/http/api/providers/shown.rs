//! A provider as it is shown.
//!
//! Rule: no key, no header, and of a cassette the name of its file alone.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::{
    catalog,
    http::{api::models::ListedModel, wire::moment::Moment},
    model::cassette::name_of,
    store::providers as stored,
};

/// A source of models.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct Provider {
    id: String,
    slug: String,
    kind: ProviderKind,
    /// `null`: it plays a cassette.
    #[oai(nullable)]
    base_url: Option<String>,
    /// What it plays, if it plays a cassette.
    #[oai(nullable)]
    cassette: Option<Cassette>,
    /// Whether it runs on the server's own machine.
    local: bool,
    /// Whether a key is stored. The key itself is never shown.
    has_api_key: bool,
    /// The environment variable that holds the key instead.
    #[oai(nullable)]
    api_key_env: Option<String>,
    models: Vec<ListedModel>,
    /// Whether its models without a price are paid for in another place.
    paid_elsewhere: bool,
    /// Whether a system message may stand anywhere in a conversation; `null`: as is known of its address.
    #[oai(nullable)]
    system_anywhere: Option<bool>,
    created_at: Moment,
    updated_at: Moment,
}

/// The provider's protocol.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProviderKind {
    OpenaiCompatible,
    Cassette,
    Demo,
}

/// Recorded answers, and how they are played.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct Cassette {
    /// The file's name. Where it lies is known on the machine alone.
    file: String,
    /// Times as fast as it was recorded; 0: at once.
    speed: f64,
    /// How far an answer may be looked for: `exact`, `shape` or `nearest`.
    r#match: String,
    /// Whether tools run where the cassette has no answer of theirs.
    real_tools: bool,
}

impl From<stored::Provider> for Provider {
    fn from(provider: stored::Provider) -> Self {
        let cassette = provider.cassette.map(|cassette| Cassette {
            file: name_of(cassette.file.as_ref()),
            speed: cassette.speed,
            r#match: cassette.reach,
            real_tools: cassette.real_tools,
        });
        let base_url = cassette.is_none().then_some(&provider.base_url);
        Provider {
            local: base_url.is_none_or(|base_url| catalog::is_loopback(base_url)),
            kind: if cassette.is_some() { ProviderKind::Cassette } else { ProviderKind::OpenaiCompatible },
            base_url: base_url.map(|base_url| catalog::shown(base_url)),
            cassette,
            id: provider.id,
            slug: provider.slug,
            has_api_key: provider.api_key_sealed.is_some(),
            api_key_env: provider.api_key_env,
            models: provider.models.into_iter().map(Into::into).collect(),
            paid_elsewhere: provider.paid_elsewhere,
            system_anywhere: provider.system_anywhere,
            created_at: provider.created_at.into(),
            updated_at: provider.updated_at.into(),
        }
    }
}
