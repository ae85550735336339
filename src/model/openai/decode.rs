//! A body as deltas.
//!
//! Rule: every body ends in an [`Ending`]; how its bytes are split changes nothing; one reply has at most one fault.

use super::{
    aside::Aside,
    fault::{
        CUT_OFF, Complaint, NO_REPLY, TOO_MUCH, UNREADABLE, WEB_PAGE, complaint, explain, explain_refusal, is_refusal,
    },
    lenient::Words,
    mend::mended,
    tags::Kind,
    usage::Usage,
    voice::Voice,
    wire::{
        Annotation, Choice, Chunk, Delta as WireDelta, ToolCall as WireToolCall, UrlCitation, is_done, is_keep_alive,
    },
};
use crate::model::{
    Delta, Ending, Finish, Said, ThoughtsField,
    halves::whole,
    sse::{self, BYTE_ORDER_MARK, EVENT_BYTES_MAX, Event},
    tool_calls::{Fragment, ToolCalls},
};

/// What is kept of the beginning of a body that may be none of ours.
const BEGINNING_BYTES_MAX: usize = 4 * 1024;

/// Reads one reply, however its bytes are split.
#[derive(Debug, Default)]
pub struct Decoder {
    body: Body,
    reply: Reply,
    opens_thoughts: Option<bool>,
}

/// What the body turned out to be.
#[derive(Debug)]
enum Body {
    /// Nothing has come but blanks, and what may be the beginning of a byte order mark.
    Unknown(Vec<u8>),
    Events(sse::Parser),
    /// One JSON document: an error at HTTP 200, or a server that does not stream when tools are given.
    Json(Vec<u8>),
    /// A page for people; its beginning may say why it came.
    Page(Vec<u8>),
}

impl Default for Body {
    fn default() -> Self {
        Body::Unknown(Vec::new())
    }
}

impl Body {
    /// What a body that begins with `bytes` is, by its first byte after blanks and a mark.
    fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.trim_ascii_start();
        let begun = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
        match begun.first() {
            None => Body::Unknown(bytes.to_vec()),
            Some(_) if begun.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(begun) => {
                Body::Unknown(bytes.to_vec())
            }
            Some(b'{' | b'[') => Body::Json(Vec::new()),
            Some(b'<') => Body::Page(Vec::new()),
            Some(_) => Body::Events(sse::Parser::default()),
        }
    }
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, of a model whose template is known to open the tag of its thoughts, or may not.
    pub fn in_thoughts(is_opened: bool) -> Self {
        Self { reply: Reply { voice: Voice::new(is_opened), ..Reply::default() }, ..Self::default() }
    }

    /// Whether the template of the model opens the tag of its thoughts, if a reply that is over shows it.
    pub fn opens_thoughts(&self) -> Option<bool> {
        self.opens_thoughts
    }

    /// Takes the next bytes of the body and appends what they mean to `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Delta>) {
        if self.reply.done {
            return;
        }
        if let Body::Unknown(begun) = &mut self.body {
            let begun = [begun, bytes].concat();
            self.body = Body::of(&begun);
            return self.read(&begun, out);
        }
        self.read(bytes, out);
    }

    fn read(&mut self, bytes: &[u8], out: &mut Vec<Delta>) {
        let reply = &mut self.reply;
        let within_cap = match &mut self.body {
            Body::Events(parser) => {
                reply.keep_beginning(bytes);
                parser.feed(bytes, |event| reply.event(event, out)).is_ok()
            }
            Body::Page(page) => {
                page.extend(bytes.iter().take(BEGINNING_BYTES_MAX - page.len()));
                true
            }
            Body::Json(json) => {
                json.extend_from_slice(bytes);
                json.len() <= EVENT_BYTES_MAX
            }
            Body::Unknown(_) => true,
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
        let Self { body, mut reply, .. } = std::mem::take(self);
        match body {
            _ if reply.done => {}
            Body::Unknown(_) => {} // an empty body
            Body::Events(mut parser) => {
                if parser.finish(|event| reply.event(event, out)).is_err() {
                    reply.overflow(out);
                }
            }
            Body::Page(page) => {
                let said = String::from_utf8_lossy(&page);
                let sentence = explain(&said);
                reply.fault(if sentence == explain("") { WEB_PAGE } else { sentence }, out);
            }
            Body::Json(json) => {
                let json = json.trim_ascii_start();
                reply.event(Event { name: "", data: json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json) }, out);
            }
        }
        let ending = reply.end(out);
        self.opens_thoughts = reply.voice.tags().is_opened();
        ending
    }

    /// Says that the rest of the body is lost.
    pub fn spoil(&mut self, out: &mut Vec<Delta>) {
        self.reply.fault(UNREADABLE, out);
        self.reply.done = true;
    }

    /// The reply said that it is over: what follows does not matter.
    pub fn is_done(&self) -> bool {
        self.reply.done
    }
}

