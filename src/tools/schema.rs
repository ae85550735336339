//! JSON Schemas: whether one will do, and whether an input, or a reply, fits it.
//!
//! Rule: a schema is a stranger's text: checking it opens no file and no socket, its patterns run in linear time, and what it may
//! cost is bounded. Why not a library: the one that is looked after takes a tenth of the binary, and bounds no cost.

mod check; // whether a value fits
mod form; // whether a schema is one
mod pattern; // its patterns
mod same; // numbers and values, compared

use serde_json::Value;

use self::{check::Check, form::Found};

/// Bytes of one schema.
pub const TOOL_SCHEMA_BYTES_MAX: usize = 32 * 1024;
/// How deep one may be nested.
pub const TOOL_SCHEMA_DEPTH_MAX: usize = 32;
/// Faults of an input that are told.
const FAULTS_MAX: usize = 3;
/// Characters of one of them: a schema may quote a whole list of values.
const FAULT_CHARS_MAX: usize = 300;

/// The drafts in which rules beside a reference count for nothing.
const OLD_DRAFTS: [&str; 3] = ["draft-04", "draft-06", "draft-07"];

/// A schema, ready to check inputs.
pub struct Schema {
    root: Value,
    found: Found,
    is_old: bool,
}

impl Schema {
    /// Checks and compiles a schema; a refusal says what it is, as in `is not of type object`.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        if !schema.is_object() || schema.get("type").is_some_and(|kind| kind != "object") {
            return Err("is not of type object".into());
        }
        if schema.to_string().len() > TOOL_SCHEMA_BYTES_MAX {
            return Err(format!("is larger than {} KiB", TOOL_SCHEMA_BYTES_MAX / 1024));
        }
        if !is_within(TOOL_SCHEMA_DEPTH_MAX, schema) {
            return Err(format!("is nested deeper than {TOOL_SCHEMA_DEPTH_MAX}"));
        }
        if let Some(reference) = foreign_reference(schema) {
            return Err(format!("refers to {reference}, which is not in it"));
        }
        let found = Found::in_schema(schema).map_err(|fault| format!("is no JSON Schema: {}", shortened(&fault)))?;
        let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let is_old = OLD_DRAFTS.iter().any(|old| draft.contains(old));
        Ok(Schema { root: schema.clone(), found, is_old })
    }

    /// What is wrong with an input, the first faults by path; none if it fits.
    pub fn faults(&self, input: &Value) -> Vec<String> {
        let faults = Check::new(&self.root, &self.found, self.is_old).faults(input, FAULTS_MAX);
        let told = faults.into_iter().map(|(path, text)| {
            let text = shortened(&text);
            if path.is_empty() { text } else { format!("{path}: {text}") }
        });
        told.collect()
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(FAULT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The first reference to something outside the schema.
fn foreign_reference(schema: &Value) -> Option<String> {
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let named = ["$ref", "$dynamicRef", "$recursiveRef"].contains(&key.as_str());
            match value.as_str().filter(|text| named && !text.starts_with('#')) {
                Some(reference) => Some(reference.chars().take(FAULT_CHARS_MAX).collect()),
                None => foreign_reference(value),
            }
        }),
        Value::Array(items) => items.iter().find_map(foreign_reference),
        _ => None,
    }
}

/// Whether a value is nested at most that deep.
pub fn is_within(depth: usize, value: &Value) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_within(depth - 1, item)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| is_within(depth - 1, field)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ticket() -> Schema {
        let schema = json!({"type": "object", "required": ["title"], "additionalProperties": false, "properties": {
            "title": {"type": "string", "maxLength": 5}, "notify": {"type": "boolean"}, "n": {"type": "integer"}
        }});
        Schema::compile(&schema).unwrap()
    }

    #[test]
    fn an_input_is_told_its_first_faults_by_path() {
        assert_eq!(ticket().faults(&json!({"title": "x"})), Vec::<String>::new());
        let faults = ticket().faults(&json!({"notify": "yes", "n": 1.5}));
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("title")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("notify: ")), "{faults:?}");
        let many = ticket().faults(&json!({"a": 1, "b": 2, "title": 3, "notify": 4, "n": "5"}));
        assert_eq!(many.len(), FAULTS_MAX);
        let long = ticket().faults(&json!({"title": "x".repeat(10_000)}));
        assert!(long[0].chars().count() <= FAULT_CHARS_MAX + "title: …".len(), "{}", long[0].len());
    }

    #[test]
    fn a_schema_is_taken_up_to_its_bounds_and_no_further() {
        let of_bytes = |bytes: usize| {
            let empty = json!({"type": "object", "description": ""}).to_string().len();
            json!({"type": "object", "description": "x".repeat(bytes - empty)})
        };
        for (bytes, taken) in
            [(TOOL_SCHEMA_BYTES_MAX - 1, true), (TOOL_SCHEMA_BYTES_MAX, true), (TOOL_SCHEMA_BYTES_MAX + 1, false)]
        {
            assert_eq!(Schema::compile(&of_bytes(bytes)).is_ok(), taken, "{bytes}");
        }
        let of_depth = |depth: usize| {
            let mut inner = json!({"type": "object"});
            (1..depth).for_each(|_| inner = json!({"not": inner}));
            inner["type"] = "object".into();
            inner
        };
        for (depth, taken) in
            [(TOOL_SCHEMA_DEPTH_MAX - 1, true), (TOOL_SCHEMA_DEPTH_MAX, true), (TOOL_SCHEMA_DEPTH_MAX + 1, false)]
        {
            assert_eq!(Schema::compile(&of_depth(depth)).is_ok(), taken, "{depth}");
        }
    }

    #[test]
    fn what_is_no_schema_of_an_object_is_refused_in_words() {
        for (bad, said) in [
            (json!(true), "not of type object"),
            (json!({"type": "string"}), "not of type object"),
            (json!({"type": "object", "properties": {"a": {"type": "strin"}}}), "no JSON Schema"),
            (json!({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}), "file:///etc/passwd"),
            (json!({"type": "object", "allOf": [{"$ref": "https://example.com/s.json"}]}), "https://example.com"),
        ] {
            let refused = Schema::compile(&bad).err().unwrap_or_default();
            assert!(refused.contains(said), "{bad}: {refused}");
        }
        let inner =
            json!({"type": "object", "$defs": {"a": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/a"}}});
        assert_eq!(Schema::compile(&inner).unwrap().faults(&json!({"a": 1})).len(), 1);
    }

    #[test]
    fn a_catastrophic_pattern_costs_nothing() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}});
        let input = json!({"a": "a".repeat(50_000) + "!"});
        assert_eq!(Schema::compile(&schema).unwrap().faults(&input).len(), 1);
    }
}
