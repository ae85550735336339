//! What a tool's definition is recognised by: a hash that knows no order of keys.
//!
//! Rule: what a person allowed is bound to it, so everything that a person reads before allowing goes in.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of a value's canonical JSON.
pub fn fingerprint(definition: &Value) -> [u8; 32] {
    Sha256::digest(canonical(definition)).into()
}

/// JSON without white space and with the keys of each object in byte order.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As deep as the value, which a parser has bounded.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (at, value) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_changes_nothing() {
        let one = json!({"name": "a", "inputSchema": {"type": "object", "properties": {"x": {}, "y": [1, {"b": 1, "a": 2}]}}});
        let other = json!({"inputSchema": {"properties": {"y": [1, {"a": 2, "b": 1}], "x": {}}, "type": "object"}, "name": "a"});
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(fingerprint(&one), fingerprint(&other));
    }

    #[test]
    fn everything_else_changes_it() {
        let base = json!({"a": [1, 2], "b": {"c": "d"}, "e": null});
        for other in [
            json!({"a": [2, 1], "b": {"c": "d"}, "e": null}),
            json!({"a": [1, 2], "b": {"c": "D"}, "e": null}),
            json!({"a": [1, 2], "b": {"c": "d"}}),
            json!({"a": [1, 2], "b": {"c": "d", "e": null}}),
            json!({"a": ["1", 2], "b": {"c": "d"}, "e": null}),
            json!({"a": [12], "b": {"c": "d"}, "e": null}),
            json!({"a": [1, 2], "b": {"c": "d\""}, "e": null}),
        ] {
            assert_ne!(fingerprint(&base), fingerprint(&other), "{other}");
        }
    }

    #[test]
    fn it_is_the_known_hash_of_the_known_text() {
        let value = json!({"b": "\u{e9}\n", "a": [true, 1.5, -3]});
        assert_eq!(canonical(&value), "{\"a\":[true,1.5,-3],\"b\":\"\u{e9}\\n\"}");
        assert_eq!(hex(&fingerprint(&json!({}))), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    proptest! {
        #[test]
        fn canonical_json_is_the_same_value(keys in proptest::collection::vec("[a-z\"\\\\]{1,4}", 0..6), deep in 0..3u8) {
            let mut value = json!(1);
            for _ in 0..=deep {
                value = Value::Object(keys.iter().map(|key| (key.clone(), value.clone())).collect());
            }
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&value)).unwrap(), value);
        }
    }
}
