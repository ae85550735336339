//! `current_time`: what no model knows by itself.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::time::Timestamp;

/// Farthest time zone from UTC, in minutes.
const OFFSET_MINUTES_MAX: i64 = 14 * 60;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arguments {
    utc_offset_minutes: Option<i64>,
}

pub(super) fn spec() -> (&'static str, Value) {
    let description = "The current date and time. Call it whenever an answer depends on what day or time it is.";
    let parameters = json!({
        "type": "object",
        "properties": {
            "utcOffsetMinutes": {
                "type": "integer",
                "description": "Minutes east of UTC of the wanted time zone, -840 to 840; UTC if absent."
            }
        },
        "additionalProperties": false
    });
    (description, parameters)
}

pub(super) fn run(arguments: &Arguments) -> Result<Value, String> {
    let now = Timestamp::now();
    let offset = arguments.utc_offset_minutes.unwrap_or(0);
    if offset.abs() > OFFSET_MINUTES_MAX {
        return Err("utcOffsetMinutes must be between -840 and 840.".into());
    }
    let there = Timestamp::from_millis(now.as_millis() + offset * 60_000).to_string();
    let zone = format!("UTC{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 60, offset.abs() % 60);
    Ok(json!({ "utc": now.to_string(), "local": there.trim_end_matches('Z'), "zone": zone }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_taken_up_to_its_bound_on_either_side() {
        for minutes in [0, OFFSET_MINUTES_MAX - 1, OFFSET_MINUTES_MAX, OFFSET_MINUTES_MAX + 1] {
            for offset in [minutes, -minutes] {
                let told = run(&Arguments { utc_offset_minutes: Some(offset) });
                assert_eq!(told.is_ok(), minutes <= OFFSET_MINUTES_MAX, "{offset}");
            }
        }
    }
}
