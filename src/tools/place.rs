//! Where the requests of a tool or of an MCP server go, and what is sent along: what their owner may say of it.
//!
//! Rule: a URL names no user, and its host is fixed: nothing that a model says decides where a request goes. Rule: how a request is
//! framed, and by whom it is sent, is not for its owner to say.

use serde_json::{Map, Value};

use super::secrets::{NewSecret, Secrets};
use crate::{
    error::{Error, Result},
    outbound::{
        NO_CHILD_HOST, frames_request,
        http::{HeaderName, HeaderValue, Uri},
        is_child_host,
    },
    seal::Sealer,
    secret::trimmed,
};

/// Longest URL, in bytes.
pub const TOOL_URL_BYTES_MAX: usize = 2_000;
/// Most headers, secret ones included.
pub const TOOL_HEADERS_MAX: usize = 32;
/// Longest value of a header, in bytes.
pub const TOOL_HEADER_BYTES_MAX: usize = 8_192;
/// Headers that alm sets, beside those that frame a request; `cookie` would carry one person's to another.
const OURS: [&str; 5] = ["user-agent", "accept-encoding", "idempotency-key", "cookie", "content-encoding"];

/// A URL as it is kept. `{…}` may stand behind its host.
pub fn url(text: &str) -> Result<String> {
    let wrong = |message: &str| Error::invalid("url", message);
    let text = trimmed(text);
    if text.len() > TOOL_URL_BYTES_MAX {
        return Err(wrong("must be at most 2000 bytes"));
    }
    if text.contains('#') {
        return Err(wrong("must have no fragment: leave out # and what follows it"));
    }
    let shape = "must be an http:// or https:// URL, such as https://api.example.com/v1/items";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong(shape))?;
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find(['/', '?', '{']).unwrap_or(rest.len()));
    if path.starts_with('{') && !path.starts_with("{?") || authority.contains('}') {
        return Err(wrong("must have a fixed scheme, host and port: {…} only in the path and the query"));
    }
    if authority.contains('@') {
        return Err(wrong("must name no user and no password: put them into secretHeaders"));
    }
    let kept = format!("{scheme}://{}{path}", authority.to_ascii_lowercase());
    let uri = Uri::try_from(without_braces(&kept));
    if uri.as_ref().is_ok_and(|uri| uri.host().is_some_and(is_child_host)) {
        return Err(wrong(NO_CHILD_HOST));
    }
    let is_sound = uri.is_ok_and(|uri| {
        let port_is_one = uri.authority().is_some_and(|authority| {
            let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
            port.is_none_or(|port| port.ends_with(']') || port.parse::<u16>().is_ok_and(|port| port > 0))
        });
        ["http", "https"].contains(&scheme.as_str()) && uri.host().is_some_and(|host| !host.is_empty()) && port_is_one
    });
    if is_sound { Ok(kept) } else { Err(wrong(shape)) }
}

/// The text with a letter for each `{…}`.
fn without_braces(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((_, behind)) = behind.split_once('}') else { break };
        plain.push_str(before);
        plain.push('x');
        rest = behind;
    }
    plain + rest
}

/// Scheme, host and port of a URL that [`url`] kept: what a secret belongs to. The port is there even if it is the usual one.
pub fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '{']).next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    match (has_port, scheme) {
        (false, "http") => format!("{scheme}://{authority}:80"),
        (false, "https") => format!("{scheme}://{authority}:443"),
        _ => format!("{scheme}://{authority}"),
    }
}

/// Headers as they are kept, by lower-case names; what is wrong with one is said of `field`.
pub fn headers(field: &str, headers: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    let one = |(name, value): (String, String)| {
        let name = header_name(field, &name)?;
        let value = trimmed(&value).to_owned();
        let field = format!("{field}.{name}");
        if value.contains(['{', '}']) {
            return Err(Error::invalid(field, "must hold no {…}: it is sent as it is"));
        }
        check_value(&field, &value)?;
        Ok((name, value))
    };
    let kept: Vec<(String, String)> = headers.into_iter().map(one).collect::<Result<_>>()?;
    no_twins(field, kept.iter().map(|(name, _)| name))?;
    Ok(kept)
}

/// A header's name as it is kept, if its owner may set it.
pub fn header_name(field: &str, name: &str) -> Result<String> {
    let name = name.trim().to_ascii_lowercase();
    if frames_request(&name) || OURS.contains(&name.as_str()) {
        return Err(Error::invalid(format!("{field}.{name}"), "must not be given: alm sets it, or nobody does"));
    }
    match HeaderName::try_from(&name) {
        Ok(_) => Ok(name),
        Err(_) => Err(Error::invalid(field, "must have the names of HTTP headers")),
    }
}

/// Whether a header can hold that.
pub fn check_value(field: &str, value: &str) -> Result<()> {
    let is_ascii = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    match HeaderValue::try_from(value) {
        Ok(_) if is_ascii && value.len() <= TOOL_HEADER_BYTES_MAX => Ok(()),
        _ => Err(Error::invalid(field, "must be at most 8192 visible ASCII characters")),
    }
}

/// No name comes twice.
pub fn no_twins<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut names: Vec<_> = names.collect();
    names.sort();
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(Error::invalid(field, format!("must have {} once", two[0]))),
        None => Ok(()),
    }
}

