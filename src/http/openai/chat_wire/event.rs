//! The events of a chat completion's stream.

use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::{time::Timestamp, turn::line::write_json};

/// What a provider puts beside a call and wants back with it.
pub const EXTRA: &str = "extra_content";

/// What is the same in every event of a reply.
#[derive(Debug, Clone)]
pub struct Head {
    /// `chatcmpl-` and the turn's id; empty until the reply begins.
    pub id: String,
    /// In whole seconds.
    pub created: i64,
    /// The text that was asked for.
    pub model: String,
}

impl Head {
    /// Of a reply of that id which is made now.
    pub fn now(id: String) -> Self {
        Head { id, created: Timestamp::now().as_millis() / 1000, model: String::new() }
    }
}

/// A piece of a message, as a stream has it.
#[derive(Debug, Default, Serialize)]
pub struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<[CallDelta<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<[Value; 1]>,
}

#[derive(Debug, Serialize)]
pub struct CallDelta<'a> {
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<&'static str>,
    pub function: FunctionDelta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<&'a Value>,
}

#[derive(Debug, Default, Serialize)]
pub struct FunctionDelta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    pub arguments: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<&'a Value>,
}

/// One event; `choice` is none in the one of usage.
pub struct Event<'a> {
    pub head: &'a Head,
    pub choice: Option<(&'a Delta<'a>, Option<&'static str>)>,
    pub usage: Option<&'a Value>,
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Choice<'a> {
            index: usize,
            delta: &'a Delta<'a>,
            logprobs: Option<()>,
            finish_reason: Option<&'static str>,
        }
        let mut event = serializer.serialize_map(None)?;
        event.serialize_entry("id", &self.head.id)?;
        event.serialize_entry("object", "chat.completion.chunk")?;
        event.serialize_entry("created", &self.head.created)?;
        event.serialize_entry("model", &self.head.model)?;
        let choice = |(delta, finish_reason)| Choice { index: 0, delta, logprobs: None, finish_reason };
        let choices: Vec<_> = self.choice.map(choice).into_iter().collect();
        event.serialize_entry("choices", &choices)?;
        if let Some(usage) = self.usage {
            event.serialize_entry("usage", usage)?;
        }
        event.end()
    }
}

/// Appends an event.
pub fn write_event(event: &impl Serialize, frames: &mut Vec<u8>) {
    frames.extend_from_slice(b"data: ");
    write_json(event, frames);
    frames.extend_from_slice(b"\n\n");
}
