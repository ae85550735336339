//! The request that an input becomes.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    outbound::{
        frames_request,
        http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header},
    },
    secret::Secret,
    store::tools::{Body, HttpTool},
    tools::template::{Template, form},
};

/// What names a call to whoever should answer it once.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a tool sends, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its method.
    pub method: String,
    /// The URL with the input filled in.
    pub url: String,
    /// The names of the headers that the tool adds.
    pub header_names: Vec<String>,
}

/// The request for an input; the error names what does not fit.
pub(super) fn of(
    tool: &HttpTool,
    input: &Value,
    call_id: &str,
    secrets: &[(String, Secret)],
) -> Result<(Request<Bytes>, Sent), String> {
    let input = input.as_object().ok_or("the input must be an object")?;
    let method = Method::from_bytes(tool.method.as_bytes()).map_err(|_| "its method cannot be sent")?;
    let template = Template::parse(&tool.url).map_err(|fault| format!("its URL {fault}"))?;
    let is_placed = |name: &str| template.names().any(|place| place == name);
    let rest: Vec<_> =
        input.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| !is_placed(name)).collect();
    let is_in_query = matches!(method, Method::GET | Method::HEAD | Method::DELETE);
    let url = template.expand(input, if is_in_query { &rest } else { &[] })?;
    let (kind, body) = match tool.body {
        _ if is_in_query => (None, String::new()),
        Body::Json => (Some("application/json"), json_of(&rest)),
        Body::Form => (Some("application/x-www-form-urlencoded"), form(&rest)?),
        Body::None => (None, String::new()),
    };
    let mut headers = HeaderMap::new();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let plain: Map<String, Value> = serde_json::from_str(&tool.headers).map_err(|_| "its headers cannot be read")?;
    for (name, value) in &plain {
        set(&mut headers, name, value.as_str().unwrap_or_default(), false)?;
    }
    for (name, value) in secrets {
        set(&mut headers, name, value.expose(), true)?;
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        set(&mut headers, IDEMPOTENCY_KEY.as_str(), &call_id.escape_default().to_string(), false)?;
    }
    let header_names = headers.keys().map(|name| name.as_str().to_owned()).collect();
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = url.parse::<Uri>().map_err(|_| "the URL becomes too long, or none at all")?;
    *request.headers_mut() = headers;
    Ok((request, Sent { method: tool.method.clone(), url, header_names }))
}

fn set(headers: &mut HeaderMap, name: &str, value: &str, is_secret: bool) -> Result<(), String> {
    let wrong = || format!("its header {name} cannot be sent");
    if frames_request(name) {
        return Err(wrong());
    }
    let key = HeaderName::try_from(name).map_err(|_| wrong())?;
    let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
    value.set_sensitive(is_secret);
    headers.insert(key, value);
    Ok(())
}

fn json_of(rest: &[(&str, &Value)]) -> String {
    Value::Object(rest.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect::<Map<_, _>>())
        .to_string()
}
