//! A request as a JSON body.
//!
//! Rule: every request has a body. What a model cannot be shown is named in words, so that it can say so.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    data_url,
    dialect::{CapField, Dialect, Field},
    prompt::{Arranged, CallIds, arrange, joined},
};
use crate::model::{Content, Request, ThoughtsField, ToolCall, ToolSpec, sampling::ToolChoice};

/// The body of `POST …/chat/completions` that asks the provider of that name for a streamed reply.
pub fn encode(request: &Request, dialect: &Dialect, provider: &str) -> Vec<u8> {
    let (sends, sampling) = (|field| dialect.sends(field, request), &request.sampling);
    let asked = sampling.output_tokens_max.filter(|_| sends(Field::OutputCap));
    let asked = asked.map(|tokens| dialect.cap_max.map_or(tokens, |most| tokens.min(most)));
    let cap = |name| asked.filter(|_| dialect.cap == name);
    let shown = Shown { files: sends(Field::Files), thoughts: sends(Field::Thoughts), provider };
    let tools = request.tools.iter().filter(|_| sends(Field::Tools));
    let takes_system = sends(Field::System);
    let anywhere = dialect.system_anywhere && takes_system;
    let mut messages = arrange(&request.messages, !sends(Field::Tools), anywhere);
    let system = messages.first_mut().and_then(|first| match first {
        Arranged::System(text) if !takes_system => Some(std::mem::take(text)),
        _ => None,
    });
    messages.drain(..usize::from(system.is_some()));
    let mut ids = CallIds::default();
    let mut messages: Vec<_> = messages.into_iter().map(|message| shown.message(message, &mut ids)).collect();
    if let Some(system) = system {
        match messages.first_mut() {
            Some(WireMessage::User { content }) => content.begin_with(system),
            _ => messages.insert(0, WireMessage::User { content: UserContent::Text(system) }),
        }
    }
    let body = Body {
        model: &request.model,
        messages,
        tools: tools.map(|tool| Wrapped::new(WireTool::from(tool))).collect(),
        temperature: sampling.temperature.filter(|_| sends(Field::Temperature)),
        top_p: sampling.top_p.filter(|_| sends(Field::TopP)),
        reasoning_effort: sampling.reasoning_effort.as_deref().filter(|_| sends(Field::ReasoningEffort)),
        max_tokens: cap(CapField::MaxTokens),
        max_completion_tokens: cap(CapField::MaxCompletionTokens),
        stop: if sends(Field::Stop) { &sampling.stop } else { &[] },
        seed: sampling.seed.filter(|_| sends(Field::Seed)),
        presence_penalty: sampling.presence_penalty.filter(|_| sends(Field::PresencePenalty)),
        frequency_penalty: sampling.frequency_penalty.filter(|_| sends(Field::FrequencyPenalty)),
        parallel_tool_calls: sampling.parallel_tool_calls.filter(|_| sends(Field::ParallelToolCalls)),
        tool_choice: sampling.tool_choice.as_ref().filter(|_| sends(Field::ToolChoice)).map(Choice::from),
        response_format: sampling.response_format.as_ref().filter(|_| sends(Field::ResponseFormat)),
        stream: true,
        stream_options: sends(Field::StreamOptions).then_some(StreamOptions { include_usage: true }),
        extra: dialect.extra(request),
    };
    serde_json::to_vec(&body).expect("the body has string keys only, and a Vec takes every write")
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Wrapped<'a, WireTool<'a>>>,
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a Value>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(flatten)]
    extra: Cow<'a, Map<String, Value>>,
}

/// Which tools may be called: a word, or the one that must be.
#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Function(Wrapped<'a, Named<'a>>),
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl<'a> From<&'a ToolChoice> for Choice<'a> {
    fn from(choice: &'a ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => Choice::Word("auto"),
            ToolChoice::None => Choice::Word("none"),
            ToolChoice::Required => Choice::Word("required"),
            ToolChoice::Named(name) => Choice::Function(Wrapped::new(Named { name })),
        }
    }
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// `{"type":"function","function":…}`, around tools and calls alike.
#[derive(Serialize)]
struct Wrapped<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    r#type: &'static str,
    function: T,
    #[serde(flatten)]
    beside: Option<&'a Map<String, Value>>,
}

