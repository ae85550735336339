//! The stream of a response: chunks in, events of the Responses API out. Its last event holds the response whole.
//!
//! Rule: an item is added, filled and done before the next one begins, events are numbered from 0 without gaps, and all of it is a
//! function of the chunks and beats that came: every reader, at any time, gets the same.
//! Deliberately absent: which calls are the client's. Chunks of other calls do not come here.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    error::Fault,
    responses::item::{Item, Kind, Status},
};
use crate::{
    error::Error,
    model::Usage,
    turn::{
        bill::usage_json,
        calls::as_written,
        chunk::{Chunk, ErrorData},
        line::{pieces, write_json},
        wire::Wire,
    },
};

/// One response on its way to a client.
#[derive(Debug, Default)]
pub struct ResponsesWire {
    /// The object; what was said gets in with the end.
    response: Map<String, Value>,
    /// The items that are done.
    output: Vec<Value>,
    /// The turn's id, without its dashes.
    turn: String,
    /// The next event's number.
    number: u64,
    items: Vec<Item>,
    /// How many of them are done and out.
    out: usize,
    /// Whether an event went out since the last beat.
    spoke: bool,
    /// How it came to an end of its own.
    finish: Option<Finished>,
    /// Whether the last event went out.
    is_over: bool,
}

/// What the last chunk says.
#[derive(Debug)]
struct Finished {
    reason: String,
    usage: Value,
    millis: u64,
}

impl ResponsesWire {
    /// For the response of that turn; `response` has every key of the object.
    pub fn new(response: Map<String, Value>, turn_id: &str) -> Self {
        let mut wire = ResponsesWire { response, ..ResponsesWire::default() };
        wire.name(turn_id);
        wire
    }

    /// For a response whose turn has not begun: its first chunk names it.
    pub fn unnamed(response: Map<String, Value>) -> Self {
        ResponsesWire { response, ..ResponsesWire::default() }
    }

    fn name(&mut self, turn_id: &str) {
        self.turn = turn_id.replace('-', "");
        self.response.insert("id".into(), format!("resp_{}", self.turn).into());
        self.response.insert("created_at".into(), (millis_of(&self.turn) / 1000).into());
    }

