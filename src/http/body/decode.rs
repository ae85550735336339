//! What a body holds, refused in the words of the caller's own JSON.
//!
//! Rule: a shape that does not fit is a 400 that names the field (`messages[0].role: expected a string`); a value out of
//! range is the resource's business and a 422. The declared schema is what both the document and the check go by.

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::ParseFromJSON,
};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Values in one body. An honest history has a tenth of them; as a tree each takes up to a hundred bytes.
const BODY_VALUES_MAX: usize = 200_000;

/// The `T` that a body's bytes hold.
pub fn decode<T: ParseFromJSON>(bytes: &[u8], schemas: &Registry) -> Result<T> {
    if bytes.is_empty() {
        return Err(Error::BadRequest("the body is empty: send a JSON object".into()));
    }
    if values_in(bytes, BODY_VALUES_MAX) > BODY_VALUES_MAX {
        return Err(Error::PayloadTooLarge(format!("the body holds more than {BODY_VALUES_MAX} values")));
    }
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| Error::BadRequest(format!("the body is not JSON: {error}")))?;
    if let Some(sentence) = mismatch(&value, &T::schema_ref(), schemas, "") {
        return Err(Error::BadRequest(sentence));
    }
    T::parse_from_json(Some(value))
        .map_err(|_| Error::BadRequest(format!("the body does not fit the schema of {}", T::name())))
}

/// The values in JSON, or a few too many: what begins an array or an object, or follows a comma. It counts no further than one more
/// than `max`, and builds nothing.
pub(super) fn values_in(json: &[u8], max: usize) -> usize {
    let (mut values, mut bytes) = (0, json.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b',' | b'[' | b'{' => values += 1,
            _ => {}
        }
        if values > max {
            break;
        }
    }
    values
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// The first place where `value` has another shape than `schema`, in the words of the JSON.
///
/// The parsers themselves know only the names of Rust types, and take a number for a string.
fn mismatch(value: &Value, schema: &MetaSchemaRef, schemas: &Registry, path: &str) -> Option<String> {
    let schema = match schema {
        MetaSchemaRef::Inline(schema) => schema,
        MetaSchemaRef::Reference(name) => schemas.schemas.get(name)?,
    };
    let at = if path.is_empty() { "the body" } else { path };
    let inherited = schema.all_of.iter().find_map(|part| mismatch(value, part, schemas, path));
    if inherited.is_some() {
        return inherited;
    }
    if !fits(value, schema.ty) {
        return Some(format!("{at}: expected {}", with_article(schema.ty)));
    }
    if !schema.enum_items.is_empty() && !schema.enum_items.contains(value) {
        let words: Vec<_> = schema.enum_items.iter().map(Value::to_string).collect();
        return Some(format!("{at}: expected one of {}", words.join(", ")));
    }
    if let Some(object) = value.as_object() {
        return mismatch_inside(object, schema, schemas, path);
    }
    let (Some(items), Some(array)) = (&schema.items, value.as_array()) else { return None };
    array.iter().enumerate().find_map(|(n, item)| mismatch(item, items, schemas, &format!("{path}[{n}]")))
}

fn mismatch_inside(object: &Map<String, Value>, schema: &MetaSchema, schemas: &Registry, path: &str) -> Option<String> {
    let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let named = schema.properties.iter().find_map(|(name, field)| match object.get(*name) {
        None | Some(Value::Null) => schema.required.contains(name).then(|| format!("{}: required", inner(name))),
        Some(value) => mismatch(value, field, schemas, &inner(name)),
    });
    let others = schema.additional_properties.as_deref();
    named.or_else(|| {
        object.iter().find_map(|(name, value)| others.and_then(|field| mismatch(value, field, schemas, &inner(name))))
    })
}

fn fits(value: &Value, ty: &str) -> bool {
    match ty {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => true,
    }
}

fn with_article(ty: &str) -> String {
    let article = if ty.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {ty}")
}

#[cfg(test)]
mod tests {
    use poem_openapi::{Enum, Object, types::Type};

    use super::*;

    #[derive(Debug, Enum)]
    #[oai(rename_all = "lowercase")]
    enum Role {
        User,
        Assistant,
    }

    #[derive(Debug, Object)]
    struct Message {
        role: Role,
        content: Option<String>,
    }

    #[derive(Debug, Object)]
    #[oai(rename_all = "camelCase")]
    struct Chat {
        messages: Vec<Message>,
        max_steps: Option<u8>,
    }

    fn refusal(body: &str) -> String {
        let mut registry = Registry::new();
        Chat::register(&mut registry);
        decode::<Chat>(body.as_bytes(), &registry).expect_err(body).to_string()
    }

    #[test]
    fn a_refusal_names_the_field_of_the_json() {
        for (body, sentence) in [
            ("", "the body is empty: send a JSON object"),
            ("[1]", "the body: expected an object"),
            ("{}", "messages: required"),
            (r#"{"messages":"x"}"#, "messages: expected an array"),
            (r#"{"messages":[{"role":"x"}]}"#, r#"messages[0].role: expected one of "user", "assistant""#),
            (r#"{"messages":[{"role":"user","content":5}]}"#, "messages[0].content: expected a string"),
            (r#"{"messages":[],"maxSteps":1.5}"#, "maxSteps: expected an integer"),
            (r#"{"messages":[],"maxSteps":999}"#, "the body does not fit the schema of Chat"),
        ] {
            assert_eq!(refusal(body), sentence, "{body}");
        }
        assert!(refusal("{").starts_with("the body is not JSON: "));
    }

    #[test]
    fn values_are_counted_before_any_is_built_and_text_is_none() {
        for (json, values) in [
            ("", 0),
            ("5", 0),
            (r#"{"a":1}"#, 1),
            (r#"[[],{},"a,[{\"],\\",5]"#, 6),
            (r#"{"a":"[[[[","b\\":[1,2]}"#, 4),
            (r#"{"a":",,,,"#, 1),
        ] {
            assert_eq!(values_in(json.as_bytes(), 100), values, "{json}");
        }
        assert_eq!(values_in(&[b'['; 1_000], 5), 6);
    }

    #[test]
    fn a_body_of_more_values_than_the_bound_is_refused_whatever_they_are() {
        let mut registry = Registry::new();
        Chat::register(&mut registry);
        // Three of its values are around the numbers.
        for (numbers, fits) in [(BODY_VALUES_MAX - 4, true), (BODY_VALUES_MAX - 3, true), (BODY_VALUES_MAX - 2, false)]
        {
            let body = format!(r#"{{"messages":[],"x":[0{}]}}"#, ",0".repeat(numbers - 1));
            assert_eq!(values_in(body.as_bytes(), usize::MAX), numbers + 3);
            match decode::<Chat>(body.as_bytes(), &registry) {
                Ok(_) => assert!(fits),
                Err(error) => {
                    assert!(!fits && matches!(error, Error::PayloadTooLarge(_)));
                    assert_eq!(error.to_string(), "the body holds more than 200000 values");
                }
            }
        }
    }

    #[test]
    fn unknown_fields_and_nulls_of_optional_ones_are_fine() {
        let mut registry = Registry::new();
        Chat::register(&mut registry);
        let body = br#"{"messages":[{"role":"assistant","content":null,"x":1}],"y":{}}"#;
        let chat: Chat = decode(body, &registry).unwrap();
        assert!(matches!(chat.messages[..], [Message { role: Role::Assistant, content: None }]));
    }
}
