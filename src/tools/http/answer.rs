//! What the answer to a tool's request means: an output, or a sentence.
//!
//! Rule: plain functions over plain values. A redirect is told and not followed. What cannot be shown is said with its kind and its
//! length, and what a request was sent with is not in what comes back of it.

use serde_json::{Value, json};

use crate::{
    outbound::{
        Cause, Failure, Fetched, Untrusted,
        http::{HeaderMap, StatusCode, header},
    },
    secret::Secret,
    tools::call::Ended,
};

/// Characters of an error that are told.
pub const TOOL_ERROR_CHARS_MAX: usize = 2_000;
/// A shorter secret is no secret, and every other word would be taken for it.
const SECRET_BYTES_MIN: usize = 8;
/// What stands where a secret was.
const HIDDEN: &str = "***";

/// Kinds of content that are text, beside `text/…`, `…+xml` and `…+yaml`.
const TEXTS: [&str; 9] = [
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/javascript",
    "application/x-ndjson",
    "application/jsonl",
    "application/json-seq",
    "application/x-www-form-urlencoded",
];
/// Character sets in which a byte is a character.
const ONE_BYTE_CHARSETS: [&str; 4] = ["iso-8859-1", "latin1", "windows-1252", "us-ascii"];

/// What a response says, to a tool that reads so many bytes of it.
pub(super) fn of_response(fetched: &Fetched, host: &str, bytes_max: usize, secrets: &[Secret]) -> Ended {
    let status = fetched.status;
    if status.is_redirection() {
        let there =
            fetched.headers.get(header::LOCATION).map(|to| without(secrets, &to.as_bytes().escape_ascii().to_string()));
        return Ended::Failed(match there {
            Some(there) => format!("HTTP {} from {host}: it points to {}", status.as_u16(), beginning(&there)),
            None => format!("HTTP {} from {host}", status.as_u16()),
        });
    }
    let content = Content::of(fetched, secrets);
    if !status.is_success() {
        return Ended::Failed(match content.text() {
            text if text.trim().is_empty() => format!("HTTP {} from {host}", status.as_u16()),
            text => format!("HTTP {} from {host}: {}", status.as_u16(), beginning(text.trim())),
        });
    }
    if fetched.is_cut {
        let length = match declared_bytes(&fetched.headers) {
            Some(bytes) => format!("is {} bytes long", grouped(bytes)),
            None => format!("goes on after {} bytes", grouped(bytes_max + 1)),
        };
        return Ended::Failed(format!(
            "The answer of {host} {length}: this tool reads at most {}.",
            grouped(bytes_max)
        ));
    }
    Ended::done(content.into_output(status))
}

/// Why there is no response, as the model reads it.
pub(super) fn of_failure(failure: &Failure, host: &str, time_max_ms: u32) -> Ended {
    match failure {
        Failure::NotSent(cause) => Ended::Failed(not_sent(cause, host)),
        Failure::Cut(_) => Ended::Unknown("The connection broke".into()),
        Failure::Timeout if time_max_ms.is_multiple_of(1_000) => {
            Ended::Unknown(format!("No answer came within {} s", time_max_ms / 1_000))
        }
        Failure::Timeout => Ended::Unknown(format!("No answer came within {time_max_ms} ms")),
    }
}

fn not_sent(cause: &Cause, host: &str) -> String {
    match cause {
        Cause::Forbidden(_) => "This address is not allowed.".into(),
        Cause::NameUnknown => format!("There is no host {host}."),
        Cause::ConnectTimeout | Cause::HeadTimeout => format!("No connection to {host} in time."),
        Cause::Tls(why) => format!("No secure connection to {host}: {}.", untrusted(*why)),
        Cause::Proxy => format!("The proxy does not connect to {host}."),
        Cause::TooMany => "Too many requests wait for an answer: try again in a moment.".into(),
        Cause::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("Nothing listens at {host}.")
        }
        Cause::Io(_) | Cause::NotHttp | Cause::Other(_) => format!("{host} cannot be reached."),
    }
}

fn untrusted(why: Untrusted) -> &'static str {
    match why {
        Untrusted::Issuer => "nobody who is trusted signed its certificate",
        Untrusted::Name => "its certificate is for another name",
        Untrusted::Expired => "its certificate has expired",
        Untrusted::NotYetValid => "its certificate is not valid yet",
        Untrusted::Other => "it has no certificate that can be checked",
    }
}

/// A body by its kind.
enum Content {
    Nothing,
    Json(Value),
    Text(String),
    /// What is said of it.
    Other(String),
}

