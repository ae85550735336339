//! Which MCP a request speaks: with a handshake before (legacy), or complete in itself (modern).
//!
//! Rule: the request says it, not the connection: nothing is kept between two requests, in either era.
//! Rule: where headers repeat what the body says, both say the same. Whoever stands in between has read the headers alone.

use poem::http::HeaderMap;
use serde_json::{Value, json};

use super::message::{Fault, HEADER_MISMATCH, INVALID_PARAMS, Request, UNSUPPORTED_VERSION};

/// The version without a handshake.
pub const MODERN_VERSION: &str = "2026-07-28";
/// Those with one, newest first.
pub const LEGACY_VERSIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// Every version, newest first.
const VERSIONS: [&str; 4] = [MODERN_VERSION, LEGACY_VERSIONS[0], LEGACY_VERSIONS[1], LEGACY_VERSIONS[2]];

/// Names the version of a request.
const VERSION_HEADER: &str = "mcp-protocol-version";
/// Names its method; the modern era asks for it.
const METHOD_HEADER: &str = "mcp-method";
/// Names the tool that is called; the modern era asks for it.
const NAME_HEADER: &str = "mcp-name";
/// How a header begins that cannot be written as it is.
const ENCODED: &str = "=?base64?";

/// What a modern request says of itself, under `params._meta`.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// Which MCP a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Legacy,
    Modern,
}

impl Era {
    /// That of a request; a refusal if its headers and its body do not agree, or its version is none of ours.
    pub fn of(headers: &HeaderMap, request: &Request) -> Result<Self, Fault> {
        let meta = request.params.get("_meta").and_then(Value::as_object);
        let version = meta.and_then(|meta| meta.get(VERSION_KEY));
        if version.is_none() && only(headers, VERSION_HEADER)? != Some(MODERN_VERSION) {
            // The handshake settles the version in its body.
            let settles = request.method == "initialize";
            return if settles { Ok(Era::Legacy) } else { check_version(headers).map(|()| Era::Legacy) };
        }
        for key in [VERSION_KEY, CAPABILITIES_KEY] {
            if !meta.is_some_and(|meta| meta.contains_key(key)) {
                return Err(Fault::new(INVALID_PARAMS, format!("params._meta: {key} is required")));
            }
        }
        let version = version.and_then(Value::as_str);
        let version = version.ok_or_else(|| Fault::new(INVALID_PARAMS, format!("{VERSION_KEY}: must be a string")))?;
        must_say(headers, VERSION_HEADER, version)?;
        must_say(headers, METHOD_HEADER, &request.method)?;
        if let Some(name) =
            request.params.get("name").and_then(Value::as_str).filter(|_| request.method == "tools/call")
        {
            must_say(headers, NAME_HEADER, name)?;
        }
        if version == MODERN_VERSION { Ok(Era::Modern) } else { Err(unsupported(version)) }
    }
}

/// Refuses a version that is none of ours. A request that names none speaks the oldest.
pub fn check_version(headers: &HeaderMap) -> Result<(), Fault> {
    match only(headers, VERSION_HEADER)? {
        Some(version) if !VERSIONS.contains(&version) => Err(unsupported(version)),
        _ => Ok(()),
    }
}

fn unsupported(version: &str) -> Fault {
    let data = json!({ "supported": VERSIONS, "requested": version });
    Fault { data: Some(data), ..Fault::new(UNSUPPORTED_VERSION, "this version of the protocol is not supported") }
}

fn must_say(headers: &HeaderMap, name: &str, said: &str) -> Result<(), Fault> {
    let header = only(headers, name)?;
    // No method or tool here has a name that would have to be encoded, so such a one need not be decoded either.
    let encoded =
        header.is_some_and(|header| header.starts_with(ENCODED)) && !said.bytes().all(|b| b.is_ascii_graphic());
    if header == Some(said) || encoded {
        return Ok(());
    }
    Err(mismatch(name, "must say what the body says"))
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(mismatch(name, "is there twice"));
    }
    value.to_str().map(Some).map_err(|_| mismatch(name, "must be visible ASCII"))
}

fn mismatch(name: &str, what: &str) -> Fault {
    Fault::new(HEADER_MISMATCH, format!("the header {name} {what}"))
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};
    use serde_json::Map;

    use super::*;

    fn era(headers: &[(&str, &str)], method: &str, params: Value) -> Result<Era, i64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let params: Map<_, _> = params.as_object().unwrap().clone();
        Era::of(&map, &Request { id: 1.into(), method: method.into(), params }).map_err(|fault| fault.code)
    }

    fn meta(version: &str) -> Value {
        json!({ "_meta": { VERSION_KEY: version, CAPABILITIES_KEY: {} }, "name": "list_agents" })
    }

    #[test]
    fn a_request_without_meta_is_of_the_handshakes_era() {
        for version in LEGACY_VERSIONS {
            assert_eq!(era(&[(VERSION_HEADER, version)], "tools/list", json!({})), Ok(Era::Legacy));
        }
        assert_eq!(era(&[], "tools/list", json!({})), Ok(Era::Legacy));
        assert_eq!(era(&[(VERSION_HEADER, "2024-11-05")], "initialize", json!({})), Ok(Era::Legacy));
        assert_eq!(era(&[(VERSION_HEADER, "2024-11-05")], "tools/list", json!({})), Err(UNSUPPORTED_VERSION));
        assert_eq!(era(&[(VERSION_HEADER, MODERN_VERSION)], "tools/list", json!({})), Err(INVALID_PARAMS));
    }

    #[test]
    fn a_modern_request_says_the_same_in_its_headers() {
        let all = [(VERSION_HEADER, MODERN_VERSION), (METHOD_HEADER, "tools/call"), (NAME_HEADER, "list_agents")];
        assert_eq!(era(&all, "tools/call", meta(MODERN_VERSION)), Ok(Era::Modern));
        assert_eq!(era(&all[..2], "tools/call", json!({ "_meta": meta(MODERN_VERSION)["_meta"] })), Ok(Era::Modern));
        for left_out in 0..all.len() {
            let mut others = all.to_vec();
            let (name, _) = others.remove(left_out);
            assert_eq!(era(&others, "tools/call", meta(MODERN_VERSION)), Err(HEADER_MISMATCH), "without {name}");
            others.push((name, "other"));
            assert_eq!(era(&others, "tools/call", meta(MODERN_VERSION)), Err(HEADER_MISMATCH), "another {name}");
            let twice = [&all[..], &all[left_out..=left_out]].concat();
            assert_eq!(era(&twice, "tools/call", meta(MODERN_VERSION)), Err(HEADER_MISMATCH), "{name} twice");
        }
        let encoded = [all[0], all[1], (NAME_HEADER, "=?base64?ZnLDqA==?=")];
        assert_eq!(era(&encoded, "tools/call", meta(MODERN_VERSION)), Err(HEADER_MISMATCH), "it need not be encoded");
    }

    #[test]
    fn a_version_of_none_is_refused_after_the_headers() {
        let of =
            |version| era(&[(VERSION_HEADER, version), (METHOD_HEADER, "tools/list")], "tools/list", meta(version));
        assert_eq!(of("2030-01-01"), Err(UNSUPPORTED_VERSION));
        assert_eq!(of("2025-11-25"), Err(UNSUPPORTED_VERSION));
        let bare = json!({ "_meta": { VERSION_KEY: MODERN_VERSION } });
        assert_eq!(era(&[], "tools/list", bare), Err(INVALID_PARAMS), "capabilities are required");
        assert_eq!(unsupported("x").data.unwrap()["supported"][0], MODERN_VERSION);
    }
}
