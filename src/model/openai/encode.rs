//! A request as a JSON body.
//!
//! Rule: every request has a body. What a model cannot be shown is named in words, so that it can say so.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::data_url;
use crate::model::{Content, Message, Request, ToolCall, ToolSpec};

/// What differs between servers in what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireOptions {
    /// Ask for usage in the stream; a few servers reject the unknown field.
    pub include_usage: bool,
    /// How the reply's cap is called.
    pub completion_tokens_field: CompletionTokensField,
}

/// The name of the reply's cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionTokensField {
    /// `max_tokens`: almost every server.
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's newer models.
    MaxCompletionTokens,
}

/// The body of `POST …/chat/completions` that asks for a streamed reply.
pub fn encode(request: &Request, options: &WireOptions) -> Vec<u8> {
    let cap = |field| request.output_tokens_max.filter(|_| options.completion_tokens_field == field);
    let body = Body {
        model: &request.model,
        messages: request.messages.iter().map(WireMessage::from).collect(),
        tools: request.tools.iter().map(|tool| Wrapped::new(WireTool::from(tool))).collect(),
        temperature: request.temperature,
        top_p: request.top_p,
        reasoning_effort: request.reasoning_effort.as_deref(),
        max_tokens: cap(CompletionTokensField::MaxTokens),
        max_completion_tokens: cap(CompletionTokensField::MaxCompletionTokens),
        stream: true,
        stream_options: options.include_usage.then_some(StreamOptions { include_usage: true }),
    };
    serde_json::to_vec(&body).expect("the body has string keys only, and a Vec takes every write")
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Wrapped<WireTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// `{"type":"function","function":…}`, around tools and calls alike.
#[derive(Serialize)]
struct Wrapped<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    r#type: &'static str,
    function: T,
}

impl<T> Wrapped<T> {
    fn new(function: T) -> Self {
        Self { id: None, r#type: "function", function }
    }
}

#[derive(Serialize)]
struct WireTool<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> From<&'a ToolSpec> for WireTool<'a> {
    fn from(tool: &'a ToolSpec) -> Self {
        Self { name: &tool.name, description: &tool.description, parameters: &tool.parameters }
    }
}

#[derive(Serialize)]
struct WireCall<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> From<&'a ToolCall> for Wrapped<WireCall<'a>> {
    fn from(call: &'a ToolCall) -> Self {
        // Servers parse the arguments of past calls, and some fail the whole request over a broken one. The tool's
        // answer, which follows, says what was wrong with it.
        let is_json = serde_json::from_str::<&RawValue>(&call.arguments).is_ok();
        let arguments = if is_json { &call.arguments } else { "{}" };
        Self { id: Some(call.id.clone()), ..Self::new(WireCall { name: &call.name, arguments }) }
    }
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum WireMessage<'a> {
    System {
        content: &'a str,
    },
    User {
        content: UserContent<'a>,
    },
    Assistant {
        /// Null only beside calls: servers want one or the other.
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        reasoning_content: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Wrapped<WireCall<'a>>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

impl<'a> From<&'a Message> for WireMessage<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::System(content) => Self::System { content },
            Message::User(contents) => Self::User { content: UserContent::from(&contents[..]) },
            Message::Assistant { text, reasoning, calls } => Self::Assistant {
                content: (calls.is_empty() || !text.is_empty()).then_some(text),
                reasoning_content: reasoning,
                tool_calls: calls.iter().map(Wrapped::from).collect(),
            },
            Message::Tool { call_id, output } => Self::Tool { tool_call_id: call_id, content: output },
        }
    }
}

/// Plain text goes as a string: servers of text models know nothing else.
#[derive(Serialize)]
#[serde(untagged)]
enum UserContent<'a> {
    Text(&'a str),
    Parts(Vec<UserPart<'a>>),
}

impl<'a> From<&'a [Content]> for UserContent<'a> {
    fn from(contents: &'a [Content]) -> Self {
        match contents {
            [] => Self::Text(""),
            [Content::Text(text)] => Self::Text(text),
            contents => Self::Parts(contents.iter().map(UserPart::from).collect()),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum UserPart<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    InputAudio { input_audio: Audio<'a> },
    File { file: Document<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct Audio<'a> {
    data: &'a str,
    format: &'static str,
}

#[derive(Serialize)]
struct Document<'a> {
    filename: &'a str,
    file_data: &'a str,
}

impl<'a> From<&'a Content> for UserPart<'a> {
    fn from(content: &'a Content) -> Self {
        match content {
            Content::Text(text) => Self::Text { text: text.into() },
            Content::File { media_type, url, filename } => file_part(media_type, url, filename.as_deref()),
        }
    }
}

fn file_part<'a>(media_type: &str, url: &'a str, filename: Option<&'a str>) -> UserPart<'a> {
    let inside = data_url::base64(url);
    let audio = match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    };
    if media_type.starts_with("image/") {
        UserPart::ImageUrl { image_url: ImageUrl { url } }
    } else if let (Some(format), Some(data)) = (audio, inside) {
        UserPart::InputAudio { input_audio: Audio { data, format } }
    } else if media_type == "application/pdf" && inside.is_some() {
        UserPart::File { file: Document { filename: filename.unwrap_or("document.pdf"), file_data: url } }
    } else {
        UserPart::Text { text: file_in_words(media_type, url, filename).into() }
    }
}

/// A text file as its text; any other as a note that there is one.
fn file_in_words(media_type: &str, url: &str, filename: Option<&str>) -> String {
    let name = filename.unwrap_or("a file");
    match data_url::text(url) {
        Some(text) => format!("{name}:\n{text}"),
        None if url.starts_with("data:") => format!("[{name} ({media_type}) cannot be shown to you]"),
        None => format!("[{name} ({media_type}) is at {url}]"),
    }
}

#[cfg(test)]
mod tests;