/// Whether headers, and those that are secret, may be sent together.
pub fn check_headers(plain: &str, secrets: &str) -> Result<()> {
    let plain = headers("headers", headers_of(plain))?;
    let secrets = Secrets::from_json(secrets).ok_or_else(|| Error::invalid("secretHeaders", "cannot be read"))?;
    let secret = secrets.names().map(|name| header_name("secretHeaders", name)).collect::<Result<Vec<_>>>()?;
    if plain.len() + secret.len() > TOOL_HEADERS_MAX {
        return Err(Error::invalid("headers", "must be at most 32, with the secret ones"));
    }
    no_twins("headers", plain.iter().map(|(name, _)| name).chain(&secret))
}

/// Secret headers as they are kept, by lower-case names.
pub fn secret_headers(new: Vec<(String, NewSecret)>, sealer: &Sealer, place: &str) -> Result<String> {
    let mut named = Vec::with_capacity(new.len());
    for (name, secret) in new {
        let name = header_name("secretHeaders", &name)?;
        if let NewSecret::Text(text) | NewSecret::Template(text) = &secret {
            let field = format!("secretHeaders.{name}");
            if text.expose().is_empty() {
                return Err(Error::invalid(field, "must not be empty"));
            }
            check_value(&field, text.expose())?;
        }
        named.push((name, secret));
    }
    no_twins("secretHeaders", named.iter().map(|(name, _)| name))?;
    Ok(Secrets::keep(named, sealer, place)?.to_json())
}

/// Headers as a row of the file holds them.
pub fn headers_text(headers: Vec<(String, String)>) -> String {
    Value::Object(headers.into_iter().map(|(name, value)| (name, value.into())).collect()).to_string()
}

/// Headers of a row of the file.
pub fn headers_of(text: &str) -> Vec<(String, String)> {
    let read: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    read.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        url(text).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_url_is_kept_as_it_is_sent_and_its_host_is_fixed() {
        for (text, kept) in [
            (" HTTPS://API.Example.com/V1/{Id}\n", "https://api.example.com/V1/{Id}"),
            ("http://h", "http://h"),
            ("http://h{?a,b}", "http://h{?a,b}"),
            ("http://h?x={y}", "http://h?x={y}"),
            ("http://[::1]:8080/a/{b}/c{?d}", "http://[::1]:8080/a/{b}/c{?d}"),
        ] {
            assert_eq!(url(text).unwrap(), kept, "{text}");
            assert_eq!(url(kept).unwrap(), kept, "what is kept is read as it is");
        }
        for (text, said) in [
            ("http://{host}/a", "fixed"),
            ("http://h{a}/b", "fixed"),
            ("http://h:{port}/b", "fixed"),
            ("http://a}b/", "fixed"),
            ("{scheme}://h/b", "http://"),
            ("ftp://h/", "http://"),
            ("http:///a", "http://"),
            ("http://", "http://"),
            ("h/a", "http://"),
            ("http://h:0/", "http://"),
            ("http://h:99999/", "http://"),
            ("http://h:/", "http://"),
            ("http://h h/", "http://"),
            ("http://h/a b", "http://"),
            ("http://u:p@h/", "no user"),
            ("http://h/#a", "fragment"),
            ("http://Small.child.INVALID/a", ".child.invalid"),
            ("https://small.child.invalid.:8443{?a}", ".child.invalid"),
            ("", "http://"),
        ] {
            assert!(refused(text).contains(said), "{text}: {}", refused(text));
        }
        let long = |bytes: usize| url(&format!("http://h/{}", "v".repeat(bytes - 9))).is_ok();
        assert_eq!([TOOL_URL_BYTES_MAX - 1, TOOL_URL_BYTES_MAX, TOOL_URL_BYTES_MAX + 1].map(long), [true, true, false]);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (url, expected) in [
            ("https://h/a", "https://h:443"),
            ("https://h:443{?a}", "https://h:443"),
            ("http://h?a=b:1", "http://h:80"),
            ("http://[::1]/", "http://[::1]:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(origin(url), expected, "{url}");
        }
    }

    #[test]
    fn headers_are_their_owners_but_for_those_that_are_ours() {
        let given = |name: &str, value: &str| headers("headers", vec![(name.into(), value.into())]);
        assert_eq!(given(" X-Team ", " a b ").unwrap(), [("x-team".to_owned(), "a b".to_owned())]);
        for (name, value) in [
            ("Content-Length", "1"),
            ("host", "h"),
            ("Proxy-Authorization", "x"),
            ("Cookie", "a=b"),
            ("User-Agent", "x"),
            ("Idempotency-Key", "x"),
            ("", "x"),
            ("a b", "x"),
            ("a", "{b}"),
            ("a", "x\ny"),
            ("a", "ü"),
        ] {
            assert!(given(name, value).is_err(), "{name}: {value}");
        }
        let twins = vec![("A".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        assert!(headers("headers", twins).unwrap_err().to_string().contains("a once"));
        for (bytes, fits) in
            [(TOOL_HEADER_BYTES_MAX - 1, true), (TOOL_HEADER_BYTES_MAX, true), (TOOL_HEADER_BYTES_MAX + 1, false)]
        {
            assert_eq!(given("a", &"v".repeat(bytes)).is_ok(), fits, "{bytes}");
        }
    }
}
