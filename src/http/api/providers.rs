//! Providers: where an organization's models come from. A key reads them; their owner at a browser changes them.
//!
//! Rule: a provider's key and headers are written and never read.

mod shown; // as it is read
mod tested; // what a test found

use std::collections::BTreeMap;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::{Example, MaybeUndefined},
};
use serde::Serialize;

use self::{
    shown::{Provider, ProviderKind},
    tested::ProviderTest,
};
use super::{
    models::{ListedModel, read_models},
    tags::Tag,
};
use crate::{
    catalog::{self, NewCredential, PRESETS},
    error::{Error, Result},
    http::{
        auth::{Caller, Owner, OwnerSteppedUp, Read},
        body::JsonBody,
        wire::{
            check::nullable,
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
        },
    },
    secret::{PROVIDER_VARIABLE_PREFIX, Secret, trimmed},
    store::providers as stored,
};

/// A new provider.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct NewProvider {
    slug: String,
    kind: ProviderKind,
    /// The API's base URL, such as `http://127.0.0.1:11434/v1`. Known for the usual slugs.
    base_url: Option<String>,
    /// Sealed at rest and never shown.
    api_key: Option<String>,
    /// Instead of a key: an environment variable of the server whose name begins with `ALM_PROVIDER_`.
    api_key_env: Option<String>,
    /// Extra request headers. They are never shown, but not sealed: put keys in `apiKey`.
    headers: Option<BTreeMap<String, String>>,
    /// Default: none. `POST /providers/{id}/refresh` fetches the provider's list.
    models: Option<Vec<ListedModel>>,
    /// Whether its models without a price are paid for in another place. A word for people: nothing is refused for it.
    paid_elsewhere: Option<bool>,
    /// Whether a system message may stand anywhere in a conversation. Default: as is known of its address.
    system_anywhere: Option<bool>,
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
            models: Some(vec![ListedModel {
                id: "llama3.2:3b".into(),
                pricing: None,
                context_window: Some(131_072),
                offered: None,
            }]),
            paid_elsewhere: None,
            system_anywhere: None,
        }
    }
}

/// Changes to a provider. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct ProviderPatch {
    base_url: Option<String>,
    api_key: Option<String>,
    api_key_env: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    /// Replaced as a whole.
    models: Option<Vec<ListedModel>>,
    paid_elsewhere: Option<bool>,
    /// `null`: as is known of its address.
    #[oai(nullable)]
    system_anywhere: MaybeUndefined<bool>,
}

impl Example for ProviderPatch {
    fn example() -> Self {
        ProviderPatch {
            base_url: Some("http://127.0.0.1:11434/v1".into()),
            api_key: None,
            api_key_env: None,
            headers: None,
            models: None,
            paid_elsewhere: None,
            system_anywhere: MaybeUndefined::Undefined,
        }
    }
}

/// A well-known provider and its address.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "ProviderPreset", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct Preset {
    slug: String,
    /// Its display name.
    name: String,
    base_url: String,
    /// Whether it runs on the server's own machine.
    local: bool,
}

/// A model server that runs on this machine and is not connected yet.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct LocalServer {
    slug: String,
    name: String,
    base_url: String,
    /// Under its own names.
    models: Vec<String>,
    /// Whether it is still loading its model, which is then not listed yet.
    is_loading: bool,
}

/// The operations.
#[derive(Default)]
pub struct Providers;

#[OpenApi(tag = "Tag::Models")]
impl Providers {
    /// List providers
    #[oai(path = "/providers", method = "get", operation_id = "list_providers")]
    async fn list_providers(&self, caller: Caller<Read>) -> Result<Data<Items<Provider>>, ApiError> {
        Ok(Data::of(&Items::all(caller.org().providers()?)))
    }

    /// List well-known providers
    #[oai(path = "/providers/presets", method = "get", operation_id = "list_provider_presets")]
    async fn list_provider_presets(&self, _caller: Caller<Read>) -> Result<Data<Items<Preset>>, ApiError> {
        Ok(Data::of(&Items::all(PRESETS.iter().collect())))
    }

