//! The wire of chat completions: chunks become its events, or its one object.
//!
//! Rule: a plain state machine, chunks in, bytes out; it waits for nothing, and knows neither turns nor HTTP. The object is the
//! fold of the stream: both are made of the same deltas. Rule: no line but `data:` ones, since some clients die of others.
//! Rule: it is given no chunk of our own tools' calls; what calls it sees are the client's.

mod event; // the events of a stream
mod message; // the message that they add up to

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Value, json};

pub use self::event::{EXTRA, Head, write_event};
use self::{
    event::{CallDelta, Delta, Event, FunctionDelta},
    message::Message,
};
use super::error::Fault;
use crate::{
    model::Usage,
    turn::{
        calls::as_written,
        chunk::{Chunk, DONE, ErrorData},
        line::{pieces, write_json},
        wire::Wire,
    },
};

/// Between what two steps said.
const BETWEEN: &str = "\n\n";

/// How a reply goes out.
#[derive(Debug)]
enum Form {
    /// As events; whether with a last one of usage.
    Stream { usage: bool },
    /// As one object.
    Whole(Box<Message>),
}

/// One reply on its way.
#[derive(Debug)]
pub struct ChatWire {
    head: Head,
    form: Form,
    begun: bool,
    /// Why it ended, once it has.
    finish: Option<&'static str>,
    /// Once it has failed, nothing but the end follows.
    failed: bool,
    text: Joint,
    thoughts: Joint,
    calls: Calls,
    fault: Option<ErrorData>,
}

/// Whether something was said, and whether a later step says more.
#[derive(Debug, Default)]
struct Joint {
    has_said: bool,
    is_due: bool,
}

impl Joint {
    fn step(&mut self) {
        self.is_due = self.has_said;
    }

    /// The next piece, with the blank line in front that is due.
    fn say<'a>(&mut self, piece: &'a str) -> Cow<'a, str> {
        self.has_said = true;
        match std::mem::take(&mut self.is_due) {
            true => format!("{BETWEEN}{piece}").into(),
            false => piece.into(),
        }
    }
}

/// The calls of a reply, in the order of their beginning.
#[derive(Debug, Default)]
struct Calls {
    indexes: HashMap<String, usize>,
    /// Whether arguments of each have come.
    have_arguments: Vec<bool>,
}

impl ChatWire {
    /// Of a reply that is streamed, with its usage at the end or without it.
    pub fn stream(head: Head, usage: bool) -> Self {
        ChatWire::new(head, Form::Stream { usage })
    }

    /// Of a reply that comes as one object.
    pub fn whole(head: Head) -> Self {
        ChatWire::new(head, Form::Whole(Box::default()))
    }

    fn new(head: Head, form: Form) -> Self {
        ChatWire {
            head,
            form,
            begun: false,
            finish: None,
            failed: false,
            text: Joint::default(),
            thoughts: Joint::default(),
            calls: Calls::default(),
            fault: None,
        }
    }
}

impl Wire for ChatWire {
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        match chunk {
            Chunk::Start { message_id, .. } => self.start(message_id, frames),
            Chunk::StartStep => {
                self.text.step();
                self.thoughts.step();
            }
            Chunk::TextDelta { delta, .. } => {
                let content = Some(self.text.say(delta));
                self.put(&Delta { content, ..Delta::default() }, frames);
            }
            Chunk::ReasoningDelta { delta, .. } => {
                let reasoning_content = Some(self.thoughts.say(delta));
                self.put(&Delta { reasoning_content, ..Delta::default() }, frames);
            }
            Chunk::ToolInputStart { tool_call_id, tool_name, .. } => _ = self.call(tool_call_id, tool_name, frames),
            Chunk::ToolInputDelta { tool_call_id, input_text_delta } => {
                if let Some(index) = self.calls.indexes.get(tool_call_id).copied() {
                    self.arguments(index, input_text_delta, frames);
                }
            }
            Chunk::ToolInputAvailable { tool_call_id, tool_name, input, provider_metadata, .. }
            | Chunk::ToolInputError { tool_call_id, tool_name, input, provider_metadata, .. } => {
                let index = self.call(tool_call_id, tool_name, frames);
                self.end_call(index, input, provider_metadata.as_ref(), frames);
            }
            Chunk::SourceUrl { url, title, .. } => {
                let title = title.as_deref().unwrap_or(url);
                let citation = json!({ "url": url, "title": title, "start_index": 0, "end_index": 0 });
                let annotations = Some([json!({ "type": "url_citation", "url_citation": citation })]);
                self.put(&Delta { annotations, ..Delta::default() }, frames);
            }
            Chunk::DataError { data, .. } => self.fault = Some(data.clone()),
            Chunk::Error { .. } => self.fail(frames),
            Chunk::Abort => self.finish("stop", frames),
            Chunk::Finish { finish_reason, .. } => self.finish(finish_reason, frames),
            _ => {}
        }
    }

    /// What a reply took is said of one that came to an end of its own.
    fn end(&mut self, counted: &Usage, frames: &mut Vec<u8>) {
        let finish = self.finish.filter(|_| !self.failed);
        match &self.form {
            Form::Stream { usage: is_wanted } => {
                if *is_wanted && finish.is_some() {
                    write_event(&Event { head: &self.head, choice: None, usage: Some(&usage(counted)) }, frames);
                }
                frames.extend_from_slice(DONE.as_bytes());
            }
            Form::Whole(message) => {
                if let Some(finish) = finish {
                    write_json(&message.whole(&self.head, finish, &usage(counted)), frames);
                }
            }
        }
    }

    /// A piece without words, which counts as a sign of life wherever events are counted.
    fn heartbeat(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        if let Form::Stream { .. } = self.form
            && self.begun
        {
            self.event(&Delta { content: Some("".into()), ..Delta::default() }, None, &mut frames);
        }
        frames
    }
}