impl Content {
    fn of(fetched: &Fetched, secrets: &[Secret]) -> Self {
        let body = &fetched.body;
        if body.is_empty() {
            return Content::Nothing;
        }
        let full = fetched.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut parts = full.split(';').map(|part| part.trim().to_ascii_lowercase());
        let kind = parts.next().unwrap_or_default();
        let charset = parts.find_map(|part| Some(part.strip_prefix("charset=")?.trim_matches('"').to_owned()));
        let is_encoded = fetched.headers.get(header::CONTENT_ENCODING).is_some_and(|how| how != "identity");
        let is_json = kind == "application/json" || kind == "text/json" || kind.ends_with("+json");
        let is_text = is_json
            || kind.starts_with("text/")
            || TEXTS.contains(&kind.as_str())
            || ["+xml", "+yaml"].iter().any(|ending| kind.ends_with(ending))
            // Whoever does not say what it is mostly means text.
            || (kind.is_empty() && std::str::from_utf8(body).is_ok_and(|text| !text.contains('\0')));
        if is_encoded || !is_text {
            let kind = if kind.is_empty() { "application/octet-stream" } else { &kind };
            let bytes = declared_bytes(&fetched.headers).filter(|_| fetched.is_cut).unwrap_or(body.len());
            let unit = if bytes == 1 { "byte" } else { "bytes" };
            return Content::Other(format!("[{kind}, {} {unit}: not shown]", grouped(bytes)));
        }
        let text = match charset.is_some_and(|charset| ONE_BYTE_CHARSETS.contains(&charset.as_str())) {
            true if std::str::from_utf8(body).is_err() => body.iter().map(|byte| *byte as char).collect(),
            _ => String::from_utf8_lossy(body).trim_start_matches('\u{feff}').to_owned(),
        };
        let text = without(secrets, &text);
        match serde_json::from_str(&text) {
            Ok(value) if is_json || kind.is_empty() => Content::Json(value),
            _ => Content::Text(text),
        }
    }

    fn text(&self) -> String {
        match self {
            Content::Nothing => String::new(),
            Content::Json(value) => value.to_string(),
            Content::Text(text) | Content::Other(text) => text.clone(),
        }
    }

    fn into_output(self, status: StatusCode) -> Value {
        match self {
            Content::Nothing => json!({ "status": status.as_u16() }),
            Content::Json(value) => value,
            Content::Text(text) | Content::Other(text) => Value::String(text),
        }
    }
}

/// A text without the secrets that its request was sent with: some services show what they were sent.
fn without(secrets: &[Secret], text: &str) -> String {
    let whole = secrets.iter().map(Secret::expose);
    // `Bearer x` may come back as `x`.
    let mut hidden: Vec<_> = whole.flat_map(|secret| [secret, secret.rsplit(' ').next().unwrap_or_default()]).collect();
    hidden.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
    // What holds another goes first.
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    hidden.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
}

fn beginning(text: &str) -> String {
    text.chars().take(TOOL_ERROR_CHARS_MAX).collect()
}

