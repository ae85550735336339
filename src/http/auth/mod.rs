//! Who is calling, and what they may do.
//!
//! Rule: access is a type. A handler says `Caller<Write>` and is not reached by anyone else; it is the first argument,
//! so nothing of the request is read before. Key and cookie are looked up on every request: what was revoked has ended.
//! Rule: a key speaks for itself. The cookie is looked at only where there is none, so a key costs what it always did.
//! Deliberately absent: a cache of keys.

use std::sync::Arc;

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

pub use self::access::{
    Access, Chat, Owner, OwnerSteppedUp, Program, Read, ReadOrChat, SteppedUp, Write, keys_refused, owners_alone,
};
use self::{
    access::Shown,
    identity::{Asking, Identity, Speaker, app_of, named_org, presented_key, signed_in},
};
use crate::{
    error::{Error, Result},
    http::{
        state::App,
        wire::{envelope::ApiError, request_id::RequestId},
    },
    key::{Env, Scope},
    store::{
        self, Tenant,
        decisions::Decider,
        idempotency::Claim,
        sign_ins::{self, Role, SignIn},
        via::Via,
    },
    time::Timestamp,
};

mod access;
pub mod cookie;
pub mod identity;

/// The name of the cookie among the document's ways to say who one is.
const BY_COOKIE: &str = "signIn";

/// Someone known who has passed the check of `A`.
pub struct Caller<A> {
    pub app: Arc<App>,
    pub tenant: Tenant,
    /// Whether what they ask may cost money.
    pub env: Env,
    /// Whether they may read anything, besides what they ask for.
    pub reads: bool,
    /// Whether they may change agents and projects.
    pub writes: bool,
    /// The id of the key that speaks for them, if one does.
    pub key_id: Option<String>,
    /// Whether they are the organization's owner, at a browser.
    pub is_owner: bool,
    pub request_id: RequestId,
    /// The pattern of the path, if a model is asked there; else empty.
    pub route: &'static str,
    /// Notes what is done, if the request is to be done once.
    pub claim: Option<Claim>,
    /// The proof that they may.
    pub access: A,
}

/// A person at a browser, whatever they belong to.
pub struct Person {
    pub app: Arc<App>,
    pub sign_in: SignIn,
}

impl Person {
    /// The store as they see it.
    pub fn own(&self) -> sign_ins::Person<'_> {
        self.app.store.person(&self.sign_in.user_id).via(Via::Browser)
    }
}

impl<A> Caller<A> {
    /// The store as the caller's organization sees it.
    pub fn org(&self) -> store::Org<'_> {
        let via = if self.key_id.is_some() { Via::Key } else { Via::Browser };
        self.app.store.org(&self.tenant).via(via).once(self.claim.as_ref())
    }

    /// How they answer calls that wait for a person.
    pub fn decider(&self) -> Decider {
        let via = self.key_id.clone().unwrap_or_else(|| "sign-in".into());
        Decider { via, is_owner: self.is_owner, is_test: self.env == Env::Test }
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

    /// The same for a read of something large, of which only a few are in memory at once.
    pub async fn large<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(store::Org<'_>) -> Result<T> + Send + 'static,
    {
        let (store, tenant) = (self.app.store.clone(), self.tenant.clone());
        self.app.large.run(move || read(store.org(&tenant))).await
    }
}

impl<'a, A: Access> ApiExtractor<'a> for Caller<A> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        if A::BY_KEY {
            register_keys(registry);
        }
        register_cookie(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        if A::BY_KEY { vec!["bearer", "apiKey", BY_COOKIE] } else { vec![BY_COOKIE] }
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(identify(request).map_err(ApiError)?)
    }
}

impl<'a> ApiExtractor<'a> for Person {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        register_cookie(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![BY_COOKIE]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(identify_person(request).map_err(ApiError)?)
    }
}

fn register_keys(registry: &mut Registry) {
    let bearer = MetaSecurityScheme {
        scheme: Some("bearer"),
        bearer_format: Some("alm_<env>_<48 hex>"),
        ..scheme("http", "An API key, `alm_live_…` or `alm_test_…`.")
    };
    registry.create_security_scheme("bearer", bearer);
    let alias = MetaSecurityScheme {
        name: Some("x-api-key"),
        key_in: Some("header"),
        ..scheme("apiKey", "The same key, for clients that cannot set `Authorization`.")
    };
    registry.create_security_scheme("apiKey", alias);
}

