//! Signing in with a browser, and what a person sees and ends of it.
//!
//! Rule: a wrong password and an unknown address are one response, after the same time. Rule: the cookie's value is in `Set-Cookie`
//! and in the requests of that browser; what is kept and shown of it is an id.

use std::{sync::Arc, time::Instant};

use poem::{
    Request,
    http::{HeaderValue, header},
};
use poem_openapi::{Enum, Object, OpenApi, param::Path, types::Example};
use serde::Serialize;

use super::tags::Tag;
use crate::{
    error::{Error, Result},
    http::{
        auth::{
            Person,
            cookie::{self, WithCookie},
            identity::app_of,
        },
        body::JsonBody,
        state::{App, setup_code, throttle::Attempt},
        wire::{
            check::Checks,
            data::{Created, Data, Deleted, Items},
            envelope::ApiError,
            moment::Moment,
        },
    },
    id, key,
    model::cassette::Recorder,
    password,
    store::{
        orgs,
        sign_ins::{self as stored, SignIn},
        via::Via,
    },
};

/// What is kept of a browser's own description, in characters.
const USER_AGENT_CHARS_MAX: usize = 200;
/// What an example says; a server has no such person unless somebody makes them.
pub(super) const EXAMPLE_EMAIL: &str = "you@example.com";
pub(super) const EXAMPLE_PASSWORD: &str = "correct horse battery staple";

/// The first organization of a server, and its owner.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
struct Setup {
    /// The part after `#` of the link that the server printed.
    code: String,
    /// Lower-case letters and digits, words joined by hyphens.
    org_slug: String,
    /// The owner's e-mail address.
    email: String,
    /// At least 8 characters. Longer is better.
    password: String,
}

impl Example for Setup {
    fn example() -> Self {
        let (email, password) = (EXAMPLE_EMAIL.into(), EXAMPLE_PASSWORD.into());
        Setup { code: "0123456789abcdef".repeat(4), org_slug: "acme".into(), email, password }
    }
}

/// An e-mail address and its password.
#[derive(Debug, Object)]
#[oai(example)]
struct Login {
    email: String,
    password: String,
}

impl Example for Login {
    fn example() -> Self {
        Login { email: EXAMPLE_EMAIL.into(), password: EXAMPLE_PASSWORD.into() }
    }
}

/// The password of the signed-in person.
#[derive(Debug, Object)]
#[oai(example)]
struct StepUp {
    password: String,
}

impl Example for StepUp {
    fn example() -> Self {
        StepUp { password: EXAMPLE_PASSWORD.into() }
    }
}

/// A new password.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
struct PasswordChange {
    current_password: String,
    /// At least 8 characters.
    new_password: String,
}

impl Example for PasswordChange {
    fn example() -> Self {
        PasswordChange { current_password: EXAMPLE_PASSWORD.into(), new_password: EXAMPLE_PASSWORD.into() }
    }
}

/// The signed-in person, and their organizations.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub(super) struct Me {
    user: User,
    /// Without `X-Alumia-Org`, the first is used.
    orgs: Vec<Membership>,
    /// The id of this sign-in.
    sign_in_id: String,
    /// Until then, keys, money and providers can be changed without entering the password again.
    stepped_up_until: Moment,
    /// The name of the file that what people write and models answer is recorded to, if it is.
    #[oai(nullable)]
    recording: Option<String>,
}

/// A person.
#[derive(Debug, Object, Serialize)]
struct User {
    id: String,
    email: String,
}

/// A person's membership in an organization.
#[derive(Debug, Object, Serialize)]
struct Membership {
    id: String,
    slug: String,
    role: Role,
}

/// What a person may do in an organization.
#[derive(Debug, Clone, Copy, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Everything.
    Owner,
    /// Their own keys, and agents, projects and sessions.
    Member,
}

/// A signed-in browser.
#[derive(Debug, Object, Serialize)]
#[oai(rename = "SignIn", rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct SignInItem {
    id: String,
    created_at: Moment,
    /// To the minute.
    last_seen_at: Moment,
    /// The browser's `User-Agent`.
    user_agent: String,
    /// Whether it is the sign-in of this request.
    current: bool,
}

