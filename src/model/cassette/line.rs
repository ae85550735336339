//! What stands in a cassette: a header, then one exchange a line.
//!
//! Rule: a field that is not known is passed over, and one that is absent has a meaning, so that a file can be written by hand.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The format that is read and written.
pub const FORMAT: u64 = 1;

/// The most of a question that is kept beside it, in characters.
pub const ASKED_CHARS_MAX: usize = 2_000;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The format of the other lines.
    #[serde(rename = "almCassette")]
    pub format: u64,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// What wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Under which terms its answers may be passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// Any other line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// What a model was asked, and what it answered.
    Model(Exchange),
    /// What a tool was asked, and what it answered.
    Tool(ToolExchange),
}

/// What a model was asked, and what came of it at last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Its number in the file; whoever writes it gives it.
    #[serde(default)]
    pub id: u64,
    /// What the request is known by, for people: a reader makes it anew of `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The same without what may differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<String>,
    /// As its provider knows it.
    pub model: String,
    /// Calls of the model before this one since the question.
    #[serde(default)]
    pub step: u32,
    /// The question: the last text of a person.
    #[serde(default)]
    pub asked: String,
    /// What of the request counts, in its normal form; absent: nothing but the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// Absent: no head came, unless there is a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The type of the body.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Seconds after which the server wanted to be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Milliseconds until the head came.
    #[serde(default)]
    pub wait_ms: u64,
    /// Milliseconds since the head, and what came then: one event each.
    #[serde(default)]
    pub body: Vec<(u64, Piece)>,
    #[serde(default)]
    pub end: End,
    /// Fields of the request that the model was not sent, since it refuses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<String>,
    /// Whether the reply was known to begin in its thoughts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_thoughts: bool,
}

/// What a tool was asked, and what it answered: an output or an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolExchange {
    /// Its number in the file; whoever writes it gives it.
    #[serde(default)]
    pub id: u64,
    /// As models call it.
    pub name: String,
    #[serde(default)]
    pub input: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// What the model read in place of an output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took.
    #[serde(default)]
    pub ms: u64,
}

/// Bytes of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    Text(String),
    /// What is no UTF-8.
    Bytes {
        b64: String,
    },
}

/// How a body ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// It came to its end.
    #[default]
    Whole,
    /// The connection broke.
    Cut,
    /// Whoever asked wanted no more.
    Stopped,
    /// What came could not be read, or nothing came for too long.
    Failed,
}

impl Piece {
    /// Of bytes, as text if they are text.
    pub fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Piece::Text(text.to_owned()),
            Err(_) => Piece::Bytes { b64: STANDARD.encode(bytes) },
        }
    }

    /// The bytes themselves; none if they are not written as they should be.
    pub fn bytes(&self) -> Option<std::borrow::Cow<'_, [u8]>> {
        match self {
            Piece::Text(text) => Some(text.as_bytes().into()),
            Piece::Bytes { b64 } => Some(STANDARD.decode(b64).ok()?.into()),
        }
    }
}

impl Line {
    /// Its number in the file.
    pub fn id(&self) -> u64 {
        match self {
            Line::Model(exchange) => exchange.id,
            Line::Tool(exchange) => exchange.id,
        }
    }

    /// Numbers it.
    pub(super) fn number(&mut self, id: u64) {
        match self {
            Line::Model(exchange) => exchange.id = id,
            Line::Tool(exchange) => exchange.id = id,
        }
    }
}

/// A question as it is kept beside its request.
pub(super) fn asked(text: &str) -> String {
    let cut = text.char_indices().nth(ASKED_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    text[..cut].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_the_format_says_and_read_back() {
        let line = Line::Model(Exchange {
            id: 1,
            model: "m".into(),
            asked: "Hi".into(),
            status: Some(200),
            media_type: Some("text/event-stream".into()),
            wait_ms: 412,
            body: vec![(0, Piece::of(b"data: {}\n\n")), (31, Piece::of(b"\xff"))],
            ..Exchange::default()
        });
        let text = serde_json::to_string(&line).unwrap();
        let expected = r#"{"kind":"model","id":1,"model":"m","step":0,"asked":"Hi","status":200,"type":"text/event-stream","waitMs":412,"body":[[0,"data: {}\n\n"],[31,{"b64":"/w=="}]],"end":"whole"}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
        let tool =
            r#"{"kind":"tool","id":2,"name":"weather","input":{"town":"Bern"},"output":{"c":4},"ms":80,"new":1}"#;
        let Line::Tool(tool) = serde_json::from_str(tool).unwrap() else { panic!("a tool's") };
        assert_eq!((&*tool.name, tool.output), ("weather", Some(serde_json::json!({"c": 4}))));
    }

    #[test]
    fn bytes_come_back_as_they_went_and_what_is_no_base64_is_none() {
        for bytes in [&b"data: \xc3\xa9"[..], b"\xc3", b""] {
            assert_eq!(Piece::of(bytes).bytes().unwrap(), bytes);
        }
        assert!(Piece::Bytes { b64: "?".into() }.bytes().is_none());
    }

    #[test]
    fn a_question_is_kept_up_to_so_many_characters() {
        for chars in [ASKED_CHARS_MAX - 1, ASKED_CHARS_MAX, ASKED_CHARS_MAX + 1] {
            assert_eq!(asked(&"é".repeat(chars)).chars().count(), chars.min(ASKED_CHARS_MAX));
        }
    }
}
