//! A file that declares an HTTP tool.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    money::parse_usd,
    secret::Secret,
    store::tools::{Body, Policy},
    tools::{
        declare::{NewTool, ToolChange},
        secrets::NewSecret,
    },
};

/// As the API's `POST /tools` takes it, and with a secret from any variable.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declared {
    name: String,
    description: String,
    input_schema: Value,
    method: String,
    url: String,
    headers: Option<BTreeMap<String, String>>,
    secret_headers: Option<BTreeMap<String, Source>>,
    body: Option<String>,
    timeout_ms: Option<i64>,
    response_bytes_max: Option<i64>,
    approval: Option<String>,
    idempotent: Option<bool>,
    price_per_call: Option<Value>,
    is_active: Option<bool>,
}

/// Where a secret is.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Value(String),
    Env(String),
}

/// Reads one.
pub(in crate::cli) fn read(text: &str) -> Result<NewTool> {
    let declared: Declared = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Error::failed(format!("it declares no tool: {error}")))?;
    let secret = |(name, source)| match source {
        Source::Value(text) => (name, NewSecret::Text(Secret::new(text))),
        Source::Env(variable) => (name, NewSecret::Variable(variable)),
    };
    let more = ToolChange {
        headers: declared.headers.map(|headers| headers.into_iter().collect()),
        secrets: declared.secret_headers.map(|secrets| secrets.into_iter().map(secret).collect()),
        body: declared.body.as_deref().map(|word| word_of("body", word, Body::parse)).transpose()?,
        timeout_ms: declared.timeout_ms,
        response_bytes_max: declared.response_bytes_max,
        approval: declared.approval.as_deref().map(|word| word_of("approval", word, Policy::parse)).transpose()?,
        is_idempotent: declared.idempotent,
        price: declared
            .price_per_call
            .as_ref()
            .and_then(price_text)
            .map(|text| price("pricePerCall", &text))
            .transpose()?,
        is_active: declared.is_active,
        ..ToolChange::default()
    };
    Ok(NewTool {
        name: declared.name,
        description: declared.description,
        input_schema: declared.input_schema,
        method: declared.method,
        url: declared.url,
        more,
    })
}

fn word_of<T>(field: &str, word: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(word).ok_or_else(|| Error::invalid(field, format!("{word} is none of its words")))
}

/// A price is a text; a number says the same. None for none.
fn price_text(price: &Value) -> Option<String> {
    match price {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// US dollars in microcents.
pub(super) fn price(field: &str, text: &str) -> Result<i64> {
    parse_usd(text).map_err(|error| Error::invalid(field, error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_declares_a_tool_with_all_that_can_be_said_of_one() {
        let read = read(include_str!("../../../tests/golden/tools/create_ticket.json")).unwrap();
        assert_eq!((&*read.name, &*read.method), ("create_ticket", "POST"));
        assert_eq!(read.input_schema["required"], json!(["project", "title"]));
        let more = read.more;
        let secrets = vec![
            ("authorization".to_owned(), NewSecret::Text(Secret::new("Bearer very-secret"))),
            ("x-team".to_owned(), NewSecret::Variable("TEAM".into())),
        ];
        assert_eq!(more.secrets, Some(secrets));
        assert_eq!(more.headers, Some(vec![("accept".to_owned(), "application/json".to_owned())]));
        assert_eq!((more.approval, more.body, more.timeout_ms), (Some(Policy::Ask), Some(Body::Json), Some(30_000)));
        assert_eq!((more.is_idempotent, more.is_active, more.price), (Some(false), Some(true), Some(20_000)));
    }

    #[test]
    fn what_is_no_declaration_says_why() {
        let base = json!({ "name": "t", "description": "d", "inputSchema": {}, "method": "GET", "url": "http://x" });
        let with = |key: &str, value: Value| {
            let mut whole = base.clone();
            whole[key] = value;
            read(&whole.to_string()).map(|new| new.more.price).map_err(|error| error.to_string())
        };
        assert_eq!(with("pricePerCall", Value::Null), Ok(None));
        assert_eq!(with("pricePerCall", json!(0.5)), Ok(Some(500_000)));
        for (key, value, word) in [
            ("aproval", json!("ask"), "unknown field `aproval`"),
            ("approval", json!("hints"), "approval: hints is none of its words"),
            ("body", json!("xml"), "body: xml is none of its words"),
            ("pricePerCall", json!("cheap"), "pricePerCall: must be US dollars"),
            ("secretHeaders", json!({ "a": "x" }), "it declares no tool"),
            ("secretHeaders", json!({ "a": { "value": "x", "env": "Y" } }), "it declares no tool"),
        ] {
            let told = with(key, value).unwrap_err();
            assert!(told.contains(word), "{told}");
        }
        assert!(read("{}").is_err_and(|error| error.to_string().contains("missing field `name`")));
    }
}
