//! What a handler of this face gets: a caller who may, the path's own words, and a body within its bounds.
//!
//! Rule: when its client is gone, a handler and the body of its response are dropped, unless an `Idempotency-Key` asks for the
//! work to run to its end. So dropping is stopping.

use poem::{
    Endpoint, Request, RequestBody, Response,
    http::{Method, StatusCode, header},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::{Fault, INVALID_REQUEST};
use crate::{
    error::Error,
    http::{
        auth::{self, Access, Caller},
        body::{self, HistoryBody},
    },
};

/// What the path says beside the route's own words, percent-decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(pub Vec<String>);

/// One request that a handler answers.
pub struct Call<A> {
    pub caller: Caller<A>,
    pub params: Vec<String>,
    request: Request,
    body: RequestBody,
}

impl<A: Access> Call<A> {
    /// Of a request that has passed the layers around its route.
    fn of(request: Request) -> Result<Self, Error> {
        let caller = auth::identify::<A>(&request)?;
        if request.method() == Method::POST {
            caller.app.refuse_while_draining()?;
        }
        let params = request.data::<Params>().cloned().unwrap_or_default().0;
        let (request, body) = request.split();
        Ok(Call { caller, params, request, body })
    }
}

impl<A> Call<A> {
    /// A header, if it is there and can be read.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// What the query says.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        Ok(self.request.params().map_err(|error| Error::BadRequest(format!("the query: {error}")))?)
    }

    /// The JSON object that was posted.
    pub async fn body(&mut self) -> Result<HistoryBody<Map<String, Value>>, Fault> {
        let encoding = self.request.header(header::CONTENT_ENCODING).map_or("", str::trim);
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            let text = format!("send the body as it is, without `Content-Encoding: {encoding}`");
            return Err(Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, None, text));
        }
        body::object(&self.request, &mut self.body).await.map_err(|error| match error {
            Error::BadRequest(text) => Fault::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, "invalid_json", text),
            error => error.into(),
        })
    }
}

/// A handler, as an endpoint.
pub(super) struct Handler<A, F>(pub fn(Call<A>) -> F);

impl<A, F> Endpoint for Handler<A, F>
where
    A: Access + 'static,
    F: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let call = Call::of(request).map_err(Fault::from)?;
        Ok((self.0)(call).await?)
    }
}
