//! What an HTTP tool has to be, and what is kept of it.
//!
//! Rule: whoever declares one (the API, the command line, an import) is held to the same rules, here. Rule: a secret comes in as text
//! and is kept sealed; it belongs to the scheme, host and port that it was given for, or it could be sent anywhere.

use serde_json::{Value, json};

use super::{
    builtin::Builtin, fingerprint::fingerprint, place, schema::Schema, secrets::NewSecret, template::Template,
};
use crate::{
    error::{Error, Invalid, Result},
    id,
    money::{AMOUNT_USD_MAX, USD},
    seal::Sealer,
    store::tools::{AddedBy, Body, HttpTool, Policy},
    time::Timestamp,
};

/// Longest name, in characters: what models take.
pub const TOOL_NAME_CHARS_MAX: usize = 64;
/// Longest description, in characters.
pub const TOOL_DESCRIPTION_CHARS_MAX: usize = 2_048;
/// Shortest time for a call, in milliseconds.
pub const TOOL_TIME_MS_MIN: u32 = 100;
/// Longest time for a call, in milliseconds.
pub const TOOL_TIME_MS_MAX: u32 = 600_000;
/// Most bytes of a response that are read.
pub const RESPONSE_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// How long a call may take of which nothing else is said, in milliseconds.
const TIME_MS: u32 = 30_000;
/// Bytes that are read of a response of which nothing else is said.
const RESPONSE_BYTES: u32 = 256 * 1024;

/// The methods a tool may have.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// An HTTP tool that is to be kept.
pub struct NewTool {
    pub name: String,
    pub description: String,
    pub input_schema: Value,
    pub method: String,
    pub url: String,
    /// What else there is to say of it.
    pub more: ToolChange,
}

/// What is to change of an HTTP tool; what is absent stays.
#[derive(Default)]
pub struct ToolChange {
    pub description: Option<String>,
    pub input_schema: Option<Value>,
    pub method: Option<String>,
    pub url: Option<String>,
    pub headers: Option<Vec<(String, String)>>,
    pub secrets: Option<Vec<(String, NewSecret)>>,
    pub body: Option<Body>,
    pub timeout_ms: Option<i64>,
    pub response_bytes_max: Option<i64>,
    pub approval: Option<Policy>,
    pub is_idempotent: Option<bool>,
    /// Microcents a call.
    pub price: Option<i64>,
    pub is_active: Option<bool>,
}

/// A tool as it will be kept, declared by `by`.
pub fn prepare(new: NewTool, by: AddedBy, sealer: &Sealer) -> Result<HttpTool> {
    let (method, now) = (new.method.trim().to_ascii_uppercase(), Timestamp::now());
    let takes_body = ["POST", "PUT", "PATCH"].contains(&method.as_str());
    let mut tool = HttpTool {
        id: id::generate(),
        name: new.name,
        added_by: by,
        is_active: true,
        approval: if only_reads(&method) { Policy::Never } else { Policy::Ask },
        is_idempotent: false,
        price: 0,
        method,
        url: place::url(&new.url)?,
        body: if takes_body { Body::Json } else { Body::None },
        headers: "{}".into(),
        secrets: "{}".into(),
        timeout_ms: TIME_MS,
        response_bytes_max: RESPONSE_BYTES,
        created_at: now,
        updated_at: now,
        description: new.description,
        input_schema: new.input_schema.to_string(),
    };
    change(&mut tool, new.more, by, sealer)?;
    Ok(tool)
}

