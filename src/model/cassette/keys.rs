//! What a request is known by.
//!
//! Rule: what counts is named here, and nothing else counts: a new field of a request changes no key.
//! Rule: a key is made of the normal form that is written down, whether the request has just come or was read from a file.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    form,
    line::{ASKED_CHARS_MAX, Exchange, asked},
    scrub::{Scrub, Scrubber},
};
use crate::model::{Content, Message, Request, ToolCall};

/// What a request is known by.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    /// `sha256:…` of all that counts.
    pub key: String,
    /// The same without outputs, instructions, and what was said before the question.
    pub shape: String,
    /// Calls of the model before this one since the question.
    pub step: u32,
    /// The question, without its secrets.
    pub asked: String,
    /// What counts, in its normal form.
    pub request: Value,
    /// As its provider knows it.
    pub(super) model: String,
    /// The tools called since the question, by name.
    pub(super) calls: Vec<String>,
    /// The words of the question, hashed and in order.
    pub(super) words: Vec<u64>,
}

impl Keys {
    /// Those of a request; `with_files` writes its files down, and not only what they are known by.
    pub fn of(request: &Request, scrubber: &Scrubber, with_files: bool) -> Keys {
        let mut scrub = scrubber.begin();
        let mut ids = Ids::default();
        let messages: Vec<_> =
            request.messages.iter().map(|message| of_message(message, &mut scrub, &mut ids, with_files)).collect();
        let mut tools: Vec<_> = request.tools.iter().map(|tool| &*tool.name).collect();
        tools.sort_unstable();
        tools.dedup();
        let mut kept = Map::new();
        if let Some(legacy) = &request.legacy {
            kept.insert("prompt".into(), form::text(&scrub.text(&legacy.prompt)).into());
            kept.extend(legacy.suffix.as_ref().map(|text| ("suffix".into(), form::text(&scrub.text(text)).into())));
        } else {
            kept.insert("messages".into(), messages.into());
        }
        if !tools.is_empty() {
            kept.insert("tools".into(), tools.into());
        }
        if let Some(format) = &request.sampling.response_format {
            kept.insert("format".into(), format.clone());
        }
        let question = match &request.legacy {
            Some(legacy) => legacy.prompt.clone(),
            None => last_text(&request.messages),
        };
        Keys::made(request.model.clone(), Value::Object(kept), asked(&scrub.text(question.trim())))
    }

    /// Those of an exchange that was read. What has no request was asked its question and nothing else.
    pub fn read(exchange: &Exchange) -> Keys {
        let (model, asked) = (exchange.model.clone(), asked(&exchange.asked));
        match &exchange.request {
            Some(request) => Keys::made(model, request.clone(), asked),
            None => {
                let request = json!({ "messages": [{ "role": "user", "text": exchange.asked }] });
                Keys { step: exchange.step, ..Keys::made(model, request, asked) }
            }
        }
    }

    fn made(model: String, request: Value, asked: String) -> Keys {
        let counted = form::value(&without_data(&request));
        let none = Vec::new();
        let messages = counted["messages"].as_array().unwrap_or(&none);
        let role = |message: &Value| message["role"].as_str().unwrap_or_default().to_owned();
        let begins = messages.iter().rposition(|message| message["role"] == "user");
        let since = &messages[begins.map_or(0, |at| at + 1)..];
        let question = match begins {
            Some(at) => &messages[at]["text"],
            None => &counted["prompt"],
        };
        let calls: Vec<_> = since.iter().filter_map(|message| message["calls"].as_array()).flatten().collect();
        let roles: Vec<_> = messages.iter().map(role).filter(|role| role != "system").collect();
        let shape = json!({
            "model": model, "roles": roles, "text": question, "suffix": counted["suffix"],
            "calls": calls.iter().map(|call| json!([call["name"], call["arguments"]])).collect::<Vec<_>>(),
        });
        let mut names: Vec<_> = calls.iter().filter_map(|call| Some(call["name"].as_str()?.to_owned())).collect();
        names.sort_unstable();
        names.dedup();
        Keys {
            key: form::shown(&form::hash(&json!({ "model": model, "request": counted }))),
            shape: form::shown(&form::hash(&shape)),
            step: since.iter().filter(|message| message["role"] == "assistant").count() as u32,
            words: words(question.as_str().unwrap_or_default()),
            calls: names,
            asked,
            model,
            request,
        }
    }
}

