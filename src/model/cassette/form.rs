//! Texts and values as they are compared: what differs from run to run without meaning anything looks alike.
//!
//! Rule: a normal form is its own normal form, so what was read from a file can be normalised again.
//! Deliberately absent: dates without a time of day, which people ask about.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

/// Up to here a float holds every whole number.
const WHOLE: f64 = 9_007_199_254_740_992.0;

static UUID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b").expect("a pattern"));

static TIME: LazyLock<Regex> = LazyLock::new(|| {
    let iso = r"\b\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:[Zz]\b| ?UTC\b|[+-]\d{2}:?\d{2}\b)?";
    let http = r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT\b";
    Regex::new(&format!("{iso}|{http}")).expect("a pattern")
});

/// A text with its UUIDs and times alike, without blanks around it.
pub fn text(text: &str) -> String {
    let text = text.trim();
    // Most texts have neither.
    if !text.bytes().any(|byte| byte == b'-' || byte == b':') {
        return text.to_owned();
    }
    let alike = UUID.replace_all(text, "<uuid>");
    TIME.replace_all(&alike, "<time>").into_owned()
}

/// A value with its keys sorted, its whole numbers as whole numbers, and its texts in their normal form.
pub fn value(value: &Value) -> Value {
    match value {
        Value::String(words) => Value::String(text(words)),
        Value::Number(number) => Value::Number(self::number(number)),
        Value::Array(items) => items.iter().map(self::value).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            Value::Object(
                fields.into_iter().map(|(key, field)| (key.clone(), self::value(field))).collect::<Map<_, _>>(),
            )
        }
        plain => plain.clone(),
    }
}

/// SHA-256 of a value in its normal form.
pub fn hash(value: &Value) -> [u8; 32] {
    Sha256::digest(value.to_string()).into()
}

/// A hash as it is written.
pub fn shown(hash: &[u8]) -> String {
    hash.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn number(number: &Number) -> Number {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= WHOLE => (float as i64).into(),
        _ => number.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A text that may be JSON: by its value if it is.
    fn written(words: &str) -> Value {
        serde_json::from_str(words).map_or_else(|_| Value::String(text(words)), |read| value(&read))
    }

    #[test]
    fn uuids_and_times_look_alike_and_dates_do_not() {
        for (given, expected) in [
            (" Hi\n", "Hi"),
            ("id 0193746A-7c5b-7def-8abc-0123456789ab.", "id <uuid>."),
            ("at 2026-11-30T02:40:00Z", "at <time>"),
            ("at 2026-11-30T02:40:00.123+01:00, yes", "at <time>, yes"),
            ("at 2026-11-30 02:40 UTC", "at <time>"),
            ("Mon, 30 Nov 2026 02:40:00 GMT", "<time>"),
            ("What was on 2026-11-30?", "What was on 2026-11-30?"),
            ("at 14:03", "at 14:03"),
            ("0193746a-7c5b-7def-8abc-0123456789abc", "0193746a-7c5b-7def-8abc-0123456789abc"),
        ] {
            assert_eq!(text(given), expected, "{given}");
            assert_eq!(text(expected), expected);
        }
    }

    #[test]
    fn json_is_compared_by_value() {
        for (one, other) in [
            (r#"{"b":15000.0,"a":[1.5]}"#, r#"{ "a": [1.50], "b": 15000 }"#),
            ("-0.0", "0"),
            ("1e3", "1000"),
            (r#""2026-11-30T02:40:00Z""#, r#""2026-12-01T03:41:11Z""#),
            ("not json ", "not json"),
        ] {
            assert_eq!(written(one), written(other), "{one}");
            assert_eq!(hash(&written(one)), hash(&written(other)));
            assert_eq!(value(&written(one)), written(one));
        }
        for (one, other) in [("1", "2"), ("1.5", "1"), ("18446744073709551615", "18446744073709551616"), ("[]", "{}")] {
            assert_ne!(written(one), written(other), "{one}");
        }
        assert!(shown(&hash(&json!({}))).starts_with("sha256:44136fa3"));
    }
}
