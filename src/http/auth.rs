//! Who is calling, and what they may do.
//!
//! Rule: access is a type. A handler says `Caller<Write>` and is not reached by anyone else; it is the first argument,
//! so nothing of the request is read before. A key is looked up on every request: revoked means revoked.
//! Deliberately absent: a cache of keys, and forwarded addresses.

use std::{sync::Arc, time::Duration};

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::{App, edge::RequestId, envelope::ApiError, rate_limit::client_network};
use crate::{
    error::{Error, Result},
    key::{self, Env, Scope},
    store::{self, Tenant, idempotency::Claim, keys::KeyHolder},
    time::Timestamp,
};

/// The precision of a key's last use.
const KEY_USE_PRECISION: Duration = Duration::from_secs(60);

/// Someone known who has passed the check of `A`.
pub struct Caller<A> {
    pub app: Arc<App>,
    pub tenant: Tenant,
    /// Whether what they ask may cost money.
    pub env: Env,
    pub request_id: RequestId,
    /// Notes what is done, if the request is to be done once.
    pub claim: Option<Claim>,
    /// The proof that they may.
    pub access: A,
}

/// A kind of access: which keys have it.
pub trait Access: Sized + Send {
    /// The proof that a key of these scopes has it.
    fn prove(scopes: &[Scope]) -> Result<Self>;
}

/// Reading anything.
pub struct Read;
/// Reading what a chat is about: sessions, and the agents and models there are.
pub struct ReadOrChat;
/// Sessions and chat.
pub struct Chat;
/// Changing agents and projects.
pub struct Write;
/// What only a person may do who has signed in with a browser. There is no value of it: keys are the only proof of
/// identity so far, and no key is a person.
pub enum SignedIn {}

impl Access for Read {
    fn prove(scopes: &[Scope]) -> Result<Self> {
        one_of(&[Scope::Read], scopes).map(|()| Read)
    }
}

impl Access for ReadOrChat {
    fn prove(scopes: &[Scope]) -> Result<Self> {
        one_of(&[Scope::Read, Scope::Chat], scopes).map(|()| ReadOrChat)
    }
}

impl Access for Chat {
    fn prove(scopes: &[Scope]) -> Result<Self> {
        one_of(&[Scope::Chat], scopes).map(|()| Chat)
    }
}

impl Access for Write {
    fn prove(scopes: &[Scope]) -> Result<Self> {
        one_of(&[Scope::Write], scopes).map(|()| Write)
    }
}

impl Access for SignedIn {
    fn prove(_scopes: &[Scope]) -> Result<Self> {
        Err(Error::forbidden("this needs a signed-in browser session: an API key never may"))
    }
}

fn one_of(needed: &[Scope], scopes: &[Scope]) -> Result<()> {
    if needed.iter().any(|scope| scopes.contains(scope)) {
        return Ok(());
    }
    let words: Vec<_> = needed.iter().map(|scope| scope.as_str()).collect();
    Err(Error::forbidden(format!("this key lacks the scope {}", words.join(" or "))))
}

impl<A> Caller<A> {
    /// The store as the caller's organization sees it.
    pub fn org(&self) -> store::Org<'_> {
        self.app.store.org(&self.tenant).once(self.claim.as_ref())
    }

    /// Runs a read that may scan, on a thread of its own.
    pub async fn scan<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(store::Org<'_>) -> Result<T> + Send + 'static,
    {
        let (store, tenant) = (self.app.store.clone(), self.tenant.clone());
        self.app.bridge.run(move || read(store.org(&tenant))).await
    }
}

impl<'a, A: Access> ApiExtractor<'a> for Caller<A> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            "bearer",
            MetaSecurityScheme {
                ty: "http",
                description: Some("An API key, `alm_live_…` or `alm_test_…`."),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("alm_<env>_<48 hex>"),
                flows: None,
                openid_connect_url: None,
            },
        );
        registry.create_security_scheme(
            "apiKey",
            MetaSecurityScheme {
                ty: "apiKey",
                description: Some("The same key, for clients that cannot set `Authorization`."),
                name: Some("x-api-key"),
                key_in: Some("header"),
                scheme: None,
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer", "apiKey"]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(identify(request).map_err(ApiError)?)
    }
}

fn identify<A: Access>(request: &Request) -> Result<Caller<A>> {
    let missing = || Error::internal("a handler was reached without the app around it");
    let app: &Arc<App> = request.data().ok_or_else(missing)?;
    let request_id: &RequestId = request.data().ok_or_else(missing)?;
    let key = presented_key(request)
        .ok_or(Error::Unauthorized("send an API key: `Authorization: Bearer alm_…`, or the header `x-api-key`"))?;
    let Some(holder) = app.store.key_holder(&key::hash(key))? else {
        app.failed_keys.count(&client_network(request))?;
        return Err(Error::Unauthorized("this API key is unknown, revoked or expired"));
    };
    note_use(app, &holder);
    if request.header("x-alumia-org").is_some_and(|slug| slug != holder.org_slug) {
        return Err(Error::forbidden("this key belongs to another organization than the header X-Alumia-Org names"));
    }
    let KeyHolder { tenant, env, scopes, .. } = holder;
    let claim = request.data::<Claim>().cloned();
    Ok(Caller { access: A::prove(&scopes)?, app: app.clone(), tenant, env, request_id: request_id.clone(), claim })
}

/// Who the key of a request speaks for, if it has one that is known. Whether it may is not asked.
pub(super) fn key_holder(request: &Request) -> Result<Option<KeyHolder>> {
    let (Some(app), Some(key)) = (request.data::<Arc<App>>(), presented_key(request)) else { return Ok(None) };
    app.store.key_holder(&key::hash(key))
}

/// The key of `Authorization: Bearer`, whose scheme is case-insensitive, or of `x-api-key`.
fn presented_key(request: &Request) -> Option<&str> {
    let bearer = request.header("authorization").and_then(|value| {
        let (scheme, key) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| request.header("x-api-key").map(str::trim)).filter(|key| !key.is_empty())
}

fn note_use(app: &App, holder: &KeyHolder) {
    let fresh = |used: Timestamp| Timestamp::now().since(used) < KEY_USE_PRECISION;
    if !holder.last_used_at.is_some_and(fresh) {
        app.store.note_key_use(holder.key_id.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_case_insensitive_and_the_alias_stands_in_for_it() {
        let key = |name: &str, value: &str| {
            let request = Request::builder().header(name, value).finish();
            presented_key(&request).map(str::to_owned)
        };
        for value in ["Bearer k", "bearer k", "BEARER  k "] {
            assert_eq!(key("authorization", value).as_deref(), Some("k"));
        }
        assert_eq!(key("x-api-key", "k").as_deref(), Some("k"));
        for value in ["Basic k", "k", "Bearer ", ""] {
            assert_eq!(key("authorization", value), None);
        }
    }

    #[test]
    fn no_key_is_a_signed_in_person() {
        assert!(SignedIn::prove(&Scope::ALL).is_err());
        assert!(Read::prove(&[Scope::Chat]).is_err());
        assert!(ReadOrChat::prove(&[Scope::Chat]).is_ok());
    }
}
