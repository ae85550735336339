//! Around each operation with a row: who is refused before a byte of the body is read, and what is counted.
//!
//! Rule: a body costs memory and time, so key, scope and the rate of chats come before it. What is told again to an
//! `Idempotency-Key` is not counted: [`Gate`] is outside that layer, [`Counted`] inside.

use std::sync::Arc;

use poem::{Endpoint, Request, Response, endpoint::BoxEndpoint};
use poem_openapi::registry::Registry;

use crate::{
    error::{Error, Result},
    http::{
        auth::identity::{Identity, Speaker, app_of},
        body::Arrival,
        state::rate_limit::Left,
        wire::{
            envelope::ApiError,
            operation::{Operation, Rate},
        },
    },
};

/// Refuses those whom the operation's row refuses. The identity that was looked up for that stays with the request.
pub struct Gate {
    pub inner: BoxEndpoint<'static>,
    pub operation: Operation,
    /// Every schema a body may have.
    pub schemas: &'static Registry,
}

impl Endpoint for Gate {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let arrival = self.admit(&mut request).map_err(ApiError)?;
        request.set_data(arrival);
        self.inner.call(request).await
    }
}

impl Gate {
    /// What is to come of the body of a caller who may send one.
    fn admit(&self, request: &mut Request) -> Result<Arc<Arrival>> {
        let mut who = String::new();
        if let Some(admits) = self.operation.admits {
            who = Identity::keep(request)?.user_id().unwrap_or_default();
            admits(request)?;
            Speaker::tell(request, &who);
        }
        Ok(Arrival::new(app_of(request)?.clone(), who, self.operation.body_bytes_max, self.schemas))
    }
}

/// Counts a request towards its person's rate, or refuses it.
pub struct Counted(pub BoxEndpoint<'static>, pub Rate);

impl Endpoint for Counted {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        count(&request, self.1).map_err(ApiError)?;
        self.0.call(request).await
    }
}

fn count(request: &Request, rate: Rate) -> Result<()> {
    let who = Identity::of(request)?.user_id().ok_or_else(|| Error::internal("nobody was counted"))?;
    let app = app_of(request)?;
    let (allowance, counted) = match rate {
        Rate::Chats => app.chat_rate.take(&who),
        Rate::V1 => app.v1_rate.take(&who),
    };
    if let Some(left) = request.data::<Left>() {
        left.tell(allowance);
    }
    counted
}