    /// Appends what `chunk` is to the client.
    pub fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        if self.is_over {
            return;
        }
        match chunk {
            Chunk::Start { message_id, .. } => {
                if self.turn.is_empty() {
                    self.name(message_id);
                }
                self.begin(frames);
            }
            Chunk::TextDelta { id, delta } => self.said(Kind::Message, id, delta),
            Chunk::ReasoningDelta { id, delta } => self.said(Kind::Reasoning, id, delta),
            Chunk::TextEnd { id } | Chunk::ReasoningEnd { id } => self.close(|item| item.key == *id),
            Chunk::ToolInputStart { tool_call_id, tool_name, .. } => self.begin_call(tool_call_id, tool_name),
            Chunk::ToolInputDelta { tool_call_id, input_text_delta } => {
                if let Some(call) = self.open_item(tool_call_id) {
                    call.text.push_str(input_text_delta);
                }
            }
            Chunk::ToolInputAvailable { tool_call_id, tool_name, input, provider_metadata, .. }
            | Chunk::ToolInputError { tool_call_id, tool_name, input, provider_metadata, .. } => {
                self.begin_call(tool_call_id, tool_name);
                if let Some(call) = self.open_item(tool_call_id).filter(|call| call.text.is_empty()) {
                    call.text = as_written(provider_metadata.as_ref(), input).into_owned();
                }
                self.close(|item| item.key == *tool_call_id);
            }
            Chunk::FinishStep => self.close(|_| true),
            Chunk::DataError { data, .. } => return self.fail(data, frames),
            Chunk::Abort => {
                self.break_off(frames);
                return self.last("response.incomplete", "cancelled", frames);
            }
            Chunk::Finish { finish_reason, message_metadata } => {
                self.close(|_| true);
                let usage = message_metadata["usage"].clone();
                let millis = message_metadata["durationMs"].as_u64().unwrap_or(0);
                self.finish = Some(Finished { reason: finish_reason.clone(), usage, millis });
            }
            _ => return,
        }
        self.flush(frames);
    }

    /// Appends what a client reads so that it does not take a silence for the end, if there was one since the last beat.
    pub fn beat(&mut self, frames: &mut Vec<u8>) {
        let was_silent = !std::mem::replace(&mut self.spoke, false);
        if was_silent && !self.is_over && self.number > 0 {
            self.whole("response.in_progress", "in_progress", frames);
            self.spoke = false;
        }
    }

    /// Appends the last event, if it is not out. `usage` is what the reply took, unless its last chunk said so.
    pub fn end(&mut self, usage: Option<&Usage>, frames: &mut Vec<u8>) {
        match self.finish.take() {
            _ if self.is_over => {}
            Some(finished) => self.finish(finished, usage, frames),
            None => {
                self.fail(&ErrorData::of(&Error::internal("a response ended without an end"), ""), frames);
            }
        }
    }

    /// The object as it is by now.
    pub fn into_object(mut self) -> Value {
        if !self.is_over {
            self.response.insert("status".into(), "in_progress".into());
            self.response.insert("output".into(), self.output.into());
        }
        self.response.into()
    }

    /// The last event alone, with that number.
    pub fn last_event(&self, number: u64) -> Vec<u8> {
        let kind = match self.response.get("status").and_then(Value::as_str) {
            Some("completed") => "response.completed",
            Some("failed") => "response.failed",
            _ => "response.incomplete",
        };
        let mut frames = Vec::new();
        Event { kind, number, fields: Whole { response: &self.response } }.write_to(&mut frames);
        frames
    }

    fn begin(&mut self, frames: &mut Vec<u8>) {
        self.whole("response.created", "in_progress", frames);
        self.whole("response.in_progress", "in_progress", frames);
    }

    fn open_item(&mut self, key: &str) -> Option<&mut Item> {
        self.items.iter_mut().rev().find(|item| item.key == key && !item.is_closed)
    }

    fn said(&mut self, kind: Kind, key: &str, delta: &str) {
        if self.open_item(key).is_none() {
            self.items.push(Item::new(kind, key));
        }
        if let Some(item) = self.open_item(key) {
            item.text.push_str(delta);
        }
    }

    /// A call ends the words before it: its arguments stream without waiting for the end of the step.
    fn begin_call(&mut self, call_id: &str, name: &str) {
        if self.open_item(call_id).is_none() {
            self.close(|item| !item.is_call());
            self.items.push(Item::new(Kind::Call { name: name.to_owned() }, call_id));
        }
    }

    fn close(&mut self, which: impl Fn(&Item) -> bool) {
        let out = self.out;
        self.items[out..].iter_mut().filter(|item| which(item)).for_each(|item| item.is_closed = true);
    }

    /// Sends what can be sent: the first item that is not out as far as it goes, and those behind it once it is done.
    fn flush(&mut self, frames: &mut Vec<u8>) {
        while self.out < self.items.len() {
            self.send_item(Status::Completed, frames);
            if !self.items[self.out].is_closed {
                return;
            }
            self.out += 1;
        }
    }

    /// Ends the items that are open in the middle.
    fn break_off(&mut self, frames: &mut Vec<u8>) {
        // Nothing is known of what has not begun to be said.
        self.items.retain(|item| item.is_added || !item.text.is_empty());
        for at in self.out..self.items.len() {
            let status = if self.items[at].is_closed { Status::Completed } else { Status::Incomplete };
            self.items[at].is_closed = true;
            self.send_item(status, frames);
            self.out += 1;
        }
    }

    /// Sends what of the first item that is not out has not been sent.
    fn send_item(&mut self, status: Status, frames: &mut Vec<u8>) {
        let at = self.out;
        let mut item = std::mem::take(&mut self.items[at]);
        let id = item.id(&self.turn, at);
        if !item.is_added {
            item.is_added = true;
            let added = json!({ "output_index": at, "item": item.begun(&id) });
            self.event("response.output_item.added", added, frames);
            self.events(item.opening(&id, at), frames);
        }
        let fresh = item.text[item.sent..].to_owned();
        for piece in pieces(&fresh).filter(|piece| !piece.is_empty()) {
            self.events([item.delta(&id, at, piece)], frames);
        }
        item.sent = item.text.len();
        if item.is_closed {
            let whole = item.whole(&id, status);
            self.events(item.closing(&id, at), frames);
            self.event("response.output_item.done", json!({ "output_index": at, "item": &whole }), frames);
            self.output.push(whole);
            // What is out is kept there.
            item.text = String::new();
            item.sent = 0;
        }
        self.items[at] = item;
    }

    fn fail(&mut self, error: &ErrorData, frames: &mut Vec<u8>) {
        if self.number == 0 {
            self.begin(frames);
        }
        self.break_off(frames);
        let fault = Fault::of_stream(error);
        self.event("error", json!({ "code": fault.code, "message": fault.message, "param": null }), frames);
        self.response.insert("error".into(), json!({ "code": fault.code, "message": fault.message }));
        self.last("response.failed", "failed", frames);
    }

    fn finish(&mut self, finished: Finished, counted: Option<&Usage>, frames: &mut Vec<u8>) {
        let usage = if finished.usage.is_null() { counted.map(usage_json).unwrap_or_default() } else { finished.usage };
        self.response.insert("usage".into(), shown_usage(&usage));
        let why = match &*finished.reason {
            "length" => "max_output_tokens",
            "content-filter" => "content_filter",
            _ => {
                let ended = millis_of(&self.turn) + finished.millis;
                self.response.insert("completed_at".into(), (ended / 1000).into());
                return self.last("response.completed", "completed", frames);
            }
        };
        self.response.insert("incomplete_details".into(), json!({ "reason": why }));
        self.last("response.incomplete", "incomplete", frames);
    }

    fn last(&mut self, kind: &str, status: &str, frames: &mut Vec<u8>) {
        self.response.insert("output".into(), std::mem::take(&mut self.output).into());
        self.whole(kind, status, frames);
        self.is_over = true;
    }

    /// An event with the object in it.
    fn whole(&mut self, kind: &str, status: &str, frames: &mut Vec<u8>) {
        self.response.insert("status".into(), status.into());
        let number = self.next_number();
        Event { kind, number, fields: Whole { response: &self.response } }.write_to(frames);
    }

    fn events(&mut self, events: impl IntoIterator<Item = (&'static str, Value)>, frames: &mut Vec<u8>) {
        events.into_iter().for_each(|(kind, fields)| self.event(kind, fields, frames));
    }

    fn event(&mut self, kind: &str, fields: Value, frames: &mut Vec<u8>) {
        Event { kind, number: self.next_number(), fields }.write_to(frames);
    }

    fn next_number(&mut self) -> u64 {
        self.spoke = true;
        self.number += 1;
        self.number - 1
    }
}