/// The operations.
#[derive(Default)]
pub struct SignIns;

#[OpenApi(tag = "Tag::SignIn")]
impl SignIns {
    /// Create a server's first organization and sign in its owner
    ///
    /// Requires the one-time code that `alm serve` printed. Once an organization exists, this is always 403.
    #[oai(path = "/auth/setup", method = "post", operation_id = "set_up")]
    async fn set_up(
        &self,
        request: &Request,
        JsonBody(asked): JsonBody<Setup>,
    ) -> Result<WithCookie<Created<Me>>, ApiError> {
        let app = visited(request)?;
        if app.store.has_org()? {
            return Err(orgs::set_up_already().into());
        }
        let attempt = app.throttle.begin(app.proxies.client_network(request), None, Instant::now())?;
        setup_code::check(app.setup.as_ref(), &asked.code)?;
        attempt.succeeded();
        let mut checks = Checks::default();
        checks.also(id::check_org_slug("orgSlug", &asked.org_slug))?;
        let email = id::plain_email(&asked.email);
        checks.also(id::check_email("email", &email))?;
        checks.also(password::check("password", &asked.password))?;
        checks.done()?;
        let hash = app.hashing.run(move || password::hash(&asked.password)).await?;
        let org = app.store.create_first_org(asked.org_slug, email, hash.clone()).await?;
        let (me, cookie) = begin(app, request, org.owner_id, Some(hash)).await?;
        Ok(WithCookie(Data::of(&me), cookie))
    }

    /// Sign in
    #[oai(path = "/auth/login", method = "post", operation_id = "log_in")]
    async fn log_in(
        &self,
        request: &Request,
        JsonBody(asked): JsonBody<Login>,
    ) -> Result<WithCookie<Data<Me>>, ApiError> {
        let app = visited(request)?;
        let attempt = app.throttle.begin(app.proxies.client_network(request), Some(&asked.email), Instant::now())?;
        let known = app.store.credentials(&asked.email)?;
        let (user_id, hash) = known.map_or((None, None), |known| (Some(known.user_id), known.password_hash));
        let right = verify(app, attempt, asked.password, hash.clone()).await?;
        let user_id = user_id.filter(|_| right).ok_or(Error::Unauthorized("e-mail address or password is wrong"))?;
        let (me, cookie) = begin(app, request, user_id, hash).await?;
        Ok(WithCookie(Data::of(&me), cookie))
    }

    /// Step up: enter the password again
    ///
    /// Changes to keys, money or providers require a password entered within the last 15 minutes.
    #[oai(path = "/auth/step-up", method = "post", operation_id = "step_up")]
    async fn step_up(&self, person: Person, JsonBody(asked): JsonBody<StepUp>) -> Result<Data<Me>, ApiError> {
        check_password(&person, asked.password).await?;
        person.own().step_up(person.sign_in.id.clone()).await?;
        let stepped_up_at = crate::time::Timestamp::now();
        Ok(Data::of(&me(&person.app, SignIn { stepped_up_at, ..person.sign_in })?))
    }

    /// Sign out
    #[oai(path = "/auth/logout", method = "post", operation_id = "log_out")]
    async fn log_out(&self, person: Person, request: &Request) -> Result<WithCookie<Data<Deleted>>, ApiError> {
        person.own().end_sign_in(person.sign_in.id.clone()).await?;
        Ok(WithCookie(Data::deleted(), cookie::forget(&person.app.cookie, request)?))
    }

    /// Get the signed-in person
    #[oai(path = "/auth/me", method = "get", operation_id = "get_me")]
    async fn get_me(&self, person: Person) -> Result<Data<Me>, ApiError> {
        Ok(Data::of(&me(&person.app, person.sign_in)?))
    }

    /// List the person's sign-ins, newest first
    #[oai(path = "/auth/sessions", method = "get", operation_id = "list_sign_ins")]
    async fn list_sign_ins(&self, person: Person) -> Result<Data<Items<SignInItem>>, ApiError> {
        let current = &person.sign_in.id;
        let shown = person.own().sign_ins()?.into_iter().map(|sign_in| SignInItem::of(sign_in, current));
        Ok(Data::of(&Items::all(shown.collect())))
    }

