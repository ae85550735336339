//! Whether a value is a JSON Schema: each keyword of it has the form that it has in drafts 4 to 2020-12.
//!
//! Deliberately absent: which keyword belongs to which draft. Each is read as its form says: `items` may be a schema or a list of
//! them. Formats are notes and not rules, as in the newest drafts.

use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use regex::Regex;
use serde_json::Value;

use super::pattern;

/// The words of `type`.
pub const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

const OF_ONE: [&str; 9] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "additionalProperties",
    "additionalItems",
    "unevaluatedItems",
];
const OF_LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const OF_NAMES: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
const COUNTS: [&str; 8] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"];

/// What was found on the way through a schema.
#[derive(Default)]
pub struct Found {
    /// By their text.
    pub patterns: HashMap<String, Regex>,
    /// Pointers to what has a name.
    anchors: HashMap<String, String>,
    references: Vec<String>,
    /// Pointers of schemas within it that have an `$id` of their own, from which references would lead elsewhere.
    resources: Vec<String>,
    /// Pointers of the schemas that were looked at.
    seen: HashSet<String>,
}

impl Found {
    /// Looks at a whole schema; a refusal says what is wrong with it.
    pub fn in_schema(root: &Value) -> Result<Self, String> {
        let mut found = Found::default();
        found.walk(root, "")?;
        while let Some(reference) = found.references.pop() {
            let pointer = found.pointer(&reference).ok_or_else(|| format!("{reference} leads nowhere"))?;
            let target = root.pointer(&pointer).ok_or_else(|| format!("{reference} leads nowhere"))?;
            found.walk(target, &pointer)?;
        }
        Ok(found)
    }

    /// Where a reference within the schema leads.
    pub fn pointer(&self, reference: &str) -> Option<String> {
        let fragment = decoded(reference.strip_prefix('#')?);
        match fragment.is_empty() || fragment.starts_with('/') {
            true => Some(fragment),
            false => self.anchors.get(&fragment).cloned(),
        }
    }

    fn walk(&mut self, schema: &Value, at: &str) -> Result<(), String> {
        if !self.seen.insert(at.to_owned()) {
            return Ok(());
        }
        match schema {
            Value::Bool(_) => Ok(()),
            Value::Object(rules) => {
                let id = rules.get("$id").or_else(|| rules.get("id")).and_then(Value::as_str);
                if id.is_some_and(|id| !id.starts_with('#')) && !at.is_empty() {
                    self.resources.push(at.to_owned());
                }
                rules.iter().try_for_each(|(name, rule)| self.rule(name, rule, &below(at, name)))
            }
            _ => Err(format!("{} is neither an object nor true or false", place(at))),
        }
    }

    fn rule(&mut self, name: &str, rule: &Value, at: &str) -> Result<(), String> {
        match name {
            "items" if rule.is_array() => self.walk_list(rule, at),
            "items" | "unevaluatedProperties" => self.walk(rule, at),
            name if OF_ONE.contains(&name) => self.walk(rule, at),
            name if OF_LISTS.contains(&name) => self.walk_list(rule, at),
            name if OF_NAMES.contains(&name) => {
                let of = rule.as_object().ok_or_else(|| format!("{} is no object", place(at)))?;
                if name == "patternProperties" {
                    of.keys().try_for_each(|pattern| self.pattern(pattern))?;
                }
                of.iter().try_for_each(|(name, schema)| self.walk(schema, &below(at, name)))
            }
            "dependencies" | "dependentRequired" => {
                let of = rule.as_object().ok_or_else(|| format!("{} is no object", place(at)))?;
                of.iter().try_for_each(|(name, needs)| match needs {
                    Value::Array(_) => is(are_texts(needs), at, "is no list of names"),
                    schema => self.walk(schema, &below(at, name)),
                })
            }
            "type" => is(is_type(rule) || rule.as_array().is_some_and(|all| all.iter().all(is_type)), at, "is no type"),
            "enum" => is(rule.is_array(), at, "is no list"),
            "required" => is(are_texts(rule), at, "is no list of names"),
            "multipleOf" => is(rule.as_f64().is_some_and(|number| number > 0.0), at, "is no number over 0"),
            "minimum" | "maximum" => is(rule.is_number(), at, "is no number"),
            // Draft 4 says only whether the bound is one of the values.
            "exclusiveMinimum" | "exclusiveMaximum" => is(rule.is_number() || rule.is_boolean(), at, "is no number"),
            "uniqueItems" => is(rule.is_boolean(), at, "is neither true nor false"),
            "pattern" => match rule.as_str() {
                Some(pattern) => self.pattern(pattern),
                None => is(false, at, "is no text"),
            },
            "$ref" | "$dynamicRef" | "$recursiveRef" => {
                is(rule.is_string(), at, "is no text")?;
                let is_within = |resource: &String| at.starts_with(&format!("{resource}/"));
                is(
                    !self.resources.iter().any(is_within),
                    at,
                    "stands in a schema with an $id of its own, which is not read",
                )?;
                self.references.extend(rule.as_str().map(str::to_owned));
                Ok(())
            }
            "$anchor" | "$dynamicAnchor" | "$id" | "id" => {
                self.name(rule, at);
                Ok(())
            }
            name if COUNTS.contains(&name) => is(count(rule).is_some(), at, "is no count"),
            _ => Ok(()),
        }
    }

