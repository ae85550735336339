//! Secrets, found and left out.
//!
//! Rule: one function looks for them, whether a line is written or a request is matched: what was left out still fits.
//! Rule: of an answer nothing is left out, since a stream cuts words: an exchange whose answer holds a secret is not kept at all.
//! Deliberately absent: what people say of themselves. Their words stay.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;
use serde_json::Value;

use super::line::{Exchange, ToolExchange};
use crate::{
    model::{Delta, openai::Decoder},
    secret::Secret,
};

/// A shorter secret is not looked for: it would be found in every other word. In bytes.
pub const SECRET_BYTES_MIN: usize = 6;

/// The kinds of secrets that are known by their look, each as sentences call it.
static KINDS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let kinds = [
        ("a PEM block", r"(?s)(-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z))"),
        ("alm_…", r"\b(alm_(?:live|test)_[A-Za-z0-9_-]{8,})"),
        ("sk-…", r"\b(sk-[A-Za-z0-9_-]{16,})"),
        ("AKIA…", r"\b((?:AKIA|ASIA)[A-Z0-9]{16})\b"),
        ("AIza…", r"\b(AIza[A-Za-z0-9_-]{35})"),
        ("gh…", r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{36,})"),
        ("xox…", r"\b(xox[abeprs]-[A-Za-z0-9-]{10,})"),
        ("hf_…", r"\b(hf_[A-Za-z0-9]{30,})"),
        ("a JWT", r"\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)"),
        ("Bearer …", r#"(?i)\bbearer[\s:]+"?([A-Za-z0-9._~+/=-]{8,})"#),
    ];
    kinds.map(|(kind, pattern)| (kind, Regex::new(pattern).expect("a pattern"))).into()
});

/// How headers say of what kind the credential is.
const SCHEMES: [&str; 3] = ["bearer", "basic", "token"];

/// Kinds whose words may be words of a language: without a digit they are no secret.
const WANT_A_DIGIT: [&str; 2] = ["sk-…", "Bearer …"];

/// What looks for secrets.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    known: Vec<Secret>,
}

/// The secrets of one exchange, each with its number.
pub(super) struct Scrub<'a> {
    scrubber: &'a Scrubber,
    seen: Vec<String>,
}

impl Scrubber {
    /// One that knows these secrets, and the looks of others.
    pub fn new(known: Vec<Secret>) -> Self {
        Scrubber::default().with(&known)
    }

    /// The same with more.
    pub fn with(&self, more: &[Secret]) -> Self {
        let bare = more.iter().map(|secret| without_scheme(secret.expose()));
        let long = bare.filter(|secret| secret.len() >= SECRET_BYTES_MIN).map(Secret::new);
        Scrubber { known: self.known.iter().cloned().chain(long).collect() }
    }

    /// A text without its secrets.
    pub fn masked(&self, text: &str) -> String {
        self.begin().text(text)
    }

    /// Begins an exchange.
    pub(super) fn begin(&self) -> Scrub<'_> {
        Scrub { scrubber: self, seen: Vec::new() }
    }

    /// Leaves the secrets of a tool's exchange out.
    pub fn tool(&self, exchange: &mut ToolExchange) {
        let mut scrub = self.begin();
        exchange.input = scrub.value(&exchange.input);
        exchange.output = exchange.output.as_ref().map(|output| scrub.value(output));
        exchange.error = exchange.error.as_ref().map(|error| scrub.text(error));
    }

    /// What an answer holds that looks like a secret, as sentences call it: in its bytes as they came, and in what they say.
    pub fn secret_in(&self, exchange: &Exchange) -> Option<&'static str> {
        let mut raw = Vec::new();
        for (_, piece) in &exchange.body {
            raw.extend_from_slice(&piece.bytes().unwrap_or_default());
        }
        let texts = folded(&raw, exchange.in_thoughts);
        let first = |text: &String| self.find(text).into_iter().next();
        let raw = String::from_utf8_lossy(&raw).into_owned();
        texts.iter().chain([&raw]).find_map(first).map(|(_, kind)| kind)
    }

    /// The secrets of a text, in order and apart from each other.
    fn find(&self, text: &str) -> Vec<(Range<usize>, &'static str)> {
        let known = self.known.iter().flat_map(|secret| {
            let at = text.match_indices(secret.expose());
            at.map(|(at, found)| (at..at + found.len(), "a key of this server"))
        });
        let looks = KINDS.iter().flat_map(|(kind, regex)| {
            let found = regex.captures_iter(text).filter_map(|found| found.get(1));
            let found = found.filter(|found| {
                !WANT_A_DIGIT.contains(kind) || found.as_str().bytes().any(|byte| byte.is_ascii_digit())
            });
            found.map(|found| (found.range(), *kind))
        });
        let mut found: Vec<_> = known.chain(looks).collect();
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut end = 0;
        found.retain(|(range, _)| {
            let is_apart = range.start >= end;
            end = if is_apart { range.end } else { end };
            is_apart
        });
        found
    }
}

