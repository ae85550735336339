//! The wire of legacy completions: chunks become its events, or its one object.
//!
//! Rule: a plain state machine, as that of chat completions. What a model thinks is no part of a completion.

use serde::Serialize;
use serde_json::Value;

use super::{
    chat_wire::{usage, word, write_event},
    error::Fault,
};
use crate::{
    model::Usage,
    turn::{
        chunk::{Chunk, DONE, ErrorData},
        line::write_json,
        wire::Wire,
    },
};

/// How a reply goes out.
#[derive(Debug)]
pub enum Form {
    /// As events; whether with a last one of usage.
    Stream { usage: bool },
    /// As one object: what was said so far.
    Whole(String),
}

/// One completion on its way.
#[derive(Debug)]
pub struct CompletionsWire {
    id: String,
    /// In whole seconds.
    created: i64,
    /// The text that was asked for.
    model: String,
    form: Form,
    /// Why it ended, once it has.
    finish: Option<&'static str>,
    has_failed: bool,
    fault: Option<ErrorData>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: usize,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

impl CompletionsWire {
    /// Of a reply that begins now.
    pub fn new(model: String, created: i64, form: Form) -> Self {
        CompletionsWire { id: String::new(), created, model, form, finish: None, has_failed: false, fault: None }
    }

    fn event<'a>(&'a self, choices: &'a [Choice<'a>], usage: Option<Value>) -> Event<'a> {
        let (id, created, model) = (&self.id, self.created, &self.model);
        Event { id, object: "text_completion", created, model, choices, usage }
    }

    fn say(&mut self, text: &str, finish_reason: Option<&'static str>, frames: &mut Vec<u8>) {
        match &mut self.form {
            Form::Whole(said) => said.push_str(text),
            Form::Stream { .. } => {
                let choices = [Choice { text, index: 0, logprobs: None, finish_reason }];
                write_event(&self.event(&choices, None), frames);
            }
        }
    }

    fn finish(&mut self, finish: &str, frames: &mut Vec<u8>) {
        self.finish = Some(word(finish, false));
        self.say("", self.finish, frames);
    }

    /// A failed reply that came as one object has a status of its own, and no body of this wire.
    fn fail(&mut self, frames: &mut Vec<u8>) {
        self.has_failed = true;
        if let Form::Stream { .. } = self.form {
            let fault = self.fault.as_ref().map_or_else(Fault::internal, Fault::of_stream);
            write_event(&fault.object(), frames);
        }
    }
}

impl Wire for CompletionsWire {
    fn chunk(&mut self, chunk: &Chunk, frames: &mut Vec<u8>) {
        if self.has_failed {
            return;
        }
        match chunk {
            Chunk::Start { message_id, .. } => self.id = format!("cmpl-{message_id}"),
            Chunk::TextDelta { delta, .. } => self.say(delta, None, frames),
            Chunk::DataError { data, .. } => self.fault = Some(data.clone()),
            Chunk::Error { .. } => self.fail(frames),
            Chunk::Abort => self.finish("stop", frames),
            Chunk::Finish { finish_reason, .. } => self.finish(finish_reason, frames),
            _ => {}
        }
    }

    fn end(&mut self, counted: &Usage, frames: &mut Vec<u8>) {
        let finish_reason = self.finish.filter(|_| !self.has_failed);
        match &self.form {
            Form::Stream { usage: is_wanted } => {
                if *is_wanted && finish_reason.is_some() {
                    write_event(&self.event(&[], Some(usage(counted))), frames);
                }
                frames.extend_from_slice(DONE.as_bytes());
            }
            Form::Whole(text) => {
                if finish_reason.is_some() {
                    let choices = [Choice { text, index: 0, logprobs: None, finish_reason }];
                    write_json(&self.event(&choices, Some(usage(counted))), frames);
                }
            }
        }
    }