    /// A schema's own name within the whole; in the older drafts it is written as a reference.
    fn name(&mut self, rule: &Value, at: &str) {
        let (Some((schema, keyword)), Some(text)) = (at.rsplit_once('/'), rule.as_str()) else { return };
        let name = if keyword.ends_with("id") { text.strip_prefix('#') } else { Some(text) };
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.anchors.entry(name.to_owned()).or_insert_with(|| schema.to_owned());
        }
    }

    fn walk_list(&mut self, rule: &Value, at: &str) -> Result<(), String> {
        let all = rule.as_array().ok_or_else(|| format!("{} is no list", place(at)))?;
        all.iter().enumerate().try_for_each(|(n, schema)| self.walk(schema, &format!("{at}/{n}")))
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        if !self.patterns.contains_key(pattern) {
            self.patterns.insert(pattern.to_owned(), pattern::compile(pattern)?);
        }
        Ok(())
    }
}

/// A number of things; `2.0` is one.
pub fn count(rule: &Value) -> Option<u64> {
    rule.as_u64().or_else(|| rule.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64))
}

fn is_type(rule: &Value) -> bool {
    rule.as_str().is_some_and(|word| TYPES.contains(&word))
}

fn are_texts(rule: &Value) -> bool {
    rule.as_array().is_some_and(|all| all.iter().all(Value::is_string))
}

fn is(holds: bool, at: &str, fault: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{} {fault}", place(at))) }
}

fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn place(at: &str) -> &str {
    if at.is_empty() { "it" } else { at.trim_start_matches('/') }
}

/// A fragment without its percent signs.
fn decoded(fragment: &str) -> String {
    percent_decode_str(fragment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_schema_is_refused_where_it_is_wrong() {
        for (schema, said) in [
            (json!({ "properties": { "a": { "type": "strin" } } }), "properties/a/type is no type"),
            (json!({ "required": true }), "required is no list of names"),
            (json!({ "items": 7 }), "items is neither an object nor true or false"),
            (json!({ "anyOf": {} }), "anyOf is no list"),
            (json!({ "maxLength": -1 }), "maxLength is no count"),
            (json!({ "multipleOf": 0 }), "multipleOf is no number over 0"),
            (json!({ "pattern": "a(?=b)" }), "the pattern a(?=b), which cannot be read"),
            (json!({ "$ref": "#/$defs/a" }), "#/$defs/a leads nowhere"),
            (json!({ "$defs": { "a": { "$id": "b", "$ref": "#" } } }), "an $id of its own"),
        ] {
            let refused = Found::in_schema(&schema).err().unwrap_or_default();
            assert!(refused.contains(said), "{schema}: {refused}");
        }
    }

    #[test]
    fn a_reference_leads_by_pointer_and_by_name() {
        let schema = json!({ "$defs": { "a/b%": { "$anchor": "here" }, "old": { "$id": "#there" } },
            "allOf": [{ "$ref": "#/$defs/a~1b%25" }, { "$ref": "#here" }, { "$ref": "#there" }, { "$ref": "#" }] });
        let found = Found::in_schema(&schema).unwrap();
        assert_eq!(found.pointer("#here").as_deref(), Some("/$defs/a~1b%"));
        assert_eq!(found.pointer("#there").as_deref(), Some("/$defs/old"));
        assert_eq!(found.pointer("#/$defs/a~1b%25").as_deref(), Some("/$defs/a~1b%"));
        assert_eq!((found.pointer("#"), found.pointer("#nowhere")), (Some(String::new()), None));
    }
}
