//! A body as deltas.
//!
//! Rule: every body ends in an [`Ending`]; how its bytes are split changes nothing; one reply has at most one fault.

use std::borrow::Cow;

use super::{
    fault::{CUT_OFF, TOO_LONG, UNREADABLE, explain},
    wire::{Annotation, Chunk, Delta as WireDelta, ToolCall as WireToolCall, Words},
};
use crate::model::{
    Delta, Ending, Finish, Usage,
    sse::{self, EVENT_BYTES_MAX, Event},
    tool_calls::{Fragment, ToolCalls},
};

/// Reads one reply, however its bytes are split.
#[derive(Debug, Default)]
pub struct Decoder {
    body: Body,
    reply: Reply,
}

/// What the body turned out to be.
#[derive(Debug, Default)]
enum Body {
    #[default]
    Unknown,
    Events(sse::Parser),
    /// One JSON document: an error at HTTP 200, or a server that does not stream when tools are given.
    Json(Vec<u8>),
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the body and appends what they mean to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Delta>) {
        if self.reply.done {
            return;
        }
        if let Body::Unknown = self.body {
            bytes = bytes.trim_ascii_start();
            self.body = match bytes.first() {
                None => return,
                Some(b'{') => Body::Json(Vec::new()),
                Some(_) => Body::Events(sse::Parser::default()),
            };
        }
        let reply = &mut self.reply;
        let within_cap = match &mut self.body {
            Body::Events(parser) => parser.feed(bytes, |event| reply.event(event, out)).is_ok(),
            Body::Json(json) => {
                json.extend_from_slice(bytes);
                json.len() <= EVENT_BYTES_MAX
            }
            Body::Unknown => true,
        };
        if !within_cap && !reply.done {
            reply.overflow(out);
        }
    }

    /// Says that the body is over and returns what is known of the reply.
    ///
    /// Its calls may be executed only if [`Finish::allows_calls`]: those of a reply that was cut short may be cut short
    /// themselves, even where they parse.
    pub fn finish(&mut self, out: &mut Vec<Delta>) -> Ending {
        let Self { body, mut reply } = std::mem::take(self);
        match body {
            _ if reply.done => {}
            Body::Unknown => {} // an empty body
            Body::Events(mut parser) => {
                if parser.finish(|event| reply.event(event, out)).is_err() {
                    reply.overflow(out);
                }
            }
            Body::Json(json) => reply.event(Event { name: "", data: &String::from_utf8_lossy(&json) }, out),
        }
        reply.end(out)
    }

    /// The reply said that it is over: what follows does not matter.
    pub fn is_done(&self) -> bool {
        self.reply.done
    }
}

/// What has been understood so far.
#[derive(Debug, Default)]
struct Reply {
    calls: ToolCalls,
    finish: Option<Finish>,
    usage: Option<Usage>,
    refused: bool,
    faulted: bool,
    done: bool,
}

impl Reply {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<Delta>) {
        let data = event.data.trim();
        if self.done || data.is_empty() {
            return;
        }
        if data == "[DONE]" {
            self.done = true;
        } else if event.name == "error" {
            self.fault(explain(data), out);
        } else if let Ok(chunk) = serde_json::from_str(data) {
            self.chunk(&chunk, out);
        } else if data.contains('\n') {
            // Events that a server glued together by leaving out the blank line between them.
            data.lines().for_each(|line| self.event(Event { name: event.name, data: line }, out));
        } else {
            self.fault(UNREADABLE, out);
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Delta>) {
        let choice = chunk.choices.iter().flatten().next();
        let usages = [
            chunk.usage.as_ref(),
            chunk.x_groq.as_ref().and_then(|groq| groq.usage.as_ref()),
            choice.and_then(|choice| choice.usage.as_ref()),
        ];
        let counted = usages.into_iter().flatten().find_map(|usage| usage.counted());
        self.usage = counted.or(self.usage);
        if let Some(error) = chunk.error
            && !matches!(error.get(), "false" | "\"\"")
        {
            return self.fault(explain(error.get()), out);
        }
        let Some(choice) = choice else { return };
        if let Some(delta) = choice.delta.as_ref().or(choice.message.as_deref()) {
            self.delta(delta, out);
        }
        match choice.finish_reason.as_ref().map(|reason| &*reason.0) {
            None | Some("") => {}
            // A server that fails says so in an `error` field too, but not every one does.
            Some("error") => self.fault(explain(""), out),
            Some(reason) => self.finish = Some(finish_of(reason)),
        }
    }

    fn delta(&mut self, delta: &WireDelta<'_>, out: &mut Vec<Delta>) {
        // Servers in the middle of renaming the field send both.
        let both = [&delta.reasoning_content, &delta.reasoning];
        if let Some(reasoning) = both.into_iter().find(|words| !words.is_empty()) {
            say(reasoning, Delta::Reasoning, out);
        }
        say(&delta.content, Delta::Text, out);
        self.refused |= !delta.refusal.is_empty();
        say(&delta.refusal, Delta::Text, out);
        out.extend(delta.annotations.iter().flatten().filter_map(source));
        for call in delta.tool_calls.iter().flatten() {
            self.tool_call(call, out);
        }
    }

    fn tool_call(&mut self, call: &WireToolCall<'_>, out: &mut Vec<Delta>) {
        let function = call.function.as_ref();
        let fragment = Fragment {
            index: call.index,
            id: call.id.as_ref().map(|id| &*id.0),
            name: function.and_then(|function| function.name.as_ref()).map(|name| &*name.0),
            arguments: &function.map_or(Cow::Borrowed(""), |function| function.arguments()),
        };
        if self.calls.push(fragment, out).is_err() {
            self.overflow(out);
        }
    }

    /// The rest of the body is not read: it could only make things worse.
    fn overflow(&mut self, out: &mut Vec<Delta>) {
        self.fault(TOO_LONG, out);
        self.done = true;
    }

    fn fault(&mut self, sentence: &str, out: &mut Vec<Delta>) {
        if !std::mem::replace(&mut self.faulted, true) {
            out.push(Delta::Fault(sentence.to_owned()));
        }
    }

    fn end(mut self, out: &mut Vec<Delta>) -> Ending {
        let calls = self.calls.finish(out);
        if self.finish.is_none() {
            self.fault(CUT_OFF, out);
        }
        let finish = match self.finish {
            None => Finish::Error,
            Some(_) if self.faulted => Finish::Error,
            Some(Finish::Stop) if self.refused => Finish::ContentFilter,
            Some(finish) => finish,
        };
        Ending { finish, usage: self.usage, calls }
    }
}

fn finish_of(reason: &str) -> Finish {
    match reason {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        _ => Finish::Other,
    }
}

/// Appends words as deltas of one kind; thinking is reasoning wherever it stands.
fn say(words: &Words<'_>, kind: fn(String) -> Delta, out: &mut Vec<Delta>) {
    match words {
        Words::Text(text) if text.is_empty() => {}
        Words::Text(text) => out.push(kind(text.to_string())),
        Words::Pieces(pieces) => {
            for piece in pieces {
                say(&piece.thinking, Delta::Reasoning, out);
                say(&piece.text, kind, out);
            }
        }
    }
}

/// A citation as a source. Only web pages: a reader's page makes a link of it.
fn source(annotation: &Annotation<'_>) -> Option<Delta> {
    let citation = annotation.url_citation.as_ref()?;
    let url = citation.url.as_ref()?.0.to_string();
    let is_web = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
    is_web.then(|| Delta::Source { url, title: citation.title.as_ref().map(|title| title.0.to_string()) })
}

#[cfg(test)]
mod tests;
