//! The smallest input that a schema takes.
//!
//! Rule: the same schema has the same one. Deliberately absent: what only a solver finds, such as a text for a pattern.

use serde_json::{Map, Value, json};

/// How deep a schema is followed: one may lead back to itself.
const DEPTH_MAX: usize = 16;
/// How long a text or a list is made at most, whatever a schema wants.
const LENGTH_MAX: u64 = 1_000;

/// The smallest value that fits a schema, as far as that can be seen.
pub fn smallest(schema: &Value) -> Value {
    of(schema, schema, DEPTH_MAX)
}

fn of(schema: &Value, root: &Value, depth: usize) -> Value {
    let first = |key: &str| schema[key].as_array().and_then(|list| list.first());
    if depth == 0 {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")).or(first("enum")) {
        return value.clone();
    }
    if let Some(place) = schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
        return root.pointer(place).map_or(Value::Null, |schema| of(schema, root, depth - 1));
    }
    if let Some(choice) = first("anyOf").or(first("oneOf")) {
        return of(choice, root, depth - 1);
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => {
            let length = schema["minItems"].as_u64().unwrap_or(0).min(LENGTH_MAX) as usize;
            let ahead = schema["prefixItems"].as_array().map(Vec::as_slice).unwrap_or_default();
            (0..length).map(|at| of(ahead.get(at).unwrap_or(&schema["items"]), root, depth - 1)).collect()
        }
        "string" => text(schema).into(),
        "integer" => json!(number(schema, true) as i64),
        "number" => json!(number(schema, false)),
        "boolean" => false.into(),
        _ => Value::Null,
    }
}

/// What it says of itself; else what its words are about.
fn kind(schema: &Value) -> &str {
    let said = &schema["type"];
    let said = said.as_str().or_else(|| said.as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null"));
    let about = [
        ("properties", "object"),
        ("required", "object"),
        ("items", "array"),
        ("minLength", "string"),
        ("minimum", "number"),
    ];
    let about = || about.iter().find(|(word, _)| schema.get(word).is_some()).map(|(_, kind)| *kind);
    said.or_else(about).unwrap_or("object")
}

/// What is required, and nothing else.
fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let mut made = Map::new();
    let parts = schema["allOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    for part in parts {
        if let Value::Object(more) = of(part, root, depth - 1) {
            made.extend(more);
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !made.contains_key(name) {
            let own = schema["properties"].get(name);
            let of_part = || parts.iter().find_map(|part| part["properties"].get(name));
            made.insert(
                name.to_owned(),
                of(own.or_else(of_part).unwrap_or(&json!({ "type": "string" })), root, depth - 1),
            );
        }
    }
    made.into()
}

fn text(schema: &Value) -> String {
    let made = match schema["format"].as_str() {
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("time") => "00:00:00Z",
        Some("email") => "ala@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-0000-0000-000000000000",
        Some("ipv4") => "192.0.2.1",
        _ => "",
    };
    let length = schema["minLength"].as_u64().unwrap_or(0).min(LENGTH_MAX) as usize;
    format!("{made}{}", "x".repeat(length.saturating_sub(made.len())))
}

/// The one nearest to zero.
fn number(schema: &Value, is_whole: bool) -> f64 {
    let step = schema["multipleOf"].as_f64().filter(|step| *step > 0.0);
    let step = step.unwrap_or(if is_whole { 1.0 } else { 0.0 });
    let up = |least: f64| if step > 0.0 { (least / step).ceil() * step } else { least };
    let above = |least: f64| if step > 0.0 { ((least / step).floor() + 1.0) * step } else { least + 1.0 };
    let least = schema["exclusiveMinimum"].as_f64().map(above).or_else(|| schema["minimum"].as_f64().map(up));
    let most = schema["exclusiveMaximum"]
        .as_f64()
        .map(|most| -above(-most))
        .or_else(|| schema["maximum"].as_f64().map(|most| -up(-most)));
    match (least, most) {
        (Some(least), _) if least > 0.0 => least,
        (_, Some(most)) if most < 0.0 => most,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_input_of_every_kind_of_schema() {
        for (schema, made) in [
            (json!({}), json!({})),
            (json!({ "type": "object", "properties": { "a": { "type": "string" } } }), json!({})),
            (
                json!({ "type": "object", "properties": { "a": { "type": "string", "minLength": 2 }, "b": { "type": "integer", "minimum": 1 },
                    "c": { "type": "boolean" } }, "required": ["a", "b", "c", "d"] }),
                json!({ "a": "xx", "b": 1, "c": false, "d": "" }),
            ),
            (json!({ "enum": ["red", "blue"] }), json!("red")),
            (json!({ "const": 7 }), json!(7)),
            (json!({ "type": "string", "default": "x" }), json!("x")),
            (json!({ "type": ["null", "string"], "format": "email", "minLength": 16 }), json!("ala@example.comx")),
            (json!({ "type": "array", "items": { "type": "integer" }, "minItems": 2 }), json!([0, 0])),
            (json!({ "type": "array", "prefixItems": [{ "type": "boolean" }], "minItems": 1 }), json!([false])),
            (json!({ "type": "number", "exclusiveMinimum": 0.5 }), json!(1.5)),
            (json!({ "type": "integer", "exclusiveMinimum": 4, "multipleOf": 5 }), json!(5)),
            (json!({ "type": "integer", "maximum": -3 }), json!(-3)),
            (json!({ "type": "integer", "minimum": -3 }), json!(0)),
            (json!({ "type": "null" }), json!(null)),
            (json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }] }), json!(0)),
            (
                json!({ "$defs": { "n": { "type": "integer", "minimum": 2 } }, "type": "object",
                    "allOf": [{ "properties": { "m": { "type": "boolean" } }, "required": ["m"] }],
                    "properties": { "n": { "$ref": "#/$defs/n" } }, "required": ["n"] }),
                json!({ "m": false, "n": 2 }),
            ),
            (json!({ "$ref": "#/nowhere" }), json!(null)),
            (json!({ "properties": { "a": true }, "required": ["a"] }), json!({ "a": {} })),
        ] {
            assert_eq!(smallest(&schema), made, "{schema}");
        }
    }

    #[test]
    fn a_schema_that_leads_back_to_itself_and_one_that_wants_too_much_have_an_end() {
        let mut nested =
            smallest(&json!({ "type": "object", "properties": { "a": { "$ref": "#" } }, "required": ["a"] }));
        let mut depth = 0;
        while let Some(inner) = nested.get_mut("a") {
            (nested, depth) = (inner.take(), depth + 1);
        }
        assert_eq!((nested, depth), (Value::Null, DEPTH_MAX / 2));
        for (wanted, made) in [(LENGTH_MAX - 1, LENGTH_MAX - 1), (LENGTH_MAX, LENGTH_MAX), (LENGTH_MAX + 1, LENGTH_MAX)]
        {
            let text = smallest(&json!({ "type": "string", "minLength": wanted }));
            assert_eq!(text.as_str().unwrap().len() as u64, made);
        }
    }
}
