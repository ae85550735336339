//! Arguments that a modern server wants as headers too: those that its schema marks `x-mcp-header`.
//!
//! Rule: a mark that is not as the protocol has it sets its tool aside; the call would be refused.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// What marks a parameter.
const MARK: &str = "x-mcp-header";
/// What the names of such headers begin with.
const PREFIX: &str = "Mcp-Param-";
/// How a value is written that no header can carry as it is.
const ENCODED: (&str, &str) = ("=?base64?", "?=");
/// Where a schema keeps schemas by names that are no keywords.
const SCHEMAS_BY_NAME: [&str; 5] = ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties"];
/// Where a schema keeps values, which are no schemas.
const VALUES: [&str; 5] = ["default", "const", "enum", "examples", "dependentRequired"];

/// What is wrong with the marks of a schema.
pub(super) fn fault(schema: &Map<String, Value>) -> Option<String> {
    if schema.contains_key(MARK) || astray(schema, true) {
        return Some(format!("{MARK} stands where it marks no parameter"));
    }
    let mut seen = Vec::new();
    let mut wrong = None;
    each_mark(schema, &mut Vec::new(), &mut |path, parameter, mark| {
        let name = mark.as_str().unwrap_or_default().to_ascii_lowercase();
        let plain = matches!(parameter.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean"));
        if name.is_empty() || !name.bytes().all(is_token) || !plain || seen.contains(&name) {
            wrong.get_or_insert(format!("{MARK} of {} is wrong", path.join(".")));
        }
        seen.push(name);
    });
    wrong
}

/// Whether any parameter is marked.
pub(super) fn marks(schema: &Map<String, Value>) -> bool {
    let mut any = false;
    each_mark(schema, &mut Vec::new(), &mut |_, _, _| any = true);
    any
}

/// The headers of a call with these arguments.
pub(super) fn headers(schema: &Map<String, Value>, arguments: &Value) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    each_mark(schema, &mut Vec::new(), &mut |path, _, mark| {
        let Some(name) = mark.as_str() else { return };
        let argument = path.iter().try_fold(arguments, |value, key| value.get(key));
        let text = match argument {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            _ => return,
        };
        headers.push((format!("{PREFIX}{name}"), carried(&text)));
    });
    headers
}

/// Takes a mark: its path, its parameter and what it says.
type OnMark<'f, 'a> = dyn FnMut(&[&'a str], &Map<String, Value>, &Value) + 'f;

/// Each mark that is reached by `properties` alone. As deep as the schema, which is bounded.
fn each_mark<'a>(schema: &'a Map<String, Value>, path: &mut Vec<&'a str>, on_mark: &mut OnMark<'_, 'a>) {
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    for (name, parameter) in properties {
        let Value::Object(parameter) = parameter else { continue };
        path.push(name);
        if let Some(mark) = parameter.get(MARK) {
            on_mark(path, parameter, mark);
        }
        each_mark(parameter, path, on_mark);
        path.pop();
    }
}

/// Whether a mark stands anywhere but on a parameter. `is_parameter`: the schema is the root or one that is reached by `properties` alone.
fn astray(schema: &Map<String, Value>, is_parameter: bool) -> bool {
    let within = |value: &Value, is_parameter| match value {
        Value::Object(schema) => astray(schema, is_parameter),
        Value::Array(items) => items.iter().any(|item| item.as_object().is_some_and(|schema| astray(schema, false))),
        _ => false,
    };
    let by_name = |value: &Value, is_parameter| {
        value.as_object().is_some_and(|schemas| schemas.values().any(|schema| within(schema, is_parameter)))
    };
    schema.iter().any(|(key, value)| match &**key {
        MARK => !is_parameter,
        "properties" => by_name(value, is_parameter),
        key if SCHEMAS_BY_NAME.contains(&key) => by_name(value, false),
        key if VALUES.contains(&key) => false,
        _ => within(value, false),
    })
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A text as a header's value.
fn carried(text: &str) -> String {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim_matches(' ') == text;
    let (begin, end) = ENCODED;
    match plain && !(text.starts_with(begin) && text.ends_with(end)) {
        true => text.to_owned(),
        false => format!("{begin}{}{end}", STANDARD.encode(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn marked_arguments_are_headers_too() {
        let schema = schema(json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
            "flag": {"type": "boolean", "x-mcp-header": "Flag"}, "plain": {"type": "string"}}}));
        assert_eq!(fault(&schema), None);
        let arguments = json!({"region": "eu west", "deep": {"n": 3}, "plain": "x", "flag": null});
        let expected = [("Mcp-Param-Region", "eu west"), ("Mcp-Param-N", "3")];
        assert_eq!(headers(&schema, &arguments), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(headers(&schema, &json!({})), []);
    }

    #[test]
    fn a_value_that_no_header_carries_is_encoded() {
        let of = |text: &str| carried(text);
        assert_eq!(of("eu-1 a"), "eu-1 a");
        assert_eq!(of(""), "");
        for (text, encoded) in [
            ("\u{e9}", "w6k="),
            (" a", "IGE="),
            ("a\n", "YQo="),
            ("abc\u{7f}", "YWJjfw=="),
            ("=?base64?YQ==?=", "PT9iYXNlNjQ/WVE9PT89"),
        ] {
            assert_eq!(of(text), format!("=?base64?{encoded}?="));
        }
    }

    #[test]
    fn a_wrong_mark_is_found() {
        for wrong in [
            json!({"x-mcp-header": "A"}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": ""}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": 1}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "a b"}}}),
            json!({"properties": {"a": {"type": "object", "x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}}),
            json!({"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}}),
            json!({"$defs": {"a": {"type": "string", "x-mcp-header": "A"}}}),
            json!({"anyOf": [{"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}]}),
        ] {
            assert!(fault(&schema(wrong.clone())).is_some(), "{wrong}");
        }
        for right in [
            json!({"properties": {"x-mcp-header": {"type": "string"}}}),
            json!({"default": {"x-mcp-header": 1}, "properties": {"a": {"enum": [{"x-mcp-header": 1}]}}}),
        ] {
            assert_eq!(fault(&schema(right.clone())), None, "{right}");
        }
    }
}