/// What has been understood so far.
#[derive(Debug, Default)]
struct Reply {
    voice: Voice,
    calls: ToolCalls,
    aside: Aside,
    /// The choice that is read: the first that came.
    choice: Option<f64>,
    finish: Option<Finish>,
    usage: Usage,
    /// How a body of events begins, until the first event: it may be no body of events.
    beginning: Vec<u8>,
    has_events: bool,
    /// What came in the place of words.
    complaint: Option<&'static str>,
    /// The provider's own words of the first error.
    said: Option<Said>,
    thoughts_field: Option<ThoughtsField>,
    refused: bool,
    faulted: bool,
    done: bool,
}

impl Reply {
    fn keep_beginning(&mut self, bytes: &[u8]) {
        if !self.has_events {
            self.beginning.extend(bytes.iter().take(BEGINNING_BYTES_MAX - self.beginning.len()));
        }
    }

    fn event(&mut self, event: Event<'_>, out: &mut Vec<Delta>) {
        self.has_events = true;
        let data = event.data.trim_ascii();
        if self.done || is_keep_alive(event.name, data) {
            return;
        }
        if is_done(data) {
            self.done = true;
        } else if ["error", "exception"].iter().any(|word| event.name.contains(word)) {
            let said = String::from_utf8_lossy(data);
            self.complain(&said, explain(&said), out);
        } else if let Some((json, chunk)) = read(data) {
            self.chunk(&chunk, json, out);
        } else if data.contains(&b'\n') {
            // Events that a server glued together by leaving out the blank line between them.
            data.split(|byte| *byte == b'\n').for_each(|data| self.event(Event { data, ..event }, out));
        } else if let json = mended(data)
            && let Ok(chunk) = serde_json::from_str(&json)
        {
            self.chunk(&chunk, &json, out);
        } else {
            self.fault(UNREADABLE, out);
        }
    }