impl ChatWire {
    fn start(&mut self, message_id: &str, frames: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if self.head.id.is_empty() {
            self.head.id = format!("chatcmpl-{message_id}");
        }
        self.put(&Delta { role: Some("assistant"), content: Some("".into()), ..Delta::default() }, frames);
    }

    /// The index of a call, which begins if it is new.
    fn call(&mut self, id: &str, name: &str, frames: &mut Vec<u8>) -> usize {
        if let Some(index) = self.calls.indexes.get(id) {
            return *index;
        }
        let index = self.calls.have_arguments.len();
        self.calls.indexes.insert(id.to_owned(), index);
        self.calls.have_arguments.push(false);
        let function = FunctionDelta { name: Some(name), ..FunctionDelta::default() };
        self.put_call(
            CallDelta { index, id: Some(id), r#type: Some("function"), function, extra_content: None },
            frames,
        );
        index
    }

    fn arguments(&mut self, index: usize, arguments: &str, frames: &mut Vec<u8>) {
        self.calls.have_arguments[index] = true;
        let function = FunctionDelta { arguments, ..FunctionDelta::default() };
        self.put_call(CallDelta { index, id: None, r#type: None, function, extra_content: None }, frames);
    }

    /// Its arguments, if none came before, and what its provider put beside them.
    fn end_call(&mut self, index: usize, input: &Value, metadata: Option<&Value>, frames: &mut Vec<u8>) {
        if !self.calls.have_arguments[index] {
            pieces(&as_written(metadata, input)).for_each(|piece| self.arguments(index, piece, frames));
        }
        let kept = metadata.and_then(Value::as_object).and_then(|providers| providers.values().next());
        let extra = |name| kept.and_then(|kept| kept.get(name)?.get(EXTRA));
        let (of_call, of_function) = (extra("call"), extra("function"));
        if of_call.is_some() || of_function.is_some() {
            let function = FunctionDelta { extra_content: of_function, ..FunctionDelta::default() };
            self.put_call(CallDelta { index, id: None, r#type: None, function, extra_content: of_call }, frames);
        }
    }

    fn put_call(&mut self, call: CallDelta<'_>, frames: &mut Vec<u8>) {
        self.put(&Delta { tool_calls: Some([call]), ..Delta::default() }, frames);
    }

    fn put(&mut self, delta: &Delta<'_>, frames: &mut Vec<u8>) {
        match &mut self.form {
            Form::Stream { .. } => self.event(delta, None, frames),
            Form::Whole(message) => message.add(delta),
        }
    }

    fn event(&self, delta: &Delta<'_>, finish: Option<&'static str>, frames: &mut Vec<u8>) {
        write_event(&Event { head: &self.head, choice: Some((delta, finish)), usage: None }, frames);
    }

    fn finish(&mut self, finish: &str, frames: &mut Vec<u8>) {
        let word = word(finish, !self.calls.have_arguments.is_empty());
        self.finish = Some(word);
        if let Form::Stream { .. } = self.form {
            self.event(&Delta::default(), Some(word), frames);
        }
    }

    /// A failed reply that came as one object has a status of its own, and no body of this wire.
    fn fail(&mut self, frames: &mut Vec<u8>) {
        self.failed = true;
        if let Form::Stream { .. } = self.form {
            let fault = self.fault.as_ref().map_or_else(Fault::internal, Fault::of_stream);
            write_event(&fault.object(), frames);
        }
    }
}

/// Why a reply ended, in one of the four words that clients know. It waits for tools exactly if it called some and came to its
/// own end, whatever its model's server said.
pub(super) fn word(finish: &str, has_calls: bool) -> &'static str {
    match finish {
        "length" => "length",
        "content-filter" => "content_filter",
        _ if has_calls => "tool_calls",
        _ => "stop",
    }
}

/// The tokens of a reply.
pub(super) fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": { "cached_tokens": usage.cache_read_tokens },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
    })
}

#[cfg(test)]
mod tests;