impl Scrub<'_> {
    /// A text with a number in place of each secret.
    pub(super) fn text(&mut self, text: &str) -> String {
        let (mut scrubbed, mut end) = (String::with_capacity(text.len()), 0);
        for (range, _) in self.scrubber.find(text) {
            let secret = &text[range.clone()];
            let number = self.seen.iter().position(|seen| seen == secret).unwrap_or_else(|| {
                self.seen.push(secret.to_owned());
                self.seen.len() - 1
            });
            scrubbed.push_str(&text[end..range.start]);
            scrubbed.push_str(&format!("[secret {}]", number + 1));
            end = range.end;
        }
        scrubbed.push_str(&text[end..]);
        scrubbed
    }

    /// The same for every text of a value, its keys included.
    pub(super) fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(key, field)| (self.text(key), self.value(field))).collect())
            }
            plain => plain.clone(),
        }
    }
}

/// A header's value without the word that says of what kind it is: what else holds the secret may not have that word.
fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some((scheme, rest)) if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => rest.trim_start(),
        _ => value,
    }
}

/// What a body says, each kind of it in one piece: a stream cuts words anywhere.
fn folded(body: &[u8], in_thoughts: bool) -> Vec<String> {
    let (mut decoder, mut deltas) = (Decoder::in_thoughts(in_thoughts), Vec::new());
    decoder.feed(body, &mut deltas);
    let ending = decoder.finish(&mut deltas);
    let (mut said, mut thought, mut others) = (String::new(), String::new(), Vec::new());
    for delta in deltas {
        match delta {
            Delta::Text(text) => said.push_str(&text),
            Delta::Reasoning(text) => thought.push_str(&text),
            Delta::Source { url, title } => others.extend([Some(url), title].into_iter().flatten()),
            Delta::ToolStart { .. } | Delta::ToolArguments { .. } | Delta::Fault(_) => {}
        }
    }
    for call in ending.calls {
        // Escaped as JSON a secret may look like none.
        let read = serde_json::from_str(&call.arguments).map(|value: Value| texts(&value)).unwrap_or_default();
        others.extend(read.into_iter().chain([call.arguments]));
    }
    others.extend([said, thought]);
    others
}