fn register_cookie(registry: &mut Registry) {
    let cookie = MetaSecurityScheme {
        name: Some(cookie::DOCUMENTED_NAME),
        key_in: Some("cookie"),
        ..scheme(
            "apiKey",
            "A signed-in browser: `POST /api/v1/auth/login` sets the cookie. Its digits are the server's own.",
        )
    };
    registry.create_security_scheme(BY_COOKIE, cookie);
}

fn scheme(ty: &'static str, description: &'static str) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty,
        description: Some(description),
        name: None,
        key_in: None,
        scheme: None,
        bearer_format: None,
        flows: None,
        openid_connect_url: None,
    }
}

/// Refuses everyone who is no `Caller<A>`, from the head of a request alone.
pub fn admits<A: Access>(request: &Request) -> Result<()> {
    known::<A>(request).map(drop)
}

/// Who is calling, if they are a `Caller<A>`.
pub fn identify<A: Access>(request: &Request) -> Result<Caller<A>> {
    let app = app_of(request)?.clone();
    let request_id = request.data::<RequestId>().cloned();
    let request_id = request_id.ok_or_else(|| Error::internal("a handler was reached without a request id"))?;
    let claim = request.data::<Claim>().cloned();
    let Known { access, tenant, env, reads, writes, key_id, is_owner } = known(request)?;
    Speaker::tell(request, &tenant.user_id);
    let route = request.data::<Asking>().map_or("", |asking| asking.route);
    Ok(Caller { access, app, tenant, env, reads, writes, key_id, is_owner, request_id, route, claim })
}

/// Who is calling, for whom, and the proof that they may.
struct Known<A> {
    access: A,
    tenant: Tenant,
    env: Env,
    reads: bool,
    writes: bool,
    key_id: Option<String>,
    is_owner: bool,
}

fn known<A: Access>(request: &Request) -> Result<Known<A>> {
    match Identity::of(request)? {
        Identity::Nobody => Err(nobody(app_of(request)?, request, if A::BY_KEY { NO_KEY } else { NO_PERSON })),
        Identity::UnknownKey => {
            let app = app_of(request)?;
            app.failed_keys.count(&app.proxies.client_network(request))?;
            Err(Error::Unauthorized("this API key is unknown, revoked or expired"))
        }
        Identity::Person(_, None) => Err(Error::forbidden("you are not a member of that organization")),
        Identity::Person(sign_in, Some(member)) => {
            let stepped_up = Timestamp::now() < sign_in.stepped_up_until();
            let access = A::prove(Shown::Person { role: member.role, stepped_up })?;
            let is_owner = member.role == Role::Owner;
            Ok(Known {
                access,
                tenant: member.tenant,
                env: Env::Live,
                reads: true,
                writes: true,
                key_id: None,
                is_owner,
            })
        }
        Identity::Key(holder) => {
            if named_org(request).is_some_and(|slug| slug != holder.org_slug) {
                return Err(Error::forbidden(OTHER_ORG));
            }
            let access = A::prove(Shown::Key(&holder.scopes))?;
            let has = |scope| holder.scopes.contains(&scope);
            let (reads, writes) = (has(Scope::Read), has(Scope::Write));
            let key_id = Some(holder.key_id);
            Ok(Known { access, tenant: holder.tenant, env: holder.env, reads, writes, key_id, is_owner: false })
        }
    }
}

/// The refusal of a key that is another organization's.
pub const OTHER_ORG: &str = "this key belongs to a different organization than the one in X-Alumia-Org";
/// The refusal where a key would do.
const NO_KEY: &str = "send an API key: `Authorization: Bearer alm_…`, or the header `x-api-key`";
/// The refusal where only a signed-in person may go.
const NO_PERSON: &str = "sign in first: POST /api/v1/auth/login";

/// Why a caller is unknown; `otherwise` without any sign-in.
fn nobody(app: &App, request: &Request, otherwise: &'static str) -> Error {
    Error::Unauthorized(match cookie::presented(request, &app.cookie) {
        Some(_) => "this sign-in has ended: sign in again",
        None => otherwise,
    })
}

fn identify_person(request: &Request) -> Result<Person> {
    let app = app_of(request)?;
    if presented_key(request).is_some() {
        return Err(access::keys_refused());
    }
    let sign_in = signed_in(app, request)?.ok_or_else(|| nobody(app, request, NO_PERSON))?;
    Ok(Person { app: app.clone(), sign_in })
}
