//! How the turn of a response ended, as it is kept beside its message: another API tells it again from that.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chunk::ErrorData;

/// What of the message's metadata is kept.
const KEPT: [&str; 3] = ["finishReason", "usage", "durationMs"];

/// An end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ending {
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorData>,
    /// Whether the last words or thoughts were broken off.
    pub is_open: bool,
    /// What its last chunk said.
    pub metadata: Map<String, Value>,
}

impl Ending {
    /// Of a turn whose last chunk has these metadata.
    pub fn new(error: Option<ErrorData>, is_open: bool, metadata: &Value) -> Self {
        let kept = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), metadata.get(key)?.clone())));
        Ending { error, is_open, metadata: kept.collect() }
    }

    /// As it is stored.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As it was stored; of a turn that no one ended, since the process went away, it is an open one.
    pub fn of(text: Option<&str>) -> Self {
        let read = text.and_then(|text| serde_json::from_str(text).ok());
        read.unwrap_or_else(|| Ending { is_open: true, ..Ending::default() })
    }

    /// Why the reply ended, if it came to an end of its own.
    pub fn finish_reason(&self) -> &str {
        self.metadata.get("finishReason").and_then(Value::as_str).unwrap_or("other")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ending_is_read_as_it_was_kept() {
        let metadata = json!({"finishReason": "length", "durationMs": 5, "model": "demo/ala"});
        let ending = Ending::new(None, true, &metadata);
        assert_eq!(Ending::of(Some(&ending.to_text())), ending);
        assert_eq!((ending.finish_reason(), ending.metadata.len()), ("length", 2));
        assert_eq!(Ending::of(None), Ending { is_open: true, ..Ending::default() });
    }
}
