//! A reply as Anthropic's events: chunks in, bytes out.
//!
//! Rule: a block is begun, filled and ended before the next one begins. What is not streamed is the fold of what would have been.
//! Rule: the chunks are those of the reply and of the client's own tools; no other tool's reaches this file.

mod blocks; // which block takes what
mod event; // the events, as they are written
mod whole; // what they come to

use self::{
    blocks::{Blocks, Kind},
    event::{End, Event, Message, Stop, Usage, Wrong},
    whole::Whole,
};
use super::{
    error::Fault,
    messages_error::{message_of, type_of},
};
use crate::{
    error::INTERNAL_TEXT,
    model,
    turn::{
        calls::as_written,
        chunk::{Chunk, ErrorData},
        wire::Wire,
    },
};

/// What is told of a reply before it begins.
#[derive(Debug, Clone)]
pub struct Head {
    /// The model's name as it was asked for.
    pub model: String,
    /// What the prompt is taken for, in tokens.
    pub input_tokens: u64,
    /// Names the request in a failure.
    pub request_id: String,
}

/// One reply on its way.
#[derive(Debug)]
pub struct MessagesWire {
    head: Head,
    blocks: Blocks,
    /// Where nothing is streamed.
    whole: Option<Whole>,
    has_calls: bool,
    /// Why the reply ended, once it has.
    stop: Option<Stop>,
    has_failed: bool,
}

impl MessagesWire {
    /// Events, as they come.
    pub fn streamed(head: Head) -> Self {
        let blocks = Blocks::default();
        MessagesWire { head, blocks, whole: None, has_calls: false, stop: None, has_failed: false }
    }

    /// One message, at the end.
    pub fn whole(head: Head) -> Self {
        MessagesWire { whole: Some(Whole::default()), ..Self::streamed(head) }
    }
}

impl Wire for MessagesWire {
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        if self.has_failed {
            return;
        }
        let mut events = Vec::new();
        self.take(chunk, &mut events);
        self.write(&events, frames);
    }

    fn end(&mut self, usage: &model::Usage, frames: &mut Vec<u8>) {
        if self.has_failed {
            return;
        }
        let mut events = Vec::new();
        self.blocks.end(&mut events);
        let request_id = self.head.request_id.clone();
        match self.stop {
            Some(stop) => {
                let delta = End { stop_reason: Some(stop), ..End::default() };
                events.extend([Event::MessageDelta { delta, usage: Usage::from(usage) }, Event::MessageStop]);
            }
            None => events.push(failure(&Fault::internal(), INTERNAL_TEXT, &request_id)),
        }
        self.write(&events, frames);
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        if self.whole.is_none() {
            Event::Ping.write_to(&mut frames);
        }
        frames
    }
}

impl MessagesWire {
    fn write(&mut self, events: &[Event<'_>], frames: &mut Vec<u8>) {
        for event in events {
            match &mut self.whole {
                None => event.write_to(frames),
                Some(whole) => whole.take(event, frames),
            }
        }
    }

    fn take<'a>(&mut self, chunk: &'a Chunk, events: &mut Vec<Event<'a>>) {
        match chunk {
            Chunk::Start { message_id, .. } => events.push(self.start(message_id)),
            Chunk::TextStart { .. } => self.blocks.part(Kind::Text, events),
            Chunk::TextDelta { delta, .. } => self.blocks.say(Kind::Text, delta, events),
            Chunk::ReasoningStart { .. } => self.blocks.part(Kind::Thinking, events),
            Chunk::ReasoningDelta { delta, .. } => self.blocks.say(Kind::Thinking, delta, events),
            Chunk::ToolInputStart { tool_call_id, tool_name, .. } => self.call(tool_call_id, tool_name, events),
            Chunk::ToolInputDelta { tool_call_id, input_text_delta } => {
                self.blocks.argue(tool_call_id, input_text_delta, events);
            }
            Chunk::ToolInputAvailable { tool_call_id, tool_name, input, provider_metadata, .. }
            | Chunk::ToolInputError { tool_call_id, tool_name, input, provider_metadata, .. } => {
                self.call(tool_call_id, tool_name, events);
                self.blocks.end_call(tool_call_id, &as_written(provider_metadata.as_ref(), input), events);
            }
            Chunk::DataError { data, .. } => self.fail(data, events),
            Chunk::Abort => self.stop = Some(self.stop_of("stop")),
            Chunk::Finish { finish_reason, .. } => self.stop = Some(self.stop_of(finish_reason)),
            _ => {}
        }
    }

    fn start<'a>(&self, message_id: &str) -> Event<'a> {
        let Head { model, input_tokens, .. } = self.head.clone();
        let id = format!("msg_{message_id}");
        let (end, usage) = (End::default(), Usage::of_prompt(input_tokens));
        let message = Message { id, r#type: "message", role: "assistant", model, content: Vec::new(), end, usage };
        Event::MessageStart { message }
    }

    fn call(&mut self, id: &str, name: &str, events: &mut Vec<Event<'_>>) {
        self.has_calls = true;
        self.blocks.call(id, name, events);
    }

    fn fail<'a>(&mut self, error: &'a ErrorData, events: &mut Vec<Event<'a>>) {
        self.has_failed = true;
        events.push(failure(&Fault::of_stream(error), &error.message, &error.request_id));
    }

    /// A reply that came to its own end and calls tools waits for them, whatever its model's server calls that.
    fn stop_of(&self, finish_reason: &str) -> Stop {
        match finish_reason {
            "length" => Stop::MaxTokens,
            "content-filter" => Stop::Refusal,
            _ if self.has_calls => Stop::ToolUse,
            _ => Stop::EndTurn,
        }
    }
}

fn failure<'a>(fault: &Fault, message: &'a str, request_id: &'a str) -> Event<'a> {
    let code = fault.code.unwrap_or_default();
    let (r#type, message) = (type_of(fault.status.as_u16(), code), message_of(code, message));
    Event::Error { error: Wrong { r#type, message }, request_id }
}

#[cfg(test)]
mod tests;
