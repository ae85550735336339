//! Who is calling, looked up once for each request.
//!
//! Rule: the first to ask puts the identity into the request's data; later readers find it there.
//! Deliberately absent: permissions. `access.rs` decides them.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use poem::Request;

use super::cookie;
use crate::{
    error::{Error, Result},
    http::state::App,
    key,
    store::{
        Store, Tenant,
        keys::KeyHolder,
        sign_ins::{Membership, SignIn},
    },
    time::Timestamp,
};

/// The precision of a key's last use.
const KEY_USE_PRECISION: Duration = Duration::from_secs(60);
/// Names the organization a request is for.
pub const ORG_HEADER: &str = "x-alumia-org";
/// Stands in for `Authorization`.
pub const API_KEY_HEADER: &str = "x-api-key";

/// Whom a request speaks for.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The holder of a valid key.
    Key(KeyHolder),
    /// A key that is unknown, revoked or expired.
    UnknownKey,
    /// A signed-in person, and their membership in the organization of the request.
    Person(SignIn, Option<Membership>),
    /// Neither a key nor a valid sign-in.
    Nobody,
}

impl Identity {
    /// As it was found before, or looked up now.
    pub fn of(request: &Request) -> Result<Self> {
        match request.data::<Identity>() {
            Some(found) => Ok(found.clone()),
            None => Self::look_up(request),
        }
    }

    /// Looks it up and leaves it with the request.
    pub fn keep(request: &mut Request) -> Result<Self> {
        let identity = Self::of(request)?;
        if let (Some(asking), Some(who)) = (request.data::<Asking>(), identity.asking()) {
            asking.who.get_or_init(|| who);
        }
        request.set_data(identity.clone());
        Ok(identity)
    }

    /// What distinguishes this caller from others, and their organization; `None` without either.
    pub fn speaker(self) -> Option<(String, Tenant)> {
        match self {
            Identity::Key(holder) => Some((holder.key_id, holder.tenant)),
            Identity::Person(sign_in, Some(member)) => Some((sign_in.user_id, member.tenant)),
            Identity::Person(_, None) | Identity::UnknownKey | Identity::Nobody => None,
        }
    }

    /// Whose request it is, and by which key.
    fn asking(&self) -> Option<(Tenant, Option<String>)> {
        match self {
            Identity::Key(holder) => Some((holder.tenant.clone(), Some(holder.key_id.clone()))),
            Identity::Person(_, Some(member)) => Some((member.tenant.clone(), None)),
            Identity::Person(_, None) | Identity::UnknownKey | Identity::Nobody => None,
        }
    }

    /// The person, whatever they belong to.
    pub fn user_id(self) -> Option<String> {
        match self {
            Identity::Key(holder) => Some(holder.tenant.user_id),
            Identity::Person(sign_in, _) => Some(sign_in.user_id),
            Identity::UnknownKey | Identity::Nobody => None,
        }
    }

    fn look_up(request: &Request) -> Result<Self> {
        let app = app_of(request)?;
        let identity = Credential::of(request)?.identity(&app.store)?;
        if let Identity::Key(holder) = &identity {
            note_use(app, request, holder);
        }
        Ok(identity)
    }
}

/// What a request shows of who asks. What is answered for long looks it up again: keys and sign-ins end.
#[derive(Debug)]
pub enum Credential {
    /// A key, by its hash.
    Key([u8; 32]),
    /// A sign-in, by the hash of its cookie, and the organization that is named.
    SignIn([u8; 32], Option<String>),
    Nothing,
}

impl Credential {
    /// Of a request. A cookie with a foreign origin is refused.
    pub fn of(request: &Request) -> Result<Self> {
        if let Some(key) = presented_key(request) {
            return Ok(Credential::Key(key::hash(key)));
        }
        let Some(hash) = cookie_hash(app_of(request)?, request)? else { return Ok(Credential::Nothing) };
        Ok(Credential::SignIn(hash, named_org(request).map(str::to_owned)))
    }

    /// Whom it speaks for now.
    pub fn identity(&self, store: &Store) -> Result<Identity> {
        match self {
            Credential::Key(hash) => Ok(store.key_holder(hash)?.map_or(Identity::UnknownKey, Identity::Key)),
            Credential::SignIn(hash, org) => {
                let Some(sign_in) = store.sign_in(hash)? else { return Ok(Identity::Nobody) };
                let member = store.person(&sign_in.user_id).membership(org.as_deref())?;
                Ok(Identity::Person(sign_in, member))
            }
            Credential::Nothing => Ok(Identity::Nobody),
        }
    }
}

