//! API keys: what a key may learn of its person's keys. Making and ending them needs a person at a browser.

use poem_openapi::{Enum, Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use super::{
    Tag,
    auth::{Caller, Read, SignedIn},
    body::JsonBody,
    data::{Created, Data, Deleted, Items},
    envelope::ApiError,
    wire::Moment,
};
use crate::{key, store::keys as stored, time::Timestamp};

/// What is shown of a key.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct ApiKey {
    id: String,
    name: String,
    /// Its first 12 characters.
    prefix: String,
    env: Env,
    scopes: Vec<Scope>,
    #[oai(nullable)]
    expires_at: Option<Moment>,
    /// To the minute.
    #[oai(nullable)]
    last_used_at: Option<Moment>,
    created_at: Moment,
}

/// A key, the only time it is shown.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct NewApiKey {
    id: String,
    name: String,
    prefix: String,
    env: Env,
    scopes: Vec<Scope>,
    #[oai(nullable)]
    expires_at: Option<Moment>,
    created_at: Moment,
    /// `alm_<env>_<48 hex>`. Copy it now.
    key: String,
}

/// Whether a key may spend.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Env {
    Live,
    Test,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// Every GET.
    Read,
    /// Everything under sessions and chat; listing agents and models.
    Chat,
    /// Changing agents and projects.
    Write,
}

/// A key to make.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct KeyRequest {
    /// 1 to 120 characters.
    name: String,
    /// `live` when absent.
    env: Option<Env>,
    /// All of them when absent.
    scopes: Option<Vec<Scope>>,
    expires_at: Option<Moment>,
}

impl Example for KeyRequest {
    fn example() -> Self {
        KeyRequest {
            name: "CI".into(),
            env: Some(Env::Test),
            scopes: Some(vec![Scope::Read, Scope::Chat]),
            expires_at: Timestamp::parse("2030-01-01T00:00:00.000Z").map(Moment),
        }
    }
}

/// How to replace a key.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct Rotation {
    /// How long the old key works beside the new one, 0 to 604800; 0 when absent.
    overlap_seconds: Option<u32>,
}

impl Example for Rotation {
    fn example() -> Self {
        Rotation { overlap_seconds: Some(3_600) }
    }
}

/// The operations.
pub struct ApiKeys;

#[OpenApi(tag = "Tag::ApiKeys")]
impl ApiKeys {
    /// List the caller's live API keys
    #[oai(path = "/api-keys", method = "get", operation_id = "list_api_keys")]
    async fn list_api_keys(&self, caller: Caller<Read>) -> Result<Data<Items<ApiKey>>, ApiError> {
        Ok(Data::of(&Items::all(caller.org().keys()?)))
    }

    /// Make an API key
    ///
    /// Needs a signed-in browser session: an API key never mints keys.
    #[oai(path = "/api-keys", method = "post", operation_id = "create_api_key")]
    async fn create_api_key(
        &self,
        caller: Caller<SignedIn>,
        _body: JsonBody<KeyRequest>,
    ) -> Result<Created<NewApiKey>, ApiError> {
        match caller.access {}
    }

    /// Replace an API key
    ///
    /// Needs a signed-in browser session: an API key never mints keys.
    #[oai(path = "/api-keys/:id/rotate", method = "post", operation_id = "rotate_api_key")]
    async fn rotate_api_key(
        &self,
        caller: Caller<SignedIn>,
        #[oai(name = "id")] _id: Path<String>,
        _body: JsonBody<Rotation>,
    ) -> Result<Created<NewApiKey>, ApiError> {
        match caller.access {}
    }

    /// Revoke an API key
    ///
    /// Needs a signed-in browser session.
    #[oai(path = "/api-keys/:id", method = "delete", operation_id = "delete_api_key")]
    async fn delete_api_key(
        &self,
        caller: Caller<SignedIn>,
        #[oai(name = "id")] _id: Path<String>,
    ) -> Result<Data<Deleted>, ApiError> {
        match caller.access {}
    }
}

impl From<stored::ApiKey> for ApiKey {
    fn from(key: stored::ApiKey) -> Self {
        ApiKey {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            env: key.env.into(),
            scopes: key.scopes.into_iter().map(Into::into).collect(),
            expires_at: key.expires_at.map(Moment),
            last_used_at: key.last_used_at.map(Moment),
            created_at: key.created_at.into(),
        }
    }
}

impl From<key::Env> for Env {
    fn from(env: key::Env) -> Self {
        match env {
            key::Env::Live => Env::Live,
            key::Env::Test => Env::Test,
        }
    }
}

impl From<key::Scope> for Scope {
    fn from(scope: key::Scope) -> Self {
        match scope {
            key::Scope::Read => Scope::Read,
            key::Scope::Chat => Scope::Chat,
            key::Scope::Write => Scope::Write,
        }
    }
}
