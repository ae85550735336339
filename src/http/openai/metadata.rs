//! What clients note about what they ask: `metadata`.

use serde_json::Value;

use super::error::Fault;

/// Pairs of `metadata`.
pub const METADATA_MAX: usize = 16;
/// Characters of a key of it.
pub const METADATA_KEY_CHARS_MAX: usize = 64;
/// Characters of a value of it.
pub const METADATA_CHARS_MAX: usize = 512;

/// Refuses metadata that are no short texts.
pub fn check(metadata: &Value) -> Result<(), Fault> {
    let Value::Object(pairs) = metadata else { return Err(Fault::invalid_type("metadata", "expected an object")) };
    if pairs.len() > METADATA_MAX {
        return Err(Fault::invalid_value("metadata", &format!("must hold at most {METADATA_MAX} pairs")));
    }
    for (key, value) in pairs {
        let Value::String(value) = value else {
            return Err(Fault::invalid_type(format!("metadata.{key}"), "expected a string"));
        };
        if key.chars().count() > METADATA_KEY_CHARS_MAX || value.chars().count() > METADATA_CHARS_MAX {
            let what =
                format!("must have at most {METADATA_CHARS_MAX} characters, and its key {METADATA_KEY_CHARS_MAX}");
            return Err(Fault::invalid_value(format!("metadata.{key}"), &what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn metadata_is_so_many_short_texts() {
        let pairs =
            |count: usize| -> Value { (0..count).map(|n| (n.to_string(), json!("x"))).collect::<Map<_, _>>().into() };
        for (count, fits) in [(METADATA_MAX - 1, true), (METADATA_MAX, true), (METADATA_MAX + 1, false)] {
            assert_eq!(check(&pairs(count)).is_ok(), fits, "{count}");
        }
        for (chars, fits) in
            [(METADATA_KEY_CHARS_MAX - 1, true), (METADATA_KEY_CHARS_MAX, true), (METADATA_KEY_CHARS_MAX + 1, false)]
        {
            assert_eq!(check(&json!({"ü".repeat(chars): "x"})).is_ok(), fits, "{chars}");
        }
        for (chars, fits) in
            [(METADATA_CHARS_MAX - 1, true), (METADATA_CHARS_MAX, true), (METADATA_CHARS_MAX + 1, false)]
        {
            assert_eq!(check(&json!({"k": "ü".repeat(chars)})).is_ok(), fits, "{chars}");
        }
        assert!(check(&json!({"k": 1})).is_err() && check(&json!([])).is_err());
    }
}