/// Changes a tool by the hand of `by`, who from then on vouches for its URL if that is another.
pub fn change(tool: &mut HttpTool, change: ToolChange, by: AddedBy, sealer: &Sealer) -> Result<()> {
    if let Some(method) = change.method {
        let method = method.trim().to_ascii_uppercase();
        // What ran at once because it read is not to change anything unasked.
        if only_reads(&tool.method) && !only_reads(&method) && tool.approval == Policy::Never {
            tool.approval = Policy::Ask;
        }
        tool.method = method;
    }
    let secrets_given = change.secrets.is_some();
    if let Some(url) = change.url {
        let url = place::url(&url)?;
        if place::origin(&url) != place::origin(&tool.url) && tool.secrets != "{}" && !secrets_given {
            return Err(Error::invalid("secretHeaders", MOVED));
        }
        if url != tool.url {
            tool.added_by = by;
        }
        tool.url = url;
    }
    if let Some(headers) = change.headers {
        tool.headers = place::headers_text(place::headers("headers", headers)?);
    }
    if let Some(secrets) = change.secrets {
        tool.secrets = place::secret_headers(secrets, sealer, &format!("tool/{}", tool.id))?;
    }
    tool.description = change.description.unwrap_or(std::mem::take(&mut tool.description));
    if let Some(schema) = change.input_schema {
        tool.input_schema = schema.to_string();
    }
    tool.body = change.body.unwrap_or(tool.body);
    tool.timeout_ms = change.timeout_ms.map_or(tool.timeout_ms, clamped);
    tool.response_bytes_max = change.response_bytes_max.map_or(tool.response_bytes_max, clamped);
    tool.approval = change.approval.unwrap_or(tool.approval);
    tool.is_idempotent = change.is_idempotent.unwrap_or(tool.is_idempotent);
    tool.price = change.price.unwrap_or(tool.price);
    tool.is_active = change.is_active.unwrap_or(tool.is_active);
    check(tool)
}

/// What is said where a host changes and its secrets do not come again.
pub(super) const MOVED: &str = "belong to the previous host: send them for this host too, or {} for none";

/// Whether a tool that was not declared here could have been.
pub fn check(tool: &HttpTool) -> Result<()> {
    let mut faults = Faults::default();
    faults.also(check_name(&tool.name));
    faults.also(check_description(&tool.description));
    faults.unless(METHODS.contains(&&*tool.method), "method", "must be GET, HEAD, POST, PUT, PATCH or DELETE");
    let places = || Template::parse(&tool.url).map_err(|fault| Error::invalid("url", fault));
    faults.also(place::url(&tool.url).and_then(|_| places()));
    faults.also(place::check_headers(&tool.headers, &tool.secrets));
    faults.also(check_time("timeoutMs", tool.timeout_ms));
    let bytes = (1..=RESPONSE_BYTES_MAX).contains(&tool.response_bytes_max);
    faults.unless(bytes, "responseBytesMax", "must be 1 to 4194304");
    faults.also(check_price(tool.price));
    let schema: Value = serde_json::from_str(&tool.input_schema).unwrap_or_default();
    if let Err(fault) = Schema::compile(&schema) {
        faults.unless(false, "inputSchema", &fault);
    }
    faults.done()
}

/// Of what a person allows when they allow a call: a tool that goes elsewhere, or by another method, asks again.
pub fn fingerprint_of(tool: &HttpTool) -> [u8; 32] {
    let schema: Value = serde_json::from_str(&tool.input_schema).unwrap_or_default();
    fingerprint(&json!({
        "name": tool.name, "description": tool.description, "inputSchema": schema, "method": tool.method, "url": tool.url,
        "body": tool.body.as_str(),
    }))
}

/// Whether a method only reads.
pub fn only_reads(method: &str) -> bool {
    ["GET", "HEAD"].contains(&method)
}

/// Whether models may know a tool by that name.
pub(super) fn check_name(name: &str) -> Result<()> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if !first || !name.bytes().all(known) || name.len() > TOOL_NAME_CHARS_MAX || name.contains("__") {
        let message = "must be 1 to 64 of a-z, 0-9, _ and -, begin with a letter or a digit, and not contain __";
        return Err(Error::invalid("name", message));
    }
    if Builtin::ALL.iter().any(|builtin| builtin.name() == name) {
        return Err(Error::invalid("name", format!("{name} is a tool of alm itself: choose another")));
    }
    Ok(())
}

/// Whether models may be told so much of a tool.
pub(super) fn check_description(description: &str) -> Result<()> {
    match (1..=TOOL_DESCRIPTION_CHARS_MAX).contains(&description.chars().count()) {
        true => Ok(()),
        false => Err(Error::invalid("description", "must be 1 to 2048 characters")),
    }
}

/// Whether a call may take so long.
pub(super) fn check_time(field: &str, ms: u32) -> Result<()> {
    match (TOOL_TIME_MS_MIN..=TOOL_TIME_MS_MAX).contains(&ms) {
        true => Ok(()),
        false => Err(Error::invalid(field, format!("must be {TOOL_TIME_MS_MIN} to {TOOL_TIME_MS_MAX}"))),
    }
}

