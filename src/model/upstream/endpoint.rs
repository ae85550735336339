//! Where a provider answers, and the requests it is sent.
//!
//! Rule: callers see an endpoint's name, the log its host and port, and nothing shows the rest. Keys are marked sensitive, so no
//! log of a header holds one.

use bytes::Bytes;

use super::heard::Heard;
use crate::{
    error::{Error, Result},
    model::openai::Dialect,
    outbound::{
        Whose, frames_request,
        http::{HeaderName, HeaderValue, Method, Request, Uri, header},
        is_loopback,
    },
    secret::Secret,
};

/// Where an OpenAI-compatible provider answers.
#[derive(Clone)]
pub struct Endpoint {
    /// What its organization calls it; callers read this and never the address.
    pub name: String,
    /// The API's base URL, such as `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Sent as a bearer token.
    pub api_key: Option<Secret>,
    /// Sent as they are, after ours; they may hold keys as well.
    pub headers: Vec<(String, String)>,
    /// How its models want to be asked, before anything is known of one.
    pub dialect: Dialect,
    /// Whose it is, which decides where it may be.
    pub whose: Whose,
    /// What it said last in place of a reply.
    pub heard: Heard,
}

impl Endpoint {
    /// Whether a request can be made of it.
    pub fn check(&self) -> Result<()> {
        self.request(Method::GET, "/models", Vec::new()).map(drop)
    }

    /// Whether it answers on this machine.
    pub fn is_local(&self) -> bool {
        self.whose == Whose::Ours || self.uri("").is_ok_and(|uri| is_loopback(&uri))
    }

    /// The same server outside of its `/v1`, where its own routes are.
    pub(super) fn native(&self) -> Endpoint {
        let (base, query) = self.base_url.split_at(self.base_url.find(['?', '#']).unwrap_or(self.base_url.len()));
        let base = base.trim_end_matches('/');
        Endpoint { base_url: format!("{}{query}", base.strip_suffix("/v1").unwrap_or(base)), ..self.clone() }
    }

    /// The port of the base URL, if it names one.
    pub(super) fn port(&self) -> Option<u16> {
        self.uri("").ok()?.port_u16()
    }

    /// What sentences call it.
    pub(super) fn who(&self) -> String {
        match self.whose {
            Whose::Ours => "the local model".to_owned(),
            Whose::Operators | Whose::Owners => format!("the provider {}", self.name),
        }
    }

