//! Cross-origin requests: off unless origins are named.
//!
//! Rule: an origin that is not named is answered as if it had not said so, and the browser keeps the answer from the
//! page. Refusing it would refuse our own pages as well, which send an `Origin` too.

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-alumia-org, user-agent, idempotency-key");
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, x-alm-session-id, x-alm-test-mode");
/// How long a browser may remember a preflight.
const PREFLIGHT_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may use the API.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Of origins such as `https://app.example.com`.
    pub fn new(origins: Vec<HeaderValue>) -> Self {
        Cors { origins }
    }

    /// The request's origin, if it is a named one.
    pub fn origin(&self, request: &Request) -> Option<HeaderValue> {
        request.headers().get(header::ORIGIN).filter(|origin| self.origins.contains(origin)).cloned()
    }

    /// Lets the page of that origin read the answer.
    pub fn allow(origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }

    /// The answer to a browser that asks before it asks.
    pub fn preflight(request: &Request) -> Option<Response> {
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        (request.method() == Method::OPTIONS && asks).then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS)
                .header(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S)
                .finish()
        })
    }
}