/// Whether a call may cost so much.
pub fn check_price(price: i64) -> Result<()> {
    match (0..=AMOUNT_USD_MAX * USD).contains(&price) {
        true => Ok(()),
        false => Err(Error::invalid("pricePerCall", format!("must be at most {AMOUNT_USD_MAX} US dollars"))),
    }
}

/// A number as a row of the file holds it; what does not fit is out of its range as well.
pub(super) fn clamped(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// All that is wrong, said at once.
#[derive(Default)]
pub(super) struct Faults(Vec<Invalid>);

impl Faults {
    pub(super) fn also<T>(&mut self, checked: Result<T>) {
        match checked {
            Ok(_) => {}
            Err(Error::Invalid(invalid)) => self.0.extend(invalid),
            Err(other) => self.unless(false, "", &other.to_string()),
        }
    }

    pub(super) fn unless(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            self.0.push(Invalid { field: field.into(), message: message.into() });
        }
    }

    pub(super) fn done(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{secret::Secret, tools::secrets::Secrets};

    fn sealer() -> Sealer {
        let folder = tempfile::tempdir().unwrap();
        Sealer::open(&folder.path().join("key")).unwrap()
    }

    fn new(name: &str, method: &str, url: &str) -> NewTool {
        NewTool {
            name: name.into(),
            description: "Opens a ticket.".into(),
            input_schema: json!({ "type": "object" }),
            method: method.into(),
            url: url.into(),
            more: ToolChange::default(),
        }
    }

    fn ticket(more: ToolChange) -> Result<HttpTool> {
        prepare(NewTool { more, ..new("ticket", "POST", "https://h/v1/{id}") }, AddedBy::Api, &sealer())
    }

    fn secret(name: &str) -> Option<Vec<(String, NewSecret)>> {
        Some(vec![(name.into(), NewSecret::Text(Secret::new("Bearer x")))])
    }

    fn fields(result: Result<impl Sized>) -> Vec<String> {
        match result {
            Err(Error::Invalid(fields)) => fields.into_iter().map(|invalid| invalid.field).collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn what_is_not_said_of_a_tool_follows_from_its_method() {
        for (method, approval, body) in [
            ("get", Policy::Never, Body::None),
            ("HEAD", Policy::Never, Body::None),
            ("POST", Policy::Ask, Body::Json),
            ("put", Policy::Ask, Body::Json),
            ("PATCH", Policy::Ask, Body::Json),
            ("DELETE", Policy::Ask, Body::None),
        ] {
            let tool = prepare(new("t", method, "https://h/"), AddedBy::Operator, &sealer()).unwrap();
            assert_eq!((tool.approval, tool.body), (approval, body), "{method}");
            assert_eq!((tool.timeout_ms, tool.response_bytes_max), (TIME_MS, RESPONSE_BYTES));
        }
    }

    #[test]
    fn a_tool_that_begins_to_write_begins_to_ask() {
        let sealer = sealer();
        let to = |method: &str| ToolChange { method: Some(method.into()), ..Default::default() };
        let mut tool = prepare(new("t", "GET", "https://h/"), AddedBy::Api, &sealer).unwrap();
        change(&mut tool, to("HEAD"), AddedBy::Api, &sealer).unwrap();
        assert_eq!(tool.approval, Policy::Never);
        change(&mut tool, to("DELETE"), AddedBy::Api, &sealer).unwrap();
        assert_eq!(tool.approval, Policy::Ask);
    }

    #[test]
    fn all_that_a_tool_cannot_be_is_said_at_once() {
        let more =
            ToolChange { timeout_ms: Some(-1), response_bytes_max: Some(0), price: Some(-1), ..Default::default() };
        let mut bad = NewTool { more, ..new("current_time", "TRACE", "https://h/") };
        (bad.description, bad.input_schema) = (String::new(), json!({ "type": "string" }));
        let expected =
            ["name", "description", "method", "timeoutMs", "responseBytesMax", "pricePerCall", "inputSchema"];
        assert_eq!(fields(prepare(bad, AddedBy::Api, &sealer())), expected);
        for name in ["", "A", "_a", "-a", "a__b", "ä", "a b", "a.b"] {
            assert_eq!(fields(prepare(new(name, "GET", "https://h/"), AddedBy::Api, &sealer())), ["name"], "{name}");
        }
    }

    #[test]
    fn what_a_tool_is_made_of_is_taken_up_to_its_bounds() {
        let is_taken = |tool: NewTool| fields(prepare(tool, AddedBy::Api, &sealer())).is_empty();
        let at = |max: usize, of: &dyn Fn(usize) -> NewTool| {
            assert_eq!([max - 1, max, max + 1].map(|size| is_taken(of(size))), [true, true, false], "{max}");
        };
        let with = |more: ToolChange| NewTool { more, ..new("t", "GET", "https://h/") };
        at(TOOL_NAME_CHARS_MAX, &|chars| new(&"a".repeat(chars), "GET", "https://h/"));
        at(TOOL_DESCRIPTION_CHARS_MAX, &|chars| {
            with(ToolChange { description: Some("é".repeat(chars)), ..Default::default() })
        });
        at(TOOL_TIME_MS_MAX as usize, &|ms| with(ToolChange { timeout_ms: Some(ms as i64), ..Default::default() }));
        at(RESPONSE_BYTES_MAX as usize, &|bytes| {
            with(ToolChange { response_bytes_max: Some(bytes as i64), ..Default::default() })
        });
        let header = |n: usize| (format!("x-{n}"), "v".to_owned());
        at(place::TOOL_HEADERS_MAX, &|count| {
            with(ToolChange {
                headers: Some((1..count).map(header).collect()),
                secrets: secret("x-secret"),
                ..Default::default()
            })
        });
        let quick = |ms: u32| is_taken(with(ToolChange { timeout_ms: Some(ms.into()), ..Default::default() }));
        assert_eq!([TOOL_TIME_MS_MIN - 1, TOOL_TIME_MS_MIN, TOOL_TIME_MS_MIN + 1].map(quick), [false, true, true]);
    }

    #[test]
    fn secret_headers_are_sealed_named_once_and_sent_as_headers_can_be() {
        let tool = ticket(ToolChange { secrets: secret(" Authorization "), ..Default::default() }).unwrap();
        assert!(!tool.secrets.contains("Bearer"));
        assert_eq!(Secrets::from_json(&tool.secrets).unwrap().names().collect::<Vec<_>>(), ["authorization"]);
        let both = ToolChange {
            headers: Some(vec![("Authorization".into(), "x".into())]),
            secrets: secret("authorization"),
            ..Default::default()
        };
        assert_eq!(fields(ticket(both)), ["headers"]);
        for name in ["host", "Cookie", "content-length"] {
            let refused = fields(ticket(ToolChange { secrets: secret(name), ..Default::default() }));
            assert_eq!(refused, [format!("secretHeaders.{}", name.to_lowercase())]);
        }
        for text in ["", "a\nb", "ü"] {
            let bad = Some(vec![("a".to_owned(), NewSecret::Text(Secret::new(text)))]);
            assert_eq!(fields(ticket(ToolChange { secrets: bad, ..Default::default() })), ["secretHeaders.a"]);
        }
    }

    #[test]
    fn secrets_stay_with_the_host_they_were_given_for_and_a_moved_tool_is_its_movers() {
        let sealer = sealer();
        let with = NewTool {
            more: ToolChange { secrets: secret("authorization"), ..Default::default() },
            ..new("t", "POST", "https://h/v1")
        };
        let mut tool = prepare(with, AddedBy::Operator, &sealer).unwrap();
        let to = |url: &str| ToolChange { url: Some(url.into()), ..Default::default() };
        change(&mut tool, to("https://h/v1"), AddedBy::Api, &sealer).unwrap();
        assert_eq!(tool.added_by, AddedBy::Operator, "it has not moved");
        for elsewhere in ["https://evil.example/v1", "http://h/v1", "https://h:8443/v1"] {
            assert_eq!(fields(change(&mut tool, to(elsewhere), AddedBy::Api, &sealer)), ["secretHeaders"]);
        }
        assert_eq!((&*tool.url, tool.added_by), ("https://h/v1", AddedBy::Operator), "nothing has changed");
        change(&mut tool, to("https://h:443/v2"), AddedBy::Api, &sealer).unwrap();
        assert_eq!(tool.added_by, AddedBy::Api);
        let dropped = ToolChange { secrets: Some(Vec::new()), ..to("https://other.example/v1") };
        change(&mut tool, dropped, AddedBy::Api, &sealer).unwrap();
        assert_eq!(tool.secrets, "{}");
    }
}