    fn chunk(&mut self, chunk: &Chunk<'_>, json: &str, out: &mut Vec<Delta>) {
        self.usage.raise(&chunk.usage);
        self.usage.raise(&chunk.x_groq.usage);
        if let Some(error) = chunk.error
            && !matches!(error.get(), "false" | "\"\"" | "0" | "{}" | "[]")
        {
            // The words may stand beside it.
            let whole = matches!(error.get(), "true" | "null") || error.get().parse::<f64>().is_ok();
            let said = if whole { json } else { error.get() };
            return self.complain(said, explain(said), out);
        }
        if chunk.choices.0.is_empty() || chunk.base_resp.is_some() {
            self.note_complaint(chunk, json, out);
        }
        let is_ours = |choice: &&Choice<'_>| {
            choice.index.0.is_none() || self.choice.is_none_or(|ours| choice.index.0 == Some(ours))
        };
        let Some(choice) = chunk.choices.0.iter().find(is_ours) else { return };
        self.choice = self.choice.or(choice.index.0);
        self.usage.raise(&choice.usage);
        match choice.delta.as_ref().or(choice.message.as_deref()) {
            Some(delta) => self.delta(delta, out),
            None => self.say(&choice.text, Kind::Text, out),
        }
        match choice.finish_reason.some() {
            None => {}
            // A server that fails says so in an `error` field too, but not every one does.
            Some("error") => self.fault(explain(""), out),
            Some(reason) => self.finish = Some(finish_of(reason)),
        }
    }

    /// Remembers an error in other words than `error`.
    fn note_complaint(&mut self, chunk: &Chunk<'_>, json: &str, out: &mut Vec<Delta>) {
        let is_refused =
            chunk.base_resp.and_then(|status| serde_json::from_str(status.get()).ok()).is_some_and(|s| is_refusal(&s));
        let complaint = match is_refused {
            true => Some(Complaint::Certain),
            false if chunk.choices.0.is_empty() => complaint(json),
            false => None,
        };
        match complaint {
            Some(Complaint::Certain) => self.complain(json, explain_refusal(json), out),
            Some(Complaint::Possible) => {
                self.said = self.said.take().or_else(|| Said::new(json));
                self.complaint.get_or_insert(explain_refusal(json));
            }
            None => {}
        }
    }

    /// An error in the provider's words: the request may do without what they name.
    fn complain(&mut self, said: &str, sentence: &'static str, out: &mut Vec<Delta>) {
        self.said = self.said.take().or_else(|| Said::new(said));
        self.fault(sentence, out);
    }

    /// Why there is no end.
    fn no_end(&self) -> &'static str {
        let begins = self.beginning.trim_ascii();
        match self.complaint {
            Some(sentence) => sentence,
            None if self.has_events || begins.is_empty() || begins.starts_with(b":") => CUT_OFF,
            None => match explain(&String::from_utf8_lossy(begins)) {
                sentence if sentence == explain("") => NO_REPLY,
                sentence => sentence,
            },
        }
    }

    fn delta(&mut self, delta: &WireDelta<'_>, out: &mut Vec<Delta>) {
        self.aside.take(&delta.beside);
        // Servers in the middle of renaming the field send both.
        let names = [
            (ThoughtsField::ReasoningContent, &delta.reasoning_content),
            (ThoughtsField::Reasoning, &delta.reasoning),
            (ThoughtsField::ReasoningText, &delta.reasoning_text),
        ];
        if let Some((field, reasoning)) = names.into_iter().find(|(_, words)| !words.is_empty()) {
            self.thoughts_field.get_or_insert(field);
            self.say(reasoning, Kind::Reasoning, out);
        }
        self.say(&delta.content, Kind::Text, out);
        self.refused |= !delta.refusal.is_empty();
        self.say(&delta.refusal, Kind::Text, out);
        out.extend(delta.annotations.0.iter().filter_map(source));
        for call in &delta.tool_calls.0 {
            self.tool_call(call, out);
        }
    }

    /// Says words of one kind; thinking is reasoning wherever it stands.
    fn say(&mut self, words: &Words<'_>, kind: Kind, out: &mut Vec<Delta>) {
        match words {
            Words::Text(text) => self.voice.say(kind, text, out),
            Words::Pieces(pieces) => {
                for piece in pieces {
                    self.say(&piece.thinking, Kind::Reasoning, out);
                    self.say(&piece.text, if piece.is_thinking() { Kind::Reasoning } else { kind }, out);
                }
            }
        }
    }

    fn tool_call(&mut self, call: &WireToolCall<'_>, out: &mut Vec<Delta>) {
        let fragment = Fragment {
            index: call.index.0.map(|index| index as i64),
            id: call.id.some(),
            name: call.function.name.some(),
            arguments: &call.function.arguments(),
            beside: [&call.beside, &call.function.beside],
        };
        self.voice.pause(out);
        if self.calls.push(fragment, out).is_err() {
            self.overflow(out);
        }
    }

    /// The rest of the body is not read: it could only make things worse.
    fn overflow(&mut self, out: &mut Vec<Delta>) {
        self.fault(TOO_MUCH, out);
        self.done = true;
    }

    fn fault(&mut self, sentence: &str, out: &mut Vec<Delta>) {
        if !std::mem::replace(&mut self.faulted, true) {
            out.push(Delta::Fault(sentence.to_owned()));
        }
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Ending {
        self.voice.end(self.finish == Some(Finish::Stop), out);
        let (mut calls, beside) = (self.calls.finish(out), self.aside.end());
        if let Some(first) = calls.first_mut().filter(|_| !beside.is_empty()) {
            first.beside.get_or_insert_default().message.clone_from(&beside);
        }
        if self.finish.is_none() {
            self.fault(self.no_end(), out);
        }
        let finish = match self.finish {
            None => Finish::Error,
            Some(_) if self.faulted => Finish::Error,
            Some(Finish::Stop) if self.refused => Finish::ContentFilter,
            Some(finish) => finish,
        };
        // Thoughts from tags never go back: under no name would the server know them.
        let thoughts_field = self.thoughts_field.filter(|_| !self.voice.tags().has_thoughts());
        let refusal = self.said.take().filter(|_| finish == Finish::Error);
        Ending { finish, usage: self.usage.counted(), calls, thoughts_field, beside, refusal }
    }
}

/// A chunk, and its text.
fn read(data: &[u8]) -> Option<(&str, Chunk<'_>)> {
    let json = str::from_utf8(data).ok()?;
    Some((json, serde_json::from_str(json).ok()?))
}

fn finish_of(reason: &str) -> Finish {
    match &*reason.to_ascii_lowercase() {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        _ => Finish::Other,
    }
}

/// A citation as a source. Only web pages: a reader's page makes a link of it.
fn source(annotation: &Annotation<'_>) -> Option<Delta> {
    let UrlCitation { url, title } = annotation.url_citation.as_ref()?;
    let url = whole(url.0.as_ref().into()).into_owned();
    let is_web = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
    is_web.then(|| Delta::Source { url, title: title.some().map(|title| whole(title.into()).into_owned()) })
}

#[cfg(test)]
mod tests;
