//! Anthropic's events, and how one is written.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{model, turn::line::write_json};

/// One event of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    MessageStart { message: Message },
    Ping,
    ContentBlockStart { index: usize, content_block: Block },
    ContentBlockDelta { index: usize, delta: Delta<'a> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: End, usage: Usage },
    MessageStop,
    Error { error: Wrong<'a>, request_id: &'a str },
}

/// A message: empty in its first event, whole where nothing is streamed.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    pub id: String,
    pub r#type: &'static str,
    pub role: &'static str,
    pub model: String,
    pub content: Vec<Block>,
    #[serde(flatten)]
    pub end: End,
    pub usage: Usage,
}

/// One block of a message.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    Text { citations: Option<Nothing>, text: String },
    Thinking { thinking: String, signature: &'static str },
    ToolUse { caller: Caller, id: String, name: String, input: Box<RawValue> },
}

/// What there is none of here. The key is there all the same: typed clients want every one.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Nothing {}

/// Who called a tool: the model itself.
#[derive(Debug, Clone, Serialize)]
pub struct Caller {
    pub r#type: &'static str,
}

/// More of a block.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: Cow<'a, str> },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: Cow<'a, str> },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: Cow<'a, str> },
}

/// How a message ended. Which of the caller's stop sequences ended it, no model's server says.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct End {
    pub stop_reason: Option<Stop>,
    pub stop_sequence: Option<&'static str>,
    pub stop_details: Option<Nothing>,
    pub container: Option<Nothing>,
}

/// Why.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    EndTurn,
    MaxTokens,
    ToolUse,
    Refusal,
}

/// What it took. The prompt's tokens are in two counts: those that were read from a cache, and the others.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    output_tokens_details: Details,
    cache_creation: Option<Nothing>,
    inference_geo: Option<Nothing>,
    server_tool_use: Option<Nothing>,
    service_tier: Option<Nothing>,
}

/// What the tokens of a reply were.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Details {
    thinking_tokens: u64,
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub struct Wrong<'a> {
    pub r#type: &'static str,
    pub message: Cow<'a, str>,
}

impl Event<'_> {
    fn name(&self) -> &'static str {
        match self {
            Event::MessageStart { .. } => "message_start",
            Event::Ping => "ping",
            Event::ContentBlockStart { .. } => "content_block_start",
            Event::ContentBlockDelta { .. } => "content_block_delta",
            Event::ContentBlockStop { .. } => "content_block_stop",
            Event::MessageDelta { .. } => "message_delta",
            Event::MessageStop => "message_stop",
            Event::Error { .. } => "error",
        }
    }

    /// Appends it as a server-sent event.
    pub fn write_to(&self, frames: &mut Vec<u8>) {
        frames.extend_from_slice(b"event: ");
        frames.extend_from_slice(self.name().as_bytes());
        frames.extend_from_slice(b"\ndata: ");
        write_json(self, frames);
        frames.extend_from_slice(b"\n\n");
    }
}

impl Usage {
    /// Of a prompt that was not answered.
    pub fn of_prompt(input_tokens: u64) -> Self {
        Usage { input_tokens, ..Usage::default() }
    }
}

impl From<&model::Usage> for Usage {
    fn from(usage: &model::Usage) -> Self {
        Usage {
            input_tokens: usage.input_tokens.saturating_sub(usage.cache_read_tokens),
            cache_read_input_tokens: usage.cache_read_tokens,
            output_tokens: usage.output_tokens,
            output_tokens_details: Details { thinking_tokens: usage.reasoning_tokens },
            ..Usage::default()
        }
    }
}