fn note_use(app: &App, request: &Request, holder: &KeyHolder) {
    let recent = |used: Timestamp| Timestamp::now().since(used) < KEY_USE_PRECISION;
    if !holder.last_used_at.is_some_and(recent) {
        let address = app.proxies.client_address(request).map(|address| address.to_string());
        app.store.note_key_use(holder.key_id.clone(), address);
    }
}

/// A request that asks a model, and whose it turned out to be: for the log of those that are refused.
#[derive(Clone)]
pub struct Asking {
    /// What the log calls its path.
    pub route: &'static str,
    who: Arc<OnceLock<(Tenant, Option<String>)>>,
}

impl Asking {
    /// One of nobody known as yet.
    pub fn at(route: &'static str) -> Self {
        Asking { route, who: Arc::default() }
    }

    /// The tenant, and the key's id; absent if nobody known asked.
    pub fn who(&self) -> Option<(Tenant, Option<String>)> {
        self.who.get().cloned()
    }
}

/// Who turned out to be calling, for those around a handler.
#[derive(Clone, Default)]
pub struct Speaker(Arc<OnceLock<String>>);

impl Speaker {
    /// Says it of a request.
    pub fn tell(request: &Request, user_id: &str) {
        if let Some(speaker) = request.data::<Speaker>() {
            speaker.0.get_or_init(|| user_id.to_owned());
        }
    }

    /// The person; empty if nobody known was let in.
    pub fn user_id(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}

/// The app, which the edge puts into every request's data.
pub fn app_of(request: &Request) -> Result<&Arc<App>> {
    request.data().ok_or_else(|| Error::internal("a handler was reached without the app around it"))
}

/// The sign-in of the request's cookie. A request with a foreign origin is refused before the look-up.
pub fn signed_in(app: &App, request: &Request) -> Result<Option<SignIn>> {
    cookie_hash(app, request)?.map_or(Ok(None), |hash| app.store.sign_in(&hash))
}

fn cookie_hash(app: &App, request: &Request) -> Result<Option<[u8; 32]>> {
    let Some(cookie) = cookie::presented(request, &app.cookie) else { return Ok(None) };
    cookie::check_origin(request)?;
    Ok(Some(key::hash(cookie)))
}

/// The key of `Authorization: Bearer`, whose scheme is case-insensitive, or of `x-api-key`.
pub fn presented_key(request: &Request) -> Option<&str> {
    key_of_bearer(request).or_else(|| key_of_alias(request))
}

/// The key of `Authorization: Bearer`. Nothing but white space is none.
pub fn key_of_bearer(request: &Request) -> Option<&str> {
    let (scheme, key) = request.header("authorization")?.trim().split_once(char::is_whitespace)?;
    Some(key.trim()).filter(|key| scheme.eq_ignore_ascii_case("bearer") && !key.is_empty())
}

/// The key of `x-api-key`.
pub fn key_of_alias(request: &Request) -> Option<&str> {
    worded(request, API_KEY_HEADER)
}

/// The organization that the request names. A variable that is not set makes an empty header, which names none.
pub fn named_org(request: &Request) -> Option<&str> {
    worded(request, ORG_HEADER)
}

fn worded<'a>(request: &'a Request, header: &str) -> Option<&'a str> {
    request.header(header).map(str::trim).filter(|value| !value.is_empty())
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
        for value in ["Basic k", "k", "Bearer ", "Bearer", ""] {
            assert_eq!(key("authorization", value), None);
        }
        let both = Request::builder().header("authorization", "Bearer ").header("x-api-key", " k ").finish();
        assert_eq!(presented_key(&both), Some("k"), "an empty one is none");
    }

    #[test]
    fn an_organization_is_named_by_what_is_not_white_space() {
        let org = |value: &str| named_org(&Request::builder().header(ORG_HEADER, value).finish()).map(str::to_owned);
        assert_eq!([org(" acme "), org(""), org("  ")], [Some("acme".into()), None, None]);
    }

    #[test]
    fn an_identity_that_was_found_is_not_looked_up_again() {
        // Without an app there is nothing to look it up in.
        let mut request = Request::builder().header("x-api-key", "k").finish();
        Identity::keep(&mut request).unwrap_err();
        request.set_data(Identity::UnknownKey);
        assert!(matches!(Identity::of(&request), Ok(Identity::UnknownKey)));
        assert!(matches!(Identity::keep(&mut request), Ok(Identity::UnknownKey)));
    }
}