fn declared_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A number with a comma before each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut grouped = digits[..first].to_owned();
    for at in (first..digits.len()).step_by(3) {
        if !grouped.is_empty() {
            grouped.push(',');
        }
        grouped.push_str(&digits[at..at + 3]);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::ForbiddenAddress;

    fn fetched(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Fetched {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Fetched { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_vec(), is_cut: false }
    }

    fn of(fetched: &Fetched) -> Ended {
        of_response(fetched, "api.example.com", 262_144, &[])
    }

    fn output(kind: &str, body: &[u8]) -> Value {
        match of(&fetched(200, &[("content-type", kind)], body)) {
            Ended::Done { output, files } if files.is_empty() => output,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_output_is_json_or_text_or_what_is_said_of_the_rest() {
        for (kind, body, expected) in [
            ("application/json", &b"{\"a\":[1]}"[..], json!({"a": [1]})),
            ("Application/JSON; charset=utf-8", b"\xef\xbb\xbf1", json!(1)),
            ("application/problem+json", b"{}", json!({})),
            ("application/json", b"not json", json!("not json")),
            ("text/plain", b"{\"a\":1}", json!("{\"a\":1}")),
            ("text/html; charset=UTF-8", "größer".as_bytes(), json!("größer")),
            ("text/plain; charset=ISO-8859-1", b"gr\xf6\xdfer", json!("größer")),
            ("text/plain", b"gr\xf6sser", json!("gr\u{fffd}sser")),
            ("application/xml", b"<a/>", json!("<a/>")),
            ("image/svg+xml", b"<svg/>", json!("<svg/>")),
            ("application/x-ndjson", b"1\n2", json!("1\n2")),
            ("", b"{\"a\":1}", json!({"a": 1})),
            ("", b"words", json!("words")),
            ("", b"\x00\x01", json!("[application/octet-stream, 2 bytes: not shown]")),
            ("application/pdf", &[b'x'; 120_431], json!("[application/pdf, 120,431 bytes: not shown]")),
            ("image/png", b"x", json!("[image/png, 1 byte: not shown]")),
        ] {
            assert_eq!(output(kind, body), expected, "{kind}");
        }
        assert_eq!(of(&fetched(204, &[], b"")), Ended::done(json!({"status": 204})));
        let packed = fetched(200, &[("content-type", "text/plain"), ("content-encoding", "gzip")], b"\x1f\x8b");
        assert_eq!(of(&packed), Ended::done(json!("[text/plain, 2 bytes: not shown]")));
    }

    #[test]
    fn a_redirect_is_told_and_an_error_says_how_it_begins() {
        let to = [("location", "https://elsewhere.example/x")];
        for (response, sentence) in [
            (fetched(302, &to, b"moved"), "HTTP 302 from api.example.com: it points to https://elsewhere.example/x"),
            (fetched(304, &[], b""), "HTTP 304 from api.example.com"),
            (
                fetched(404, &[("content-type", "text/plain")], b" no such ticket\n"),
                "HTTP 404 from api.example.com: no such ticket",
            ),
            (fetched(500, &[], b""), "HTTP 500 from api.example.com"),
            (
                fetched(400, &[("content-type", "application/json")], b"{ \"a\": 1 }"),
                "HTTP 400 from api.example.com: {\"a\":1}",
            ),
            (
                fetched(502, &[("content-type", "image/png")], b"x"),
                "HTTP 502 from api.example.com: [image/png, 1 byte: not shown]",
            ),
        ] {
            assert_eq!(of(&response), Ended::Failed(sentence.into()));
        }
        for chars in [TOOL_ERROR_CHARS_MAX - 1, TOOL_ERROR_CHARS_MAX, TOOL_ERROR_CHARS_MAX + 1] {
            let long = fetched(500, &[("content-type", "text/plain")], "é".repeat(chars).as_bytes());
            let Ended::Failed(sentence) = of(&long) else { panic!("a failure") };
            assert_eq!(sentence.matches('é').count(), chars.min(TOOL_ERROR_CHARS_MAX));
        }
    }

    #[test]
    fn what_is_too_long_is_said_with_both_numbers() {
        let mut endless = fetched(200, &[("content-type", "application/json")], b"[1,1");
        endless.is_cut = true;
        let sentence = "The answer of api.example.com goes on after 262,145 bytes: this tool reads at most 262,144.";
        assert_eq!(of(&endless), Ended::Failed(sentence.into()));
        endless.headers.insert("content-length", "5000000".parse().unwrap());
        let sentence = "The answer of api.example.com is 5,000,000 bytes long: this tool reads at most 262,144.";
        assert_eq!(of(&endless), Ended::Failed(sentence.into()));
    }

    #[test]
    fn what_a_request_was_sent_with_does_not_come_back() {
        let secrets = ["Bearer abcdefgh", "12345678", "short"].map(Secret::new);
        let said = "{\"auth\":\"Bearer abcdefgh\",\"key\":\"abcdefgh\",\"team\":\"x12345678\",\"word\":\"short\"}";
        let response = fetched(200, &[("content-type", "application/json")], said.as_bytes());
        let Ended::Done { output, .. } = of_response(&response, "h", 1_000, &secrets) else { panic!("an output") };
        assert_eq!(output, json!({"auth": "***", "key": "***", "team": "x***", "word": "short"}));
        let moved = fetched(302, &[("location", "https://h/?key=12345678")], b"");
        let sentence = "HTTP 302 from h: it points to https://h/?key=***";
        assert_eq!(of_response(&moved, "h", 1_000, &secrets), Ended::Failed(sentence.into()));
        let bytes = |bytes: usize| without(&[Secret::new("s".repeat(bytes))], &"s".repeat(bytes)) == HIDDEN;
        assert_eq!([SECRET_BYTES_MIN - 1, SECRET_BYTES_MIN, SECRET_BYTES_MIN + 1].map(bytes), [false, true, true]);
    }

    #[test]
    fn what_was_not_sent_failed_and_what_may_have_arrived_is_unknown() {
        let forbidden = ForbiddenAddress { host: "h".into(), address: None };
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (cause, sentence) in [
            (Cause::Forbidden(forbidden), "This address is not allowed."),
            (Cause::NameUnknown, "There is no host h."),
            (Cause::ConnectTimeout, "No connection to h in time."),
            (Cause::Tls(Untrusted::Expired), "No secure connection to h: its certificate has expired."),
            (Cause::Io(refused), "Nothing listens at h."),
            (Cause::Other("secret".into()), "h cannot be reached."),
        ] {
            assert_eq!(of_failure(&Failure::NotSent(cause), "h", 30_000), Ended::Failed(sentence.into()));
        }
        let cut = Failure::Cut(Cause::Other(String::new()));
        for (failure, time_max_ms, why) in [
            (&cut, 1, "The connection broke"),
            (&Failure::Timeout, 60_000, "No answer came within 60 s"),
            (&Failure::Timeout, 1_500, "No answer came within 1500 ms"),
        ] {
            assert_eq!(of_failure(failure, "h", time_max_ms), Ended::Unknown(why.into()));
        }
    }

    #[test]
    fn long_numbers_are_read_in_threes() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (120_431, "120,431"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
