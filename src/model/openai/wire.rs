//! A chunk as servers write it. Every field may be missing, null or of another shape, and several have more than one.
//!
//! Rule: borrows from the body; what is not needed is not read; no field fails the chunk, whatever it holds.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::{
    lenient::{Fields, List, Number, Text, Words, fields, object},
    mend::mended,
    usage::Usage,
};

#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    pub error: Option<&'a RawValue>,
    pub choices: List<Choice<'a>>,
    pub usage: Usage,
    /// Groq's place for usage.
    pub x_groq: UsageHolder,
    /// MiniMax's status, of good replies too.
    pub base_resp: Option<&'a RawValue>,
}

fields! { Chunk<'a>, "error" => error, "base_resp" => base_resp, "choices" => choices, "usage" => usage, "x_groq" => x_groq, }

#[derive(Debug, Default)]
pub(super) struct UsageHolder {
    pub usage: Usage,
}

fields! { UsageHolder, "usage" => usage, }

#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    pub index: Number,
    pub delta: Option<Delta<'a>>,
    /// What a server that does not stream sends in place of `delta`; boxed, for it is rare and the choice is moved about.
    pub message: Option<Box<Delta<'a>>>,
    /// What a server sends that goes on with a text.
    pub text: Words<'a>,
    pub finish_reason: Text<'a>,
    /// Moonshot's place for usage.
    pub usage: Usage,
}

fields! {
    Choice<'a>, "index" => index, "delta" => delta, "message" => message, "text" => text, "finish_reason" => finish_reason,
    "usage" => usage,
}

#[derive(Debug, Default)]
pub(super) struct Delta<'a> {
    pub content: Words<'a>,
    pub reasoning_content: Words<'a>,
    pub reasoning: Words<'a>,
    pub reasoning_text: Words<'a>,
    pub refusal: Words<'a>,
    pub tool_calls: List<ToolCall<'a>>,
    pub annotations: List<Annotation<'a>>,
    /// What else there is; some of it is given back.
    pub beside: Vec<(Cow<'a, str>, &'a RawValue)>,
}

fields! {
    Delta<'a>, "content" => content, "reasoning_content" => reasoning_content, "reasoning" => reasoning,
    "reasoning_text" => reasoning_text, "refusal" => refusal, "tool_calls" => tool_calls, "annotations" => annotations,
    ; rest beside
}

#[derive(Debug, Default)]
pub(super) struct ToolCall<'a> {
    pub index: Number,
    pub id: Text<'a>,
    pub function: Function<'a>,
    /// What else there is, to be given back.
    pub beside: Vec<(Cow<'a, str>, &'a RawValue)>,
}

fields! { ToolCall<'a>, "index" => index, "id" => id, "function" => function, ; rest beside }

#[derive(Debug, Default)]
pub(super) struct Function<'a> {
    pub name: Text<'a>,
    arguments: Option<&'a RawValue>,
    /// What else there is, to be given back.
    pub beside: Vec<(Cow<'a, str>, &'a RawValue)>,
}

fields! { Function<'a>, "name" => name, "arguments" => arguments, ; rest beside }

impl<'a> Function<'a> {
    /// The arguments as JSON text: in a string, as they should be, or bare. An empty object is none: more may follow.
    pub fn arguments(&self) -> Cow<'a, str> {
        match self.arguments.map_or("", RawValue::get) {
            "{}" => Cow::Borrowed(""),
            raw if raw.starts_with('"') => {
                let read = serde_json::from_str(raw).ok().map(|Text(text)| text);
                // What is kept raw was not read as yet, and may hold halves of characters.
                read.or_else(|| serde_json::from_str(&mended(raw.as_bytes())).ok().map(Cow::Owned))
                    .unwrap_or(raw.into())
            }
            raw => Cow::Borrowed(raw),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Annotation<'a> {
    pub url_citation: Option<UrlCitation<'a>>,
}

fields! { Annotation<'a>, "url_citation" => url_citation, }

#[derive(Debug, Default)]
pub(super) struct UrlCitation<'a> {
    pub url: Text<'a>,
    pub title: Text<'a>,
}

fields! { UrlCitation<'a>, "url" => url, "title" => title, }

/// Whether an event says only that the server is still there, which some write where a comment belongs.
pub(super) fn is_keep_alive(name: &str, data: &[u8]) -> bool {
    const WORDS: [&str; 7] = ["", "ping", "pong", "keep-alive", "keepalive", "heartbeat", "openrouter processing"];
    let is_one = |text: &str| WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if !name.is_empty() && is_one(name) {
        return true;
    }
    if data.starts_with(b"{") {
        return false;
    }
    str::from_utf8(data).is_ok_and(|data| is_one(data.trim_matches(|c| matches!(c, '"' | '[' | ']' | ':' | ' '))))
}

/// Whether an event says that the reply is over.
pub(super) fn is_done(data: &[u8]) -> bool {
    str::from_utf8(data).is_ok_and(|data| data.trim_matches('"').eq_ignore_ascii_case("[DONE]"))
}
