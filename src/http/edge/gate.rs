//! Around each operation with a row: who is refused before a byte of the body is read, and what is counted.
//!
//! Rule: a body costs memory and time, so key, scope and the rate of chats come before it. What is told again to an
//! `Idempotency-Key` is not counted: [`Gate`] is outside that layer, [`Counted`] inside.

use poem::{Endpoint, Request, Response, endpoint::BoxEndpoint};

use crate::{
    error::{Error, Result},
    http::{
        auth::identity::{Identity, app_of},
        wire::{envelope::ApiError, operation::Operation},
    },
};

/// Refuses whoever the operation's row refuses. The identity that was looked up for that stays with the request.
pub struct Gate {
    pub inner: BoxEndpoint<'static>,
    pub operation: Operation,
}

impl Endpoint for Gate {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        Identity::keep(&mut request).and_then(|_| (self.operation.admits)(&request)).map_err(ApiError)?;
        self.inner.call(request).await
    }
}

/// Counts a request towards its person's rate of chats, or refuses it.
pub struct Counted(pub BoxEndpoint<'static>);

impl Endpoint for Counted {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        count(&request).map_err(ApiError)?;
        self.0.call(request).await
    }
}

fn count(request: &Request) -> Result<()> {
    let (_, tenant) = Identity::of(request)?.speaker().ok_or_else(|| Error::internal("nobody was counted"))?;
    app_of(request)?.chat_rate.count(&tenant.user_id)
}