    /// End a sign-in
    #[oai(path = "/auth/sessions/:id", method = "delete", operation_id = "delete_sign_in")]
    async fn delete_sign_in(&self, person: Person, id: Path<String>) -> Result<Data<Deleted>, ApiError> {
        person.own().end_sign_in(id.0).await?;
        Ok(Data::deleted())
    }

    /// Change the password and end all other sign-ins
    #[oai(path = "/auth/password", method = "post", operation_id = "change_password")]
    async fn change_password(
        &self,
        person: Person,
        JsonBody(asked): JsonBody<PasswordChange>,
    ) -> Result<Data<Me>, ApiError> {
        password::check("newPassword", &asked.new_password)?;
        check_password(&person, asked.current_password).await?;
        let hash = person.app.hashing.run(move || password::hash(&asked.new_password)).await?;
        person.own().set_password(hash, Some(person.sign_in.id.clone())).await?;
        Ok(Data::of(&me(&person.app, person.sign_in)?))
    }
}

/// The server that somebody unknown speaks to, unless it is another site's page that makes them.
pub(super) fn visited(request: &Request) -> Result<&Arc<App>> {
    cookie::check_no_foreign_origin(request)?;
    app_of(request)
}

/// Whether a try was right; a password too long to be anyone's is not hashed.
pub(super) async fn verify(app: &App, attempt: Attempt<'_>, text: String, hash: Option<String>) -> Result<bool> {
    if text.len() > password::PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let right = app.hashing.run(move || Ok(password::verify(&text, hash.as_deref()))).await?;
    if right {
        attempt.succeeded();
    }
    Ok(right)
}

/// Accepts the password of whoever is signed in.
async fn check_password(person: &Person, text: String) -> Result<()> {
    let (app, email) = (&person.app, &person.sign_in.email);
    let attempt = app.throttle.begin_signed_in(&person.sign_in.id, Instant::now())?;
    let hash = app.store.credentials(email)?.and_then(|known| known.password_hash);
    if verify(app, attempt, text, hash).await? {
        return Ok(());
    }
    Err(Error::forbidden("the password is wrong"))
}

/// Begins a sign-in: what is said of it, and the cookie.
pub(super) async fn begin(
    app: &App,
    request: &Request,
    user_id: String,
    hash: Option<String>,
) -> Result<(Me, HeaderValue)> {
    let value = key::generate_token()?;
    let agent = request.header(header::USER_AGENT).unwrap_or_default();
    let agent = agent.chars().take(USER_AGENT_CHARS_MAX).collect();
    let sign_in = app.store.person(&user_id).via(Via::Browser).begin_sign_in(key::hash(&value), hash, agent).await?;
    Ok((me(app, sign_in)?, cookie::set(&app.cookie, &value, request)?))
}

fn me(app: &App, sign_in: SignIn) -> Result<Me> {
    let orgs = app.store.person(&sign_in.user_id).memberships()?;
    Ok(Me {
        stepped_up_until: sign_in.stepped_up_until().into(),
        user: User { id: sign_in.user_id, email: sign_in.email },
        orgs: orgs.into_iter().map(Into::into).collect(),
        sign_in_id: sign_in.id,
        // Where it lies is for whoever runs the server.
        recording: app.catalog.recorder().map(Recorder::file_name),
    })
}

impl SignInItem {
    fn of(sign_in: SignIn, current: &str) -> Self {
        SignInItem {
            current: sign_in.id == current,
            id: sign_in.id,
            created_at: sign_in.created_at.into(),
            last_seen_at: sign_in.last_seen_at.into(),
            user_agent: sign_in.user_agent,
        }
    }
}

impl From<stored::Membership> for Membership {
    fn from(member: stored::Membership) -> Self {
        Membership { id: member.tenant.org_id, slug: member.org_slug, role: member.role.into() }
    }
}

impl From<stored::Role> for Role {
    fn from(role: stored::Role) -> Self {
        match role {
            stored::Role::Owner => Role::Owner,
            stored::Role::Member => Role::Member,
        }
    }
}
