//! Where a request of this face goes, and what is said where there is nothing.
//!
//! Rule: a wrong address is told what to do. Base URLs are typed by hand.

use percent_encoding::percent_decode_str;
use poem::{
    Request,
    http::{StatusCode, header},
};

use super::error::{Fault, INVALID_REQUEST, Shape};

/// Parts of OpenAI's API that are not served, by the first words of their paths.
const ABSENT: [&str; 15] = [
    "audio",
    "images",
    "videos",
    "files",
    "uploads",
    "moderations",
    "assistants",
    "threads",
    "vector_stores",
    "batches",
    "realtime",
    "fine_tuning",
    "evals",
    "containers",
    "responses/compact",
];

/// A path's segments below `/v1`, as they were sent.
pub struct Segments<'a> {
    below: Vec<&'a str>,
}

impl<'a> Segments<'a> {
    /// Of a path with `/v1` or without; repeated and trailing slashes are none.
    pub fn of(path: &'a str) -> Self {
        let mut below: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        if below.first() == Some(&"v1") {
            below.remove(0);
        }
        Segments { below }
    }

    /// Whose clients are here.
    pub fn shape(&self) -> Shape {
        if self.below.first() == Some(&"messages") { Shape::Anthropic } else { Shape::OpenAi }
    }

    /// What a route's `{…}` stand for here, if it is the route of this path.
    pub fn params(&self, route: &str) -> Option<Vec<String>> {
        let (mut params, mut left) = (Vec::new(), &self.below[..]);
        for word in route.split('/').skip(1) {
            let (first, rest) = left.split_first()?;
            if word.ends_with("…}") {
                params.push(decoded(&left.join("/")));
                return Some(params);
            }
            if word.starts_with('{') {
                params.push(decoded(first));
            } else if word != *first {
                return None;
            }
            left = rest;
        }
        left.is_empty().then_some(params)
    }

    /// The part of OpenAI's API that is asked for and not served, if it is one.
    pub fn absent(&self) -> Option<&'static str> {
        let path = self.below.join("/");
        let is_asked = |absent: &&'static str| {
            path.strip_prefix(*absent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        ABSENT.into_iter().find(is_asked)
    }

    /// The refusal where no route is, or a WebSocket is wanted of one; `methods` are those that the path has.
    pub fn nothing_there(&self, request: &Request, methods: &str) -> Fault {
        if is_upgrade(request) {
            return method_not_allowed(if methods.is_empty() { "POST" } else { methods });
        }
        let path = self.below.join("/");
        let message = if self.below.first() == Some(&"v1") {
            "the base URL has /v1 twice: take one of them away".into()
        } else if let Some(absent) = self.absent() {
            format!("alm does not have {absent}: /openapi.json lists what there is")
        } else {
            format!("no such route: {} /v1/{path}; /openapi.json lists those there are", request.method())
        };
        Fault::not_found("unknown_url", message)
    }
}

/// The refusal of a method that a path does not have.
pub fn method_not_allowed(methods: &str) -> Fault {
    let message = format!("method not allowed: this path accepts {methods}, and no WebSocket");
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, INVALID_REQUEST, "method_not_allowed", message)
        .header(header::ALLOW, methods)
}

/// Whether a WebSocket is wanted.
pub fn is_upgrade(request: &Request) -> bool {
    request.header(header::UPGRADE).is_some_and(|protocol| protocol.trim().eq_ignore_ascii_case("websocket"))
}

/// A text with its `%2F` and the like as what they stand for.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_path_is_one_id_however_it_is_written() {
        let id = |path: &str| Segments::of(path).params("/models/{id…}").map(|ids| ids.join("|"));
        for path in [
            "/v1/models/ollama/llama3.2:3b",
            "/v1/models/ollama%2Fllama3.2:3b",
            "/models/ollama/llama3.2%3A3b",
            "/v1//models//ollama/llama3.2:3b/",
        ] {
            assert_eq!(id(path).as_deref(), Some("ollama/llama3.2:3b"), "{path}");
        }
        assert_eq!(id("/v1/models/100%/%zz%+1").as_deref(), Some("100%/%zz%+1"), "what stands for nothing is itself");
        assert_eq!((id("/v1/models"), id("/v1/other/a")), (None, None));
    }

    #[test]
    fn a_route_is_found_whole() {
        let params = |path: &str, route: &str| Segments::of(path).params(route);
        assert_eq!(params("/v1//models/", "/models"), Some(vec![]));
        assert_eq!(params("/responses/r%201/cancel", "/responses/{id}/cancel"), Some(vec!["r 1".to_owned()]));
        assert_eq!(params("/responses/r/cancel/x", "/responses/{id}/cancel"), None);
        assert_eq!(params("/responses/r", "/responses/{id}/cancel"), None);
    }

    #[test]
    fn a_path_says_whose_clients_read_its_failures() {
        let shape = |path: &str| Segments::of(path).shape();
        assert_eq!([shape("/v1/messages"), shape("/v1//messages/count_tokens")], [Shape::Anthropic; 2]);
        assert_eq!([shape("/v1/models"), shape("/v1"), shape("/v1/threads/messages")], [Shape::OpenAi; 3]);
    }

    #[test]
    fn a_wrong_address_is_told_what_to_do() {
        let said = |path: &str| Segments::of(path).nothing_there(&Request::default(), "").message;
        assert!(said("/v1/v1/models").contains("/v1 twice"));
        assert!(said("/v1/audio/speech").contains("alm does not have audio"));
        assert!(said("/responses/compact").contains("alm does not have responses/compact"));
        assert!(said("/v1/audiox").contains("no such route: GET /v1/audiox"));
    }
}
