//! API keys: what a key may learn of its person's keys. Making and ending them needs a person at a browser.
//!
//! Rule: the text of a key is in the response that made it and nowhere else.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    types::{Example, MaybeUndefined},
};
use serde::Serialize;

use super::tags::Tag;
use crate::{
    error::Result,
    http::{
        auth::{Caller, Read, SteppedUp, keys_refused, owners_alone},
        body::JsonBody,
        wire::{
            check::{Checks, collapse_space, nullable},
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    key,
    money::{AMOUNT_USD_MAX, USD},
    store::keys::{self as stored, KeyChange, KeyTerms, KeysOf, OVERLAP_SECONDS_MAX},
    time::Timestamp,
};

/// An API key, without the key itself.
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
    /// The IP address that it was used from then.
    #[oai(nullable)]
    last_address: Option<String>,
    created_at: Moment,
    /// The most that it may spend in a month of UTC; `null`: no limit. A key has the limit and the month of the one that it
    /// replaced.
    #[oai(nullable)]
    monthly_limit_microcents: Option<i64>,
    spent_this_month_microcents: i64,
    /// Whose it is.
    email: String,
}

/// A new API key. It is shown only this once.
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
    /// `null`: no limit.
    #[oai(nullable)]
    monthly_limit_microcents: Option<i64>,
    /// `alm_<env>_<48 hex>`. Copy it now: it is not shown again.
    key: String,
}

/// Whether a key may spend money.
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

/// A new API key.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct KeyRequest {
    /// 1 to 120 characters.
    name: String,
    /// Default `live`.
    env: Option<Env>,
    /// Default: all of them.
    scopes: Option<Vec<Scope>>,
    expires_at: Option<Moment>,
    /// The most that it may spend in a month of UTC: 0 to 1000000000000, a million US dollars. Default: no limit. For the
    /// organization's owner alone.
    monthly_limit_microcents: Option<i64>,
}

impl Example for KeyRequest {
    fn example() -> Self {
        KeyRequest {
            name: "CI".into(),
            env: Some(Env::Test),
            scopes: Some(vec![Scope::Read, Scope::Chat]),
            expires_at: Timestamp::parse("2030-01-01T00:00:00.000Z").map(Moment),
            monthly_limit_microcents: None,
        }
    }
}

/// Changes to a key. Absent fields stay as they are.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct KeyPatch {
    /// 1 to 120 characters.
    name: Option<String>,
    /// `null`: it never expires.
    #[oai(nullable)]
    expires_at: MaybeUndefined<Moment>,
    /// 0 to 1000000000000, a million US dollars; `null`: no limit. For the organization's owner alone.
    #[oai(nullable)]
    monthly_limit_microcents: MaybeUndefined<i64>,
}

impl Example for KeyPatch {
    fn example() -> Self {
        KeyPatch {
            name: Some("CI, nightly".into()),
            expires_at: MaybeUndefined::Null,
            monthly_limit_microcents: MaybeUndefined::Value(5 * USD),
        }
    }
}

/// How to replace a key.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none, example)]
struct Rotation {
    /// How long the old key keeps working beside the new one: 0 to 604800. Default 0.
    overlap_seconds: Option<u32>,
}

impl Example for Rotation {
    fn example() -> Self {
        Rotation { overlap_seconds: Some(3_600) }
    }
}

/// The operations.
#[derive(Default)]
pub struct ApiKeys;

#[OpenApi(tag = "Tag::ApiKeys")]
impl ApiKeys {
    /// List active API keys
    ///
    /// The caller's own. `all=true` lists everyone's, for the organization's owner, signed in with a browser.
    #[oai(path = "/api-keys", method = "get", operation_id = "list_api_keys")]
    async fn list_api_keys(
        &self,
        caller: Caller<Read>,
        /// Whether to list everyone's. Default `false`.
        all: Query<Option<bool>>,
    ) -> Result<Data<Items<ApiKey>>, ApiError> {
        let whose = if all.0 == Some(true) { everyones(&caller)? } else { KeysOf::Own };
        Ok(Data::of(&Items::all(caller.org().keys(whose)?)))
    }

    /// Create an API key
    ///
    /// Requires a browser sign-in: API keys cannot create keys.
    #[oai(path = "/api-keys", method = "post", operation_id = "create_api_key")]
    async fn create_api_key(
        &self,
        caller: Caller<SteppedUp>,
        body: JsonBody<KeyRequest>,
    ) -> Result<Created<NewApiKey>, ApiError> {
        let terms = body.0.checked()?;
        if terms.monthly_limit.is_some() {
            everyones(&caller)?;
        }
        let new = key::generate(terms.env)?;
        let row = caller.org().create_key(&new, terms).await?;
        Ok(Data::of(&NewApiKey::of(row, new.text)))
    }

    /// Replace an API key
    ///
    /// The new key keeps name, scopes and expiry. The old one works until the overlap ends. Requires a browser sign-in: API keys
    /// cannot create keys.
    #[oai(path = "/api-keys/:id/rotate", method = "post", operation_id = "rotate_api_key")]
    async fn rotate_api_key(
        &self,
        caller: Caller<SteppedUp>,
        id: Path<String>,
        body: JsonBody<Rotation>,
    ) -> Result<Created<NewApiKey>, ApiError> {
        let seconds = body.0.overlap_seconds.unwrap_or(0);
        let mut checks = Checks::default();
        checks.range("overlapSeconds", seconds, 0..=OVERLAP_SECONDS_MAX);
        checks.done()?;
        let overlap = std::time::Duration::from_secs(seconds.into());
        let (row, new) = caller.org().rotate_key(id.0, KeysOf::Own, overlap, key::generate).await?;
        Ok(Data::of(&NewApiKey::of(row, new.text)))
    }