    /// A piece without words, which counts as a sign of life wherever events are counted.
    fn heartbeat(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        if !self.id.is_empty() && matches!(self.form, Form::Stream { .. }) {
            self.say("", None, &mut frames);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(form: Form, chunks: &[Chunk]) -> String {
        let mut wire = CompletionsWire::new("m".into(), 7, form);
        let mut frames = Vec::new();
        chunks.iter().for_each(|chunk| wire.chunk(chunk, &mut frames));
        wire.end(&Usage { input_tokens: 2, output_tokens: 3, ..Usage::default() }, &mut frames);
        String::from_utf8(frames).unwrap()
    }

    fn chunks(last: Vec<Chunk>) -> Vec<Chunk> {
        let delta = |delta: &str| Chunk::TextDelta { id: "p".into(), delta: delta.into() };
        let thought = Chunk::ReasoningDelta { id: "r".into(), delta: "hm".into() };
        let start = Chunk::Start { message_id: "t".into(), message_metadata: json!({}) };
        [vec![start, thought, delta(" a"), delta("b\n")], last].concat()
    }

    fn finish(reason: &str) -> Chunk {
        Chunk::Finish { finish_reason: reason.into(), message_metadata: json!({}) }
    }

    fn piece(text: &str, finish: Value) -> String {
        let choice = json!([{"text": text, "index": 0, "logprobs": null, "finish_reason": finish}]);
        format!(
            "data: {}\n\n",
            json!({"id": "cmpl-t", "object": "text_completion", "created": 7, "model": "m", "choices": choice})
        )
    }

    #[test]
    fn a_completion_is_streamed_and_its_usage_only_when_asked_for() {
        let said = piece(" a", Value::Null) + &piece("b\n", Value::Null);
        let end = piece("", json!("stop"));
        let streamed = text(Form::Stream { usage: false }, &chunks(vec![finish("stop")]));
        assert_eq!(streamed, format!("{said}{end}data: [DONE]\n\n"));
        let streamed = text(Form::Stream { usage: true }, &chunks(vec![finish("stop")]));
        let usage = streamed.split("data: ").nth(4).unwrap();
        let usage: Value = serde_json::from_str(usage).unwrap();
        assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(5)));
    }

    #[test]
    fn what_is_not_streamed_is_the_fold_of_what_would_have_been() {
        let whole: Value =
            serde_json::from_str(&text(Form::Whole(String::new()), &chunks(vec![finish("length")]))).unwrap();
        assert_eq!(
            whole["choices"],
            json!([{"text": " ab\n", "index": 0, "logprobs": null, "finish_reason": "length"}])
        );
        assert_eq!((&whole["id"], &whole["usage"]["prompt_tokens"]), (&json!("cmpl-t"), &json!(2)));
    }

    #[test]
    fn a_failure_is_an_event_and_nothing_follows_it_but_the_end() {
        let failed = chunks(vec![Chunk::Error { error_text: "gone".into() }, finish("error")]);
        let streamed = text(Form::Stream { usage: true }, &failed);
        let last: Vec<_> = streamed.split("data: ").skip(3).collect();
        let error: Value = serde_json::from_str(last[0]).unwrap();
        assert_eq!((&error["error"]["code"], last[1]), (&json!("internal_error"), "[DONE]\n\n"));
        assert_eq!(text(Form::Whole(String::new()), &failed), "");
    }

    #[test]
    fn a_heartbeat_is_a_piece_without_words() {
        let mut wire = CompletionsWire::new("m".into(), 7, Form::Stream { usage: false });
        assert_eq!(wire.heartbeat(), b"");
        wire.chunk(&Chunk::Start { message_id: "t".into(), message_metadata: json!({}) }, &mut Vec::new());
        assert_eq!(wire.heartbeat(), piece("", Value::Null).into_bytes());
        assert_eq!(CompletionsWire::new("m".into(), 7, Form::Whole(String::new())).heartbeat(), b"");
    }
}