    /// Look for model servers on this machine
    ///
    /// Tries the usual ports of Ollama, llama.cpp, LM Studio and vLLM on 127.0.0.1, for at most a second. Lists the servers that
    /// respond and are not connected yet. Requires the owner, signed in with a browser.
    #[oai(path = "/providers/local", method = "get", operation_id = "list_local_servers")]
    async fn list_local_servers(&self, caller: Caller<Owner>) -> Result<Data<Items<LocalServer>>, ApiError> {
        let known = caller.org().providers()?;
        let mut found = caller.app.catalog.local_servers().await;
        found.retain(|found| known.iter().all(|known| known.base_url != found.base_url));
        let mut taken: Vec<_> = known.into_iter().map(|known| known.slug).collect();
        let offer = |found: catalog::LocalServer| {
            let slug = free_slug(found.preset.slug, &taken);
            taken.push(slug.clone());
            let catalog::LocalServer { preset, base_url, models, is_loading } = found;
            LocalServer { slug, name: preset.name.into(), base_url: base_url.into(), models, is_loading }
        };
        Ok(Data::of(&Items::all(found.into_iter().map(offer).collect::<Vec<_>>())))
    }

    /// Add a provider
    ///
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/providers", method = "post", operation_id = "create_provider")]
    async fn create_provider(
        &self,
        caller: Caller<OwnerSteppedUp>,
        body: JsonBody<NewProvider>,
    ) -> Result<Created<Provider>, ApiError> {
        let provider = caller.app.catalog.prepare(body.0.try_into()?)?;
        let made = caller.org().create_provider(provider).await?;
        caller.app.catalog.read_new(&caller.tenant, &made).await?;
        Ok(Data::of(&made.into()))
    }

    /// Get a provider
    #[oai(path = "/providers/:id", method = "get", operation_id = "get_provider")]
    async fn get_provider(
        &self,
        caller: Caller<Read>,
        /// The provider's id or slug.
        id: Path<String>,
    ) -> Result<Data<Provider>, ApiError> {
        Ok(Data::of(&caller.org().provider(&id)?.into()))
    }

    /// Update a provider
    ///
    /// Key and headers belong to one host: when the host changes, send both again. Requires the owner, signed in with a browser.
    #[oai(path = "/providers/:id", method = "patch", operation_id = "update_provider")]
    async fn update_provider(
        &self,
        caller: Caller<OwnerSteppedUp>,
        /// The provider's id or slug.
        id: Path<String>,
        body: JsonBody<ProviderPatch>,
    ) -> Result<Data<Provider>, ApiError> {
        let (change, catalog) = (body.0.try_into()?, caller.app.catalog.clone());
        let changed =
            caller.org().update_provider(id.0, move |provider| catalog.change_by_owner(provider, change)).await?;
        Ok(Data::of(&changed.into()))
    }

    /// Delete a provider, its key and its models
    ///
    /// Requires the owner, signed in with a browser.
    #[oai(path = "/providers/:id", method = "delete", operation_id = "delete_provider")]
    async fn delete_provider(
        &self,
        caller: Caller<OwnerSteppedUp>,
        /// The provider's id or slug.
        id: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        caller.org().delete_provider(id.0).await?;
        Ok(Data::deleted())
    }

    /// Test a provider
    ///
    /// Connects, lists its models and streams a short reply. A failure is a 502 that says why; its `details` have the `model`, and
    /// as `upstreamSaid` what the provider said, without secrets. Requires the owner, signed in with a browser.
    #[oai(path = "/providers/:id/test", method = "post", operation_id = "test_provider")]
    async fn test_provider(
        &self,
        caller: Caller<Owner>,
        /// The provider's id or slug.
        id: Path<String>,
        /// The model to ask, as the provider names it. Default: the first that is offered.
        model: Query<Option<String>>,
    ) -> Result<Data<ProviderTest>, ApiError> {
        let provider = caller.org().provider(&id)?;
        Ok(Data::of(&caller.app.catalog.test(&caller.tenant, &provider, model.0).await?.into()))
    }