/// The texts of a value.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| [vec![key.clone()], texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::cassette::line::Piece;

    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";

    /// A body that says so in so many pieces.
    fn streamed(pieces: &[&str]) -> Vec<(u64, Piece)> {
        let event = |piece: &&str| {
            let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": piece } }] });
            (0, Piece::Text(format!("data: {chunk}\n\n")))
        };
        let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        pieces.iter().map(event).chain([(0, Piece::Text(end.into()))]).collect()
    }

    /// A text of each kind, with what of it is secret.
    fn each() -> Vec<(&'static str, String)> {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
        [
            ("a key of this server", "hunter-2-hunter"),
            ("alm_…", "alm_live_0123456789abcdef"),
            ("alm_…", "alm_test_0123456789abcdef"),
            ("sk-…", "sk-proj-0123456789abcdef"),
            ("AKIA…", "AKIAIOSFODNN7EXAMPLE"),
            ("AIza…", "AIzaSyA0123456789abcdefghijklmnopqrstuv"),
            ("gh…", "ghp_0123456789abcdefghijklmnopqrstuvwxyz"),
            ("xox…", "xoxb-0123456789-abcdef"),
            ("hf_…", "hf_0123456789abcdefghijklmnopqrst"),
            ("a JWT", JWT),
            ("Bearer …", "tok3n-of-someone"),
            ("a PEM block", pem),
        ]
        .map(|(kind, secret)| (kind, secret.to_owned()))
        .into()
    }

    fn around(kind: &str, secret: &str) -> String {
        let before = if kind == "Bearer …" { "Authorization: Bearer " } else { "it is " };
        format!("{before}{secret}, is it not?")
    }

    fn scrubber() -> Scrubber {
        Scrubber::new(vec![Secret::new("hunter-2-hunter")])
    }

    #[test]
    fn every_kind_of_secret_gets_a_number_in_texts_and_values() {
        let scrubber = scrubber();
        for (kind, secret) in each() {
            let text = around(kind, &secret);
            let expected = text.replace(&secret, "[secret 1]");
            assert_eq!(scrubber.begin().text(&text), expected, "{kind}");
            let value = json!({ "a": [1, text], secret.clone(): true });
            let scrubbed = scrubber.begin().value(&value);
            assert_eq!(scrubbed["a"], json!([1, expected]), "{kind}");
            assert!(kind == "Bearer …" || !scrubbed.to_string().contains(&secret), "{scrubbed}");
            let mut tool = ToolExchange {
                input: json!({ "q": text }),
                output: Some(json!(text)),
                error: Some(text.clone()),
                ..ToolExchange::default()
            };
            scrubber.tool(&mut tool);
            assert!(!format!("{tool:?}").contains(&secret), "{kind}: {tool:?}");
        }
    }

    #[test]
    fn what_only_looks_a_little_like_a_secret_stays() {
        for text in [
            "sk-learn",
            "scikit sk-learn-and-other-libraries",
            "the bearer certificate",
            "bearer of news",
            "alm_live_",
            "AKIA",
            "eyJ.a.b",
            "a risk-0123456789abcdefgh",
            "hf_hub",
            "BEGIN PRIVATE KEY",
            "alm serve --live",
        ] {
            assert_eq!(scrubber().begin().text(text), text);
        }
    }

    #[test]
    fn a_secret_keeps_its_number_through_an_exchange() {
        let scrubber = scrubber();
        let mut scrub = scrubber.begin();
        let (one, other) = ("sk-0123456789abcdef", "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(scrub.text(&format!("{one} {other} {one}")), "[secret 1] [secret 2] [secret 1]");
        assert_eq!(scrub.text(other), "[secret 2]");
        assert_eq!(scrub.text("[secret 2]"), "[secret 2]", "what was left out is no secret");
    }

    #[test]
    fn a_secret_over_several_deltas_is_found_and_so_is_one_in_a_refusal() {
        let scrubber = scrubber();
        for (kind, secret) in each() {
            let text = around(kind, &secret);
            for pieces in [1, 3, 7] {
                let size = text.len().div_ceil(pieces);
                let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| str::from_utf8(piece).unwrap()).collect();
                let exchange = Exchange { body: streamed(&pieces), ..Exchange::default() };
                assert_eq!(scrubber.secret_in(&exchange), Some(kind), "{pieces:?}");
            }
            let refusal = json!({ "error": { "message": text } }).to_string();
            let body = vec![(0, Piece::of(&refusal.as_bytes()[..9])), (1, Piece::of(&refusal.as_bytes()[9..]))];
            assert_eq!(scrubber.secret_in(&Exchange { body, ..Exchange::default() }), Some(kind), "{refusal}");
        }
        let clean = Exchange { body: streamed(&["Hello", ", sk-learn."]), ..Exchange::default() };
        assert_eq!(scrubber.secret_in(&clean), None);
    }

    #[test]
    fn a_secret_in_arguments_and_in_thoughts_is_found() {
        let chunk =
            |delta: Value| (0, Piece::Text(format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }))));
        let call = |arguments: &str| {
            chunk(
                json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": arguments } }] }),
            )
        };
        let finish =
            (0, Piece::Text("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n".into()));
        let body = vec![call(r#"{"key":"sk-01234567"#), call(r#"89abcdef"}"#), finish];
        assert_eq!(scrubber().secret_in(&Exchange { body, ..Exchange::default() }), Some("sk-…"));
        let thoughts = ["hunter-", "2-hun", "ter"].map(|words| chunk(json!({ "reasoning_content": words })));
        let exchange = Exchange { body: thoughts.into(), ..Exchange::default() };
        assert_eq!(scrubber().secret_in(&exchange), Some("a key of this server"));
    }

    #[test]
    fn a_headers_secret_is_found_without_its_scheme() {
        let known = ["Bearer abcdef-1", "token abcdef-2", "two words"].map(Secret::new);
        let text = Scrubber::new(known.into()).masked("abcdef-1, Token abcdef-2, Bearer, words, two words");
        assert_eq!(text, "[secret 1], Token [secret 2], Bearer, words, [secret 3]");
    }

    #[test]
    fn a_known_secret_is_looked_for_from_so_many_bytes_on() {
        for bytes in [SECRET_BYTES_MIN - 1, SECRET_BYTES_MIN, SECRET_BYTES_MIN + 1] {
            let secret = "x".repeat(bytes);
            let scrubber = Scrubber::default().with(&[Secret::new(&*secret)]);
            assert_eq!(scrubber.begin().text(&secret) != secret, bytes >= SECRET_BYTES_MIN, "{bytes}");
        }
    }
}
