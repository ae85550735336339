//! What is told of values that do not fit, and what a look at one may cost.

use serde_json::json;

use super::*;

fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let found = Found::in_schema(schema).unwrap();
    let told = Check::new(schema, &found, false).faults(value, 10);
    told.into_iter().map(|(path, text)| format!("{path}: {text}")).collect()
}

#[test]
fn a_fault_is_told_by_its_path_and_what_to_do_about_it() {
    for (schema, value, told) in [
        (json!({ "required": ["title"] }), json!({}), "title: is required"),
        (json!({ "properties": { "a": { "type": "boolean" } } }), json!({ "a": "yes" }), "a: must be boolean"),
        (json!({ "type": ["string", "null"] }), json!(1), ": must be a string or null"),
        (json!({ "items": { "minimum": 2 } }), json!([3, 1]), "1: must be at least 2"),
        (json!({ "minimum": 2, "exclusiveMinimum": true }), json!(2), ": must be more than 2"),
        (json!({ "multipleOf": 0.01 }), json!(19.995), ": must be a multiple of 0.01"),
        (json!({ "enum": ["a", 1] }), json!("b"), ": must be one of \"a\", 1"),
        (json!({ "maxLength": 1 }), json!("ab"), ": must have at most 1 characters"),
        (json!({ "pattern": "^a" }), json!("b"), ": must match ^a"),
        (json!({ "additionalProperties": false }), json!({ "x": 1 }), "x: is not allowed"),
        (json!({ "oneOf": [true, {}] }), json!(1), ": must fit exactly one of 2 shapes, and fits 2"),
        (json!({ "not": {} }), json!(1), ": has a shape that is not allowed"),
        (json!({ "uniqueItems": true }), json!([1, 1.0]), ": must have no item twice"),
        (json!({ "dependentRequired": { "a": ["b"] } }), json!({ "a": 1 }), "b: is required with a"),
        (json!({ "properties": { "a": {} }, "unevaluatedProperties": false }), json!({ "b": 1 }), "b: is not allowed"),
    ] {
        assert_eq!(faults(&schema, &value), [told], "{schema}");
    }
    assert_eq!(faults(&json!({ "multipleOf": 0.01 }), &json!(19.99)), [""; 0]);
}

/// A schema of so many parts, itself among them.
fn costs(steps: usize) -> Vec<String> {
    faults(&json!({ "allOf": vec![true; steps - 1] }), &json!(1))
}

#[test]
fn what_refers_to_itself_for_ever_ends() {
    let endless = json!({ "$ref": "#" });
    let branching = json!({ "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] });
    for schema in [endless, branching] {
        assert_eq!(faults(&schema, &json!(1)), [format!(": {TOO_COSTLY}")], "{schema}");
    }
    assert!(costs(CHECK_STEPS_MAX - 1).is_empty() && costs(CHECK_STEPS_MAX).is_empty());
    assert_eq!(costs(CHECK_STEPS_MAX + 1), [format!(": {TOO_COSTLY}")]);
    for (depth, taken) in [(CHECK_DEPTH_MAX - 1, true), (CHECK_DEPTH_MAX, true), (CHECK_DEPTH_MAX + 1, false)] {
        let schema = (1..depth).fold(json!({}), |inner, _| json!({ "allOf": [inner] }));
        assert_eq!(faults(&schema, &json!(1)).is_empty(), taken, "{depth}");
    }
}
