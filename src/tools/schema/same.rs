//! Values of JSON as schemas compare them: `1` and `1.0` are one number.

use std::cmp::Ordering;

use serde_json::Value;

/// How far a quotient may be from a whole number, as a part of it: decimals are not exact in memory.
const NEARLY: f64 = 1e-12;
/// Below this a whole number has 64 bits.
const WHOLE: f64 = 9e18;

/// A text that two values have in common if they are one.
pub fn key(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(key).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let mut fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), key(value))).collect();
            fields.sort_unstable();
            format!("{{{}}}", fields.join(","))
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if whole(value).is_none() && float.fract() == 0.0 && float.abs() < WHOLE => {
                (float as i64).to_string()
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Which of two numbers is larger.
pub fn compare(one: &Value, other: &Value) -> Ordering {
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => float(one).partial_cmp(&float(other)).unwrap_or(Ordering::Equal),
    }
}

/// Whether a number has no fraction.
pub fn is_integer(value: &Value) -> bool {
    whole(value).is_some() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// Whether a number is so many of another.
pub fn is_multiple(value: &Value, step: &Value) -> bool {
    if let (Some(value), Some(step)) = (whole(value), whole(step)) {
        return step != 0 && value % step == 0;
    }
    let quotient = float(value) / float(step);
    let off = (quotient - quotient.round()).abs();
    quotient.is_finite() && off <= NEARLY * quotient.abs().max(1.0)
}

fn whole(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_by_what_they_are_and_not_by_how_they_are_written() {
        let written = json!({ "a": [1, { "b": null }], "c": "x" });
        let again: Value = serde_json::from_str(r#"{"c":"x","a":[1.0,{"b":null}]}"#).unwrap();
        assert_eq!(key(&written), key(&again));
        for (one, other) in [(json!("1"), json!(1)), (json!(0), json!(false)), (json!([1, 2]), json!([2, 1]))] {
            assert_ne!(key(&one), key(&other));
        }
        assert_eq!(compare(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)), Ordering::Greater);
        for (value, step, is) in [
            (json!(19.99), json!(0.01), true),
            (json!(0.3), json!(0.1), true),
            (json!(0.35), json!(0.1), false),
            (json!(7), json!(2), false),
        ] {
            assert_eq!(is_multiple(&value, &step), is, "{value} {step}");
        }
    }
}
