//! Cross-origin requests: off unless origins are named.
//!
//! Rule: an origin that is not named is answered as if it had not said so, and the browser keeps the answer from the
//! page. Refusing it would refuse our own pages as well, which send an `Origin` too.

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

use crate::{
    error::{Error, Result},
    http::wire::face,
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-alumia-org, user-agent, idempotency-key");
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, x-alm-session-id, x-alm-test-mode");
/// What clients of the OpenAI-compatible face read besides.
const V1_RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "x-request-id, openai-processing-ms, openai-version, x-alm-model, x-alm-test-mode, x-alm-session-id, x-alm-ignored, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, retry-after, x-should-retry, request-id",
);
/// The names of headers that a preflight may ask for; one that asks for more is told those that everybody may send.
const ASKED_BYTES_MAX: usize = 2 * 1024;
/// How long a browser may remember a preflight.
const PREFLIGHT_AGE_S: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may use the APIs.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    /// Whether any page may use the OpenAI-compatible face, whose callers are known by a key that no browser sends by itself.
    opens_v1: bool,
}

impl Cors {
    /// Of origins such as `https://app.example.com`.
    pub fn new(origins: Vec<HeaderValue>, opens_v1: bool) -> Self {
        Cors { origins, opens_v1 }
    }

    /// Named origins, and `*` for any on the OpenAI-compatible face.
    pub fn parse(origins: &[String]) -> Result<Self> {
        let (any, named): (Vec<_>, Vec<_>) = origins.iter().partition(|origin| *origin == "*");
        let parse = |origin: &String| {
            let whole = origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
            let wrong =
                || Error::invalid("cors_origin", format!("{origin} is not an origin such as https://app.example.com"));
            if whole { origin.parse().map_err(|_| wrong()) } else { Err(wrong()) }
        };
        Ok(Cors::new(named.into_iter().map(parse).collect::<Result<_>>()?, !any.is_empty()))
    }

    /// The request's origin, if its pages may read the answer.
    pub fn origin(&self, request: &Request) -> Option<HeaderValue> {
        let is_open = self.opens_v1 && face::is_openai(request.uri().path());
        request.headers().get(header::ORIGIN).filter(|origin| is_open || self.origins.contains(origin)).cloned()
    }

    /// Lets the page of that origin read the answer.
    pub fn allow(origin: HeaderValue, path_is_openai: bool, headers: &mut HeaderMap) {
        let exposed = if path_is_openai { V1_RESPONSE_HEADERS } else { RESPONSE_HEADERS };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }

    /// The answer to a browser that asks before it asks. SDKs send headers without end, so those of the OpenAI-compatible face may
    /// send what they name.
    pub fn preflight(request: &Request) -> Option<Response> {
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let asked = asked.filter(|asked| face::is_openai(request.uri().path()) && are_names(asked.as_bytes()));
        (request.method() == Method::OPTIONS && asks).then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.cloned().unwrap_or(REQUEST_HEADERS))
                .header(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE_S)
                .finish()
        })
    }
}

/// Whether it is names of headers, with commas between them, and not too many.
fn are_names(asked: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~, ".contains(byte);
    asked.len() <= ASKED_BYTES_MAX && asked.iter().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, names: &str) -> String {
        let request = Request::builder().method(Method::OPTIONS).uri_str(path);
        let request =
            request.header("access-control-request-method", "POST").header("access-control-request-headers", names);
        let answer = Cors::preflight(&request.finish()).unwrap();
        answer.headers()["access-control-allow-headers"].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_preflight_of_v1_may_name_what_it_likes_up_to_a_bound() {
        let names = "authorization, x-stainless-os,x-stainless-lang";
        assert_eq!(asked("/v1/chat/completions", names), names);
        assert_ne!(asked("/api/v1/chat", names), names);
        assert_ne!(asked("/v1/models", "x: y"), "x: y");
        for (bytes, given) in [(ASKED_BYTES_MAX - 1, true), (ASKED_BYTES_MAX, true), (ASKED_BYTES_MAX + 1, false)] {
            let names = "x".repeat(bytes);
            assert_eq!(asked("/v1/models", &names) == names, given, "{bytes}");
        }
    }

    #[test]
    fn a_star_opens_v1_and_nothing_else() {
        let origin = |cors: &Cors, path: &str, origin: &str| {
            cors.origin(&Request::builder().uri_str(path).header("origin", origin).finish()).is_some()
        };
        let (open, named) =
            (Cors::new(vec![], true), Cors::new(vec![HeaderValue::from_static("https://a.example")], false));
        for other in ["https://b.example", "null", "app://obsidian.md"] {
            assert!(origin(&open, "/v1/models", other) && origin(&open, "/models", other), "{other}");
            assert!(!origin(&open, "/api/v1/models", other) && !origin(&open, "/mcp", other), "{other}");
            assert!(!origin(&named, "/v1/models", other), "{other}");
        }
        assert!(
            origin(&named, "/v1/models", "https://a.example") && origin(&named, "/api/v1/models", "https://a.example")
        );
    }
}