/// The text of the last message of a person.
fn last_text(messages: &[Message]) -> String {
    let last = messages.iter().rev().find_map(|message| match message {
        Message::User(contents) => Some(contents),
        _ => None,
    });
    text_of(last.map_or(&[], |contents| contents))
}

fn text_of(contents: &[Content]) -> String {
    let texts = contents.iter().filter_map(|content| match content {
        Content::Text(text) => Some(&**text),
        Content::File { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The ids of calls, numbered by their first use.
#[derive(Default)]
struct Ids(Vec<String>);

impl Ids {
    fn number(&mut self, id: &str) -> usize {
        let known = self.0.iter().position(|known| known == id);
        known.unwrap_or_else(|| {
            self.0.push(id.to_owned());
            self.0.len() - 1
        }) + 1
    }
}

fn of_message(message: &Message, scrub: &mut Scrub<'_>, ids: &mut Ids, with_files: bool) -> Value {
    let mut said = |text: &str| form::text(&scrub.text(text));
    match message {
        Message::System(text) => json!({ "role": "system", "text": said(text) }),
        Message::User(contents) => {
            let files: Vec<_> = contents.iter().filter_map(|content| of_file(content, with_files)).collect();
            let mut user = json!({ "role": "user", "text": said(&text_of(contents)) });
            if !files.is_empty() {
                user["files"] = files.into();
            }
            user
        }
        Message::Assistant { text, calls, .. } => {
            let mut assistant = json!({ "role": "assistant", "text": said(text) });
            if !calls.is_empty() {
                let call = |call: &ToolCall| {
                    json!({
                        "id": ids.number(&call.id), "name": call.name, "arguments": written(&call.arguments, scrub),
                    })
                };
                assistant["calls"] = calls.iter().map(call).collect();
            }
            assistant
        }
        Message::Tool { call_id, output } => {
            json!({ "role": "tool", "id": ids.number(call_id), "output": written(output, scrub) })
        }
    }
}

/// A text that may be JSON, without its secrets.
fn written(text: &str, scrub: &mut Scrub<'_>) -> Value {
    match serde_json::from_str(text) {
        Ok(value) => form::value(&scrub.value(&value)),
        Err(_) => Value::String(form::text(&scrub.text(text))),
    }
}

/// A file by what it is, or where.
fn of_file(content: &Content, with_files: bool) -> Option<Value> {
    let Content::File { media_type, url, .. } = content else { return None };
    let inside = url.split_once(";base64,").filter(|_| url.starts_with("data:"));
    let hash = match inside.and_then(|(_, data)| STANDARD.decode(data).ok()) {
        Some(bytes) => Sha256::digest(bytes),
        None => Sha256::digest(url),
    };
    let mut file = json!({ "type": media_type, "sha256": form::shown(&hash) });
    if with_files {
        file["data"] = url.as_str().into();
    }
    Some(file)
}

/// A request without the files that were written down: what they are known by stands beside.
fn without_data(request: &Value) -> Value {
    let mut request = request.clone();
    let messages = request.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten();
    let files = messages.filter_map(|message| message.get_mut("files")?.as_array_mut()).flatten();
    for file in files.filter_map(Value::as_object_mut) {
        file.remove("data");
    }
    request
}

/// The words of a text, hashed, in order, each once. Scripts that leave no blank between words have one for each character.
fn words(text: &str) -> Vec<u64> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let text: String = text.chars().take(ASKED_CHARS_MAX).flat_map(char::to_lowercase).collect();
    let mut words = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut plain = word;
        while let Some(at) = plain.find(is_a_word) {
            words.extend((at > 0).then(|| hasher.hash_one(&plain[..at])));
            let end = at + plain[at..].chars().next().map_or(0, char::len_utf8);
            words.push(hasher.hash_one(&plain[at..end]));
            plain = &plain[end..];
        }
        words.extend((!plain.is_empty()).then(|| hasher.hash_one(plain)));
    }
    words.sort_unstable();
    words.dedup();
    words
}

/// Whether a character is a word of its own: those of Chinese, Japanese and Thai.
fn is_a_word(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

#[cfg(test)]
mod tests;