    /// Refresh a provider's models
    ///
    /// Fetches the provider's own list. Known prices and context windows are kept. Requires the owner, signed in with a browser.
    #[oai(path = "/providers/:id/refresh", method = "post", operation_id = "refresh_provider")]
    async fn refresh_provider(
        &self,
        caller: Caller<OwnerSteppedUp>,
        /// The provider's id or slug.
        id: Path<String>,
    ) -> Result<Data<Provider>, ApiError> {
        let listed = caller.app.catalog.read_models(&caller.org().provider(&id)?).await?;
        let catalog = caller.app.catalog.clone();
        let take_over = move |provider: &mut stored::Provider| catalog.take_over(provider, listed);
        Ok(Data::of(&caller.org().update_provider(id.0, take_over).await?.into()))
    }
}

impl TryFrom<NewProvider> for catalog::NewProvider {
    type Error = Error;

    fn try_from(new: NewProvider) -> Result<Self> {
        match new.kind {
            ProviderKind::OpenaiCompatible => {}
            ProviderKind::Cassette => {
                let message = "a cassette is added on the machine: alm providers add --cassette FILE".into();
                return Err(Error::Forbidden { message, step_up: false });
            }
            ProviderKind::Demo => {
                return Err(Error::invalid("kind", "must be openai-compatible: the built-in provider always exists"));
            }
        }
        Ok(catalog::NewProvider {
            slug: new.slug,
            base_url: new.base_url,
            key: key_of(new.api_key, new.api_key_env)?,
            headers: new.headers.unwrap_or_default().into_iter().collect(),
            models: read_models(new.models.unwrap_or_default())?,
            paid_elsewhere: new.paid_elsewhere.unwrap_or(false),
            system_anywhere: new.system_anywhere,
        })
    }
}

impl TryFrom<ProviderPatch> for catalog::ProviderChange {
    type Error = Error;

    fn try_from(patch: ProviderPatch) -> Result<Self> {
        Ok(catalog::ProviderChange {
            base_url: patch.base_url,
            key: key_of(patch.api_key, patch.api_key_env)?,
            headers: patch.headers.map(|headers| headers.into_iter().collect()),
            models: patch.models.map(read_models).transpose()?,
            paid_elsewhere: patch.paid_elsewhere,
            system_anywhere: nullable(patch.system_anywhere),
        })
    }
}

/// An owner at a browser is not always the server's operator, who alone may name any variable (`alm providers add`): what else is in
/// the environment could be sent to a host of the owner's choice.
fn key_of(text: Option<String>, variable: Option<String>) -> Result<Option<NewCredential>> {
    let said = |field: Option<String>| field.map(|text| trimmed(&text).to_owned()).filter(|text| !text.is_empty());
    let (text, variable) = (said(text), said(variable));
    match (text, variable) {
        (Some(_), Some(_)) => Err(Error::invalid("apiKeyEnv", "must not be given with apiKey")),
        (Some(text), None) => Ok(Some(NewCredential::Text(Secret::new(text)))),
        (None, Some(name)) if !name.starts_with(PROVIDER_VARIABLE_PREFIX) => {
            Err(Error::invalid("apiKeyEnv", format!("must begin with {PROVIDER_VARIABLE_PREFIX}")))
        }
        (None, variable) => Ok(variable.map(NewCredential::Variable)),
    }
}

impl From<&catalog::Preset> for Preset {
    fn from(preset: &catalog::Preset) -> Self {
        Preset {
            slug: preset.slug.into(),
            name: preset.name.into(),
            base_url: preset.base_url.into(),
            local: catalog::is_loopback(preset.base_url),
        }
    }
}

/// The slug itself, or the first of `slug-2`, `slug-3`, … that no provider has.
fn free_slug(slug: &str, taken: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{slug}-{number}"));
    std::iter::once(slug.to_owned()).chain(numbered).find(|slug| !taken.contains(slug)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::free_slug;

    #[test]
    fn a_server_is_offered_under_the_next_free_slug() {
        let taken = |slugs: &[&str]| slugs.iter().map(|slug| (*slug).to_owned()).collect::<Vec<_>>();
        let cases = [(&[][..], "ollama"), (&["ollama"], "ollama-2"), (&["ollama", "ollama-2", "ollama-4"], "ollama-3")];
        for (slugs, free) in cases {
            assert_eq!(free_slug("ollama", &taken(slugs)), free);
        }
    }
}
