//! What the page `/invite` asks: what a link opens, and to go in.
//!
//! Rule: a code that opens nothing is one response, whatever became of its invitation. Rule: a password is checked here as where
//! people sign in, and with the same patience.

use std::time::Instant;

use poem::Request;
use poem_openapi::{Object, OpenApi, types::Example};
use serde::Serialize;

use super::{
    sign_in::{self, EXAMPLE_PASSWORD, Me, Role},
    tags::Tag,
};
use crate::{
    error::{Error, Result},
    http::{
        auth::cookie::WithCookie,
        body::JsonBody,
        state::App,
        wire::{
            data::{Created, Data},
            envelope::ApiError,
            moment::Moment,
        },
    },
    key, password,
    store::invitations::{self, Invited, Proof},
};

/// The code of a link.
#[derive(Debug, Object)]
#[oai(example)]
struct Code {
    /// The part after `#`.
    code: String,
}

impl Example for Code {
    fn example() -> Self {
        Code { code: "0123456789abcdef".repeat(4) }
    }
}

/// The code of a link, and a password.
#[derive(Debug, Object)]
#[oai(example)]
struct Joiner {
    /// The part after `#`.
    code: String,
    /// The person's own if they have one; else the one they choose, of at least 8 characters.
    password: String,
}

impl Example for Joiner {
    fn example() -> Self {
        Joiner { code: "0123456789abcdef".repeat(4), password: EXAMPLE_PASSWORD.into() }
    }
}

/// What a link opens.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
struct InvitationShown {
    org_slug: String,
    /// The address of who is invited.
    email: String,
    role: Role,
    /// Whether they have a password here, and sign in with it.
    has_password: bool,
    expires_at: Moment,
}

/// The operations.
#[derive(Default)]
pub struct Joining;

#[OpenApi(tag = "Tag::SignIn")]
impl Joining {
    /// Show what an invitation opens
    #[oai(path = "/auth/invitation", method = "post", operation_id = "show_invitation")]
    async fn show_invitation(
        &self,
        request: &Request,
        JsonBody(asked): JsonBody<Code>,
    ) -> Result<Data<InvitationShown>, ApiError> {
        let invited = opened(sign_in::visited(request)?, request, &asked.code)?;
        Ok(Data::of(&InvitationShown {
            org_slug: invited.org_slug,
            email: invited.email,
            role: invited.role.into(),
            has_password: invited.password_hash.is_some(),
            expires_at: invited.expires_at.into(),
        }))
    }

    /// Accept an invitation and sign in
    ///
    /// The link opens no more. Who has a password here gives it; who has none chooses one.
    #[oai(path = "/auth/join", method = "post", operation_id = "accept_invitation")]
    async fn accept_invitation(
        &self,
        request: &Request,
        JsonBody(asked): JsonBody<Joiner>,
    ) -> Result<WithCookie<Created<Me>>, ApiError> {
        let app = sign_in::visited(request)?;
        let invited = opened(app, request, &asked.code)?;
        let (hash, proof) = match invited.password_hash {
            Some(known) => {
                let network = app.proxies.client_network(request);
                let attempt = app.throttle.begin(network, Some(&invited.email), Instant::now())?;
                if !sign_in::verify(app, attempt, asked.password, Some(known.clone())).await? {
                    return Err(Error::invalid("password", "is wrong").into());
                }
                (known.clone(), Proof::Checked(known))
            }
            None => {
                password::check("password", &asked.password)?;
                let chosen = app.hashing.run(move || password::hash(&asked.password)).await?;
                (chosen.clone(), Proof::Chosen(chosen))
            }
        };
        let user_id = app.store.join(key::hash(&asked.code), proof).await?;
        let (me, cookie) = sign_in::begin(app, request, user_id, Some(hash)).await?;
        Ok(WithCookie(Data::of(&me), cookie))
    }
}

/// What a code opens. Whoever guesses waits.
fn opened(app: &App, request: &Request, code: &str) -> Result<Invited> {
    let attempt = app.throttle.begin(app.proxies.client_network(request), None, Instant::now())?;
    let invited = app.store.invited(&key::hash(code))?.ok_or_else(invitations::closed)?;
    attempt.succeeded();
    Ok(invited)
}