impl Wire for ResponsesWire {
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        ResponsesWire::chunk(self, chunk, frames);
    }

    fn end(&mut self, usage: &Usage, frames: &mut Vec<u8>) {
        ResponsesWire::end(self, Some(usage), frames);
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        self.spoke = false;
        self.beat(&mut frames);
        frames
    }
}

/// The same reply as one object, which comes at its end.
#[derive(Debug)]
pub struct WholeResponse(pub ResponsesWire);

impl Wire for WholeResponse {
    fn chunk(&mut self, chunk: &Chunk, _frames: &mut Vec<u8>) {
        self.0.chunk(chunk, &mut Vec::new());
    }

    fn end(&mut self, usage: &Usage, frames: &mut Vec<u8>) {
        self.0.end(Some(usage), &mut Vec::new());
        write_json(&std::mem::take(&mut self.0).into_object(), frames);
    }

    fn heartbeat(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

#[derive(Serialize)]
struct Event<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "sequence_number")]
    number: u64,
    #[serde(flatten)]
    fields: T,
}

#[derive(Serialize)]
struct Whole<'a> {
    response: &'a Map<String, Value>,
}

impl<T: Serialize> Event<'_, T> {
    fn write_to(&self, frames: &mut Vec<u8>) {
        frames.extend_from_slice(format!("event: {}\ndata: ", self.kind).as_bytes());
        write_json(self, frames);
        frames.extend_from_slice(b"\n\n");
    }
}

/// What usage is to a client.
fn shown_usage(usage: &Value) -> Value {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let details = |key: &str, of: &str| count(&usage[key][of]);
    json!({
        "input_tokens": count(&usage["inputTokens"]),
        "input_tokens_details": {
            "cached_tokens": details("inputTokenDetails", "cacheReadTokens"), "cache_write_tokens": 0,
        },
        "output_tokens": count(&usage["outputTokens"]),
        "output_tokens_details": { "reasoning_tokens": details("outputTokenDetails", "reasoningTokens") },
        "total_tokens": count(&usage["totalTokens"]),
    })
}

/// When an id was made, which begins with that moment. Milliseconds since 1970.
fn millis_of(turn: &str) -> u64 {
    turn.get(..12).and_then(|moment| u64::from_str_radix(moment, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