impl<T> Wrapped<'_, T> {
    fn new(function: T) -> Self {
        Self { id: None, r#type: "function", function, beside: None }
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
    #[serde(flatten)]
    beside: Option<&'a Map<String, Value>>,
}

impl<'a> Wrapped<'a, WireCall<'a>> {
    /// A call with what `provider`, which is asked, put beside it.
    fn call(call: &'a ToolCall, id: String, provider: &str) -> Self {
        let beside = call.beside.as_deref().filter(|beside| beside.provider == provider);
        // Servers parse the arguments of past calls, and some fail the whole request over a broken one. The tool's
        // answer, which follows, says what was wrong with it.
        let is_json = serde_json::from_str::<&RawValue>(&call.arguments).is_ok();
        let arguments = if is_json { &call.arguments } else { "{}" };
        let function = WireCall { name: &call.name, arguments, beside: beside.map(|beside| &beside.function) };
        Self { id: Some(id), beside: beside.map(|beside| &beside.call), ..Self::new(function) }
    }
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum WireMessage<'a> {
    System {
        content: Cow<'a, str>,
    },
    User {
        content: UserContent<'a>,
    },
    Assistant {
        /// Null only beside calls: servers want one or the other.
        content: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning_content: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning_text: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Wrapped<'a, WireCall<'a>>>,
        #[serde(flatten)]
        beside: Option<&'a Map<String, Value>>,
    },
    Tool {
        tool_call_id: String,
        content: &'a str,
    },
}

/// What of a conversation a model is shown.
#[derive(Clone, Copy)]
struct Shown<'a> {
    /// Files as they are, rather than in words.
    files: bool,
    /// Its own thoughts, under the name under which they came.
    thoughts: bool,
    /// Who is asked.
    provider: &'a str,
}

impl Shown<'_> {
    fn message<'a>(&self, message: Arranged<'a>, ids: &mut CallIds<'a>) -> WireMessage<'a> {
        match message {
            Arranged::System(content) => WireMessage::System { content },
            Arranged::User(contents) => WireMessage::User { content: self.user(&contents) },
            Arranged::Assistant { text, thoughts, calls } => {
                let own = thoughts.filter(|thoughts| self.thoughts && thoughts.provider == self.provider);
                let named = |name| own.filter(|own| own.field == Some(name)).map(|own| &*own.text);
                let of_calls = calls.first().and_then(|call| call.beside.as_deref());
                let of_calls = of_calls.filter(|beside| self.thoughts && beside.provider == self.provider);
                let beside = of_calls.map(|beside| &beside.message).or(own.map(|own| &own.beside));
                WireMessage::Assistant {
                    content: (calls.is_empty() || !text.is_empty()).then_some(text),
                    reasoning_content: named(ThoughtsField::ReasoningContent),
                    reasoning: named(ThoughtsField::Reasoning),
                    reasoning_text: named(ThoughtsField::ReasoningText),
                    tool_calls: calls
                        .iter()
                        .map(|call| Wrapped::call(call, ids.of_call(&call.id), self.provider))
                        .collect(),
                    beside: beside.filter(|beside| !beside.is_empty()),
                }
            }
            Arranged::Tool { call_id, output } => {
                WireMessage::Tool { tool_call_id: ids.of_output(call_id), content: output }
            }
        }
    }

    /// Plain text goes as a string: servers of text models know nothing else.
    fn user<'a>(&self, contents: &[&'a Content]) -> UserContent<'a> {
        let parts: Vec<_> = contents.iter().map(|content| self.part(content)).collect();
        let texts = parts.iter().map(|part| match part {
            UserPart::Text { text } => Some(text.clone()),
            _ => None,
        });
        match texts.collect::<Option<Vec<_>>>() {
            Some(texts) => UserContent::Text(joined(texts)),
            None => UserContent::Parts(parts),
        }
    }

    fn part<'a>(&self, content: &'a Content) -> UserPart<'a> {
        match content {
            Content::Text(text) => UserPart::Text { text: text.into() },
            Content::File { media_type, url, filename, detail } if self.files => {
                file_part(media_type, url, filename.as_deref(), detail.as_deref())
            }
            Content::File { media_type, url, filename, .. } => {
                UserPart::Text { text: file_in_words(media_type, url, filename.as_deref()).into() }
            }
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum UserContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<UserPart<'a>>),
}

impl<'a> UserContent<'a> {
    /// Puts instructions before what was said.
    fn begin_with(&mut self, system: Cow<'a, str>) {
        match self {
            UserContent::Text(text) => *text = joined([system, std::mem::take(text)]),
            UserContent::Parts(parts) => parts.insert(0, UserPart::Text { text: system }),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
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

fn file_part<'a>(media_type: &str, url: &'a str, filename: Option<&'a str>, detail: Option<&'a str>) -> UserPart<'a> {
    let inside = data_url::base64(url);
    let audio = match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    };
    if media_type.starts_with("image/") {
        UserPart::ImageUrl { image_url: ImageUrl { url, detail } }
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
    let is_text = !["image/", "audio/", "video/"].iter().any(|kind| media_type.starts_with(kind));
    match data_url::text(url).filter(|_| is_text) {
        Some(text) => format!("{name}:\n{text}"),
        None if url.starts_with("data:") => format!("[{name} ({media_type}) cannot be shown to you]"),
        None => format!("[{name} ({media_type}) is at {url}]"),
    }
}

#[cfg(test)]
mod tests;