    /// Update an API key
    ///
    /// A person's own; the organization's owner changes everyone's, and the monthly limit. Requires a browser sign-in.
    #[oai(path = "/api-keys/:id", method = "patch", operation_id = "update_api_key")]
    async fn update_api_key(
        &self,
        caller: Caller<SteppedUp>,
        id: Path<String>,
        body: JsonBody<KeyPatch>,
    ) -> Result<Data<ApiKey>, ApiError> {
        let change = body.0.checked()?;
        if change.monthly_limit.is_some() {
            everyones(&caller)?;
        }
        Ok(Data::of(&caller.org().change_key(id.0, reach(&caller), change).await?.into()))
    }

    /// Revoke an API key
    ///
    /// It stops working at once, and so do the replies that it asked for or reads. The organization's owner revokes everyone's.
    /// Requires a browser sign-in.
    #[oai(path = "/api-keys/:id", method = "delete", operation_id = "delete_api_key")]
    async fn delete_api_key(&self, caller: Caller<SteppedUp>, id: Path<String>) -> Result<Data<Deleted>, ApiError> {
        caller.org().revoke_key(id.0, reach(&caller)).await?;
        caller.app.end_revoked();
        Ok(Data::deleted())
    }
}

/// Everyone's keys, if the caller may see them.
fn everyones<A>(caller: &Caller<A>) -> Result<KeysOf> {
    match (caller.is_owner, &caller.key_id) {
        (true, _) => Ok(KeysOf::Everyone),
        (false, Some(_)) => Err(keys_refused()),
        (false, None) => Err(owners_alone()),
    }
}

/// The keys that the caller may end and change.
fn reach<A>(caller: &Caller<A>) -> KeysOf {
    everyones(caller).unwrap_or(KeysOf::Own)
}

impl KeyPatch {
    fn checked(self) -> Result<KeyChange> {
        let name = self.name.as_deref().map(collapse_space);
        let expires_at = nullable(self.expires_at).map(|end| end.map(|end| end.0));
        let monthly_limit = nullable(self.monthly_limit_microcents);
        let mut checks = Checks::default();
        if let Some(name) = &name {
            checks.chars("name", name, 1..=key::NAME_CHARS_MAX);
        }
        check_later(&mut checks, expires_at.flatten());
        check_limit(&mut checks, monthly_limit.flatten());
        checks.done().map(|()| KeyChange { name, expires_at, monthly_limit })
    }
}

fn check_later(checks: &mut Checks, expires_at: Option<Timestamp>) {
    checks.that(expires_at.is_none_or(|at| at > Timestamp::now()), "expiresAt", || "must be in the future");
}

fn check_limit(checks: &mut Checks, limit: Option<i64>) {
    if let Some(limit) = limit {
        checks.range("monthlyLimitMicrocents", limit, 0..=AMOUNT_USD_MAX * USD);
    }
}

impl KeyRequest {
    fn checked(self) -> Result<KeyTerms> {
        let name = collapse_space(&self.name);
        let mut checks = Checks::default();
        checks.chars("name", &name, 1..=key::NAME_CHARS_MAX);
        checks.that(self.scopes.as_ref().is_none_or(|scopes| !scopes.is_empty()), "scopes", || "must not be empty");
        let expires_at = self.expires_at.map(|at| at.0);
        check_later(&mut checks, expires_at);
        check_limit(&mut checks, self.monthly_limit_microcents);
        checks.done().map(|()| KeyTerms {
            name,
            env: self.env.map_or(key::Env::Live, Into::into),
            scopes: self.scopes.map_or(key::Scope::ALL.to_vec(), distinct),
            expires_at,
            monthly_limit: self.monthly_limit_microcents,
        })
    }
}

/// The scopes, each once, in their usual order.
fn distinct(scopes: Vec<Scope>) -> Vec<key::Scope> {
    let asked: Vec<key::Scope> = scopes.into_iter().map(Into::into).collect();
    key::Scope::ALL.into_iter().filter(|scope| asked.contains(scope)).collect()
}

impl NewApiKey {
    fn of(row: stored::ApiKey, key: String) -> Self {
        let ApiKey { id, name, prefix, env, scopes, expires_at, created_at, monthly_limit_microcents, .. } = row.into();
        NewApiKey { id, name, prefix, env, scopes, expires_at, created_at, monthly_limit_microcents, key }
    }
}

impl From<Env> for key::Env {
    fn from(env: Env) -> Self {
        match env {
            Env::Live => key::Env::Live,
            Env::Test => key::Env::Test,
        }
    }
}

impl From<Scope> for key::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => key::Scope::Read,
            Scope::Chat => key::Scope::Chat,
            Scope::Write => key::Scope::Write,
        }
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
            last_address: key.last_address,
            created_at: key.created_at.into(),
            monthly_limit_microcents: key.monthly_limit,
            spent_this_month_microcents: key.spent_this_month,
            email: key.email,
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