    /// The host and port of the base URL, for the log.
    pub(super) fn authority(&self) -> Result<String> {
        let uri = self.uri("")?;
        let host = uri.host().unwrap_or_default();
        Ok(uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    /// The base URL's own query stays behind `path`: some deployments are told apart by it.
    fn uri(&self, path: &str) -> Result<Uri> {
        let base = self.base_url.split('#').next().unwrap_or_default();
        let (base, query) = base.split_at(base.find('?').unwrap_or(base.len()));
        let uri = format!("{}{path}{query}", base.trim_end_matches('/')).parse::<Uri>().ok();
        uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && has_authority(uri)).ok_or_else(|| {
            Error::ModelUnavailable("the provider's base URL is not an http:// or https:// URL: correct it".into())
        })
    }

    /// Headers of its own that would frame the request are left out: rows of earlier versions may have some.
    pub(super) fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Request<Bytes>> {
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.uri(path)?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let unfit = |what: &str| {
            Error::ModelUnavailable(format!("{what} of the provider {} that HTTP does not allow", self.name))
        };
        if let Some(key) = &self.api_key {
            // Only what every server reads alike: bytes beyond ASCII have no meaning in a header.
            let bearer = Some(key.expose()).filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()));
            let bearer = bearer.and_then(|key| HeaderValue::try_from(format!("Bearer {key}")).ok());
            headers.insert(header::AUTHORIZATION, bearer.ok_or_else(|| unfit("there is a character in the API key"))?);
        }
        for (name, value) in self.headers.iter().filter(|(name, _)| !frames_request(name)) {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(unfit("there is a character in a header"));
            };
            headers.insert(name, value);
        }
        headers
            .iter_mut()
            .filter(|(name, _)| **name != header::CONTENT_TYPE)
            .for_each(|(_, value)| value.set_sensitive(true));
        Ok(request)
    }

    /// What it is sent and nobody is shown: its key and its headers.
    pub fn secrets(&self) -> Vec<Secret> {
        let own = self.headers.iter().map(|(_, value)| Secret::new(&**value));
        self.api_key.iter().cloned().chain(own).filter(|secret| !secret.expose().is_empty()).collect()
    }

    /// A text without the keys of this endpoint.
    pub(super) fn redacted(&self, text: &[u8]) -> String {
        let secrets = self.secrets();
        secrets
            .iter()
            .map(Secret::expose)
            .fold(String::from_utf8_lossy(text).into_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Whether there is a host, and where there is a colon behind it, a port.
fn has_authority(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else { return false };
    let behind_host = authority.as_str().rsplit(['@', ']']).next().unwrap_or_default();
    !authority.host().is_empty() && (!behind_host.contains(':') || authority.port_u16().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str) -> Endpoint {
        Endpoint {
            whose: Whose::Operators,
            name: "ollama".into(),
            base_url: base_url.into(),
            api_key: Some(Secret::new("sk-1")),
            headers: vec![("x-key".into(), "k-2".into())],
            dialect: Dialect::default(),
            heard: Heard::default(),
        }
    }

    #[test]
    fn of_a_base_url_only_host_and_port_show() {
        for (base_url, authority) in [
            ("http://127.0.0.1:11434/v1", "127.0.0.1:11434"),
            ("https://api.example.com/v1/", "api.example.com"),
            ("https://user:pass@gateway.example:8443/secret/v1", "gateway.example:8443"),
            ("http://[::1]:8000/v1", "[::1]:8000"),
        ] {
            assert_eq!(endpoint(base_url).authority().unwrap(), authority);
        }
        for base_url in ["", "127.0.0.1:11434/v1", "ftp://example.com", "http://", "/v1"] {
            assert!(endpoint(base_url).authority().is_err(), "{base_url}");
        }
    }

    #[test]
    fn a_trailing_slash_does_not_matter() {
        for base_url in ["http://h/v1", "http://h/v1/", "http://h/v1//"] {
            let request = endpoint(base_url).request(Method::GET, "/models", Vec::new()).unwrap();
            assert_eq!(request.uri(), "http://h/v1/models");
        }
    }

    #[test]
    fn the_path_goes_before_the_query_of_the_base_url() {
        for (base_url, uri) in [
            ("http://h/d1?api-version=2024-10-21", "http://h/d1/models?api-version=2024-10-21"),
            ("http://h/d1/?a=1&b=/x/", "http://h/d1/models?a=1&b=/x/"),
            ("http://h?a=1", "http://h/models?a=1"),
            ("http://h/v1#x", "http://h/v1/models"),
        ] {
            let request = endpoint(base_url).request(Method::GET, "/models", Vec::new()).unwrap();
            assert_eq!(request.uri(), uri);
        }
    }

    #[test]
    fn what_would_frame_the_request_is_left_out() {
        let own = ["Content-Length", "transfer-encoding", "HOST", "proxy-authorization", "x-own"];
        let headers = own.map(|name| (name.to_owned(), "5".to_owned())).into();
        let endpoint = Endpoint { headers, ..endpoint("http://h/v1") };
        let request = endpoint.request(Method::POST, "/chat/completions", b"{}".into()).unwrap();
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, ["content-type", "authorization", "x-own"]);
    }

    #[test]
    fn keys_never_show() {
        let endpoint = endpoint("http://h/v1");
        let request = endpoint.request(Method::GET, "/models", Vec::new()).unwrap();
        let shown = format!("{:?} {:?} {}", request, Secret::new("sk-1"), Secret::new("sk-1"));
        assert!(!shown.contains("sk-1") && !shown.contains("k-2"), "{shown}");
        assert_eq!(endpoint.redacted(b"key sk-1 or k-2?"), "key *** or ***?");
    }

    #[test]
    fn a_key_that_cannot_be_sent_is_refused_without_showing_it() {
        for key in ["sk\n1", "sk 1", "sk\u{201c}1", "sk\u{7f}1"] {
            let broken = Endpoint { api_key: Some(Secret::new(key)), ..endpoint("http://h/v1") };
            let error = broken.request(Method::GET, "/models", Vec::new()).unwrap_err().to_string();
            assert!(error.contains("API key") && !error.contains("sk"), "{error}");
        }
    }
}
