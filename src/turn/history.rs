//! The stored history, as a model gets it.
//!
//! Rule: what does not fit the model's window is left out in whole turns, oldest first, and counted; nothing is cut in
//! the middle and nothing silently. Token counts here are estimates: only the model knows.

use std::ops::Range;

use serde_json::{Map, Value};

use super::{
    ask::{CLIENT, ORIGIN, Posted},
    beside,
    calls::AS_WRITTEN,
};
use crate::{
    error::{Error, Result},
    model::{self, Content, Thoughts, ThoughtsField, ToolCall, ToolSpec},
    store::messages::{Message, Role},
    tools::{mcp, naming},
};

/// Bytes of text a token is taken for, until a model's own number is known.
pub const TOKEN_BYTES: u64 = 4;
/// Tokens around each message: its role and the model's own marks.
const MESSAGE_TOKENS: u64 = 4;
/// Tokens a file is taken for. Its base64 says nothing about what the model makes of it.
const FILE_TOKENS: u64 = 1_000;
/// Per cent of the room that a conversation may fill before something is left out.
const TRIM_AT: u64 = 90;
/// Per cent of the room that is filled after it. Big steps: each one makes the model read all of its prompt again.
const TRIM_TO: u64 = 50;

/// Bytes of one tool's output that a prompt holds at most, and those of all calls of a step together.
pub const TOOL_PROMPT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the outputs of one step.
pub const STEP_PROMPT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a tool's output that any model is shown.
pub const OUTPUT_BYTES_MIN: usize = 1_024;

/// Where the provider metadata of a file have what only we know of it: `{"alm": {"detail": "low"}}`.
pub const OURS: &str = "alm";
/// Where a message's metadata say under which name the model's thoughts came: under it they go back.
pub(super) const THOUGHTS_FIELD: &str = "reasoningField";

/// How much of a conversation a model can read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Tokens for the prompt.
    pub tokens: u64,
    /// Bytes of text that one of its tokens takes.
    pub bytes_per_token: f64,
    /// Bytes of one tool's output.
    pub output_bytes: usize,
}

/// A conversation that fits, and what did not.
#[derive(Debug, PartialEq)]
pub struct Fitted {
    /// System prompt first, then the history, oldest first.
    pub messages: Vec<model::Message>,
    /// Stored messages that were left out.
    pub dropped: usize,
    /// The row number of the first message that was not, if a new one had to be chosen.
    pub cut: Option<i64>,
}

/// The conversation for a model with that much room; absent: any.
///
/// `cut` is the first message that was sent the last time something had to be left out. As long as what follows it fits, the
/// same is left out again, so that the prompt only grows, and the model server need not read it anew.
pub fn fit(system: &str, history: &[Message], room: Option<Room>, cut: Option<i64>) -> Result<Fitted> {
    let mut kept: Vec<Vec<model::Message>> = history.iter().map(translate).collect::<Result<_>>()?;
    let system = (!system.is_empty()).then(|| model::Message::System(system.to_owned()));
    let (mut dropped, mut new_cut) = (0, None);
    let output_bytes = room.map_or(usize::MAX, |room| room.output_bytes);
    kept.iter_mut().for_each(|messages| shorten_outputs(messages, output_bytes));
    if let Some(room) = room {
        let tokens = |message: &model::Message| tokens_of_message(message, room.bytes_per_token);
        let sizes: Vec<u64> = kept.iter().map(|messages| messages.iter().map(tokens).sum()).collect();
        let fixed = system.as_ref().map_or(0, tokens);
        let total = |from: usize| fixed + sizes[from..].iter().sum::<u64>();
        let at_most = |percent: u64| room.tokens.saturating_mul(percent) / 100;
        if total(0) > at_most(TRIM_AT) {
            dropped = cut.map_or(0, |cut| history.partition_point(|message| message.seq < cut));
            // A cut that the history has outlived.
            dropped = if dropped < history.len() { dropped } else { 0 };
        }
        if total(dropped) > at_most(TRIM_AT) {
            // The last question always goes out: a refusal by the model says more than an empty prompt.
            let later = |start: &usize| *start > dropped;
            let by_turns =
                first_that(turn_starts(history).filter(later), dropped, |from| total(from) <= at_most(TRIM_TO));
            dropped = first_that(last_questions(history), by_turns, |from| total(from) <= room.tokens);
            new_cut = history.get(dropped).map(|message| message.seq);
        }
        kept.drain(..dropped);
    }
    let messages = system.into_iter().chain(kept.into_iter().flatten()).collect();
    Ok(Fitted { messages, dropped, cut: new_cut })
}

/// Leaves the first turns of a conversation out that is stored nowhere, whole ones and never the last, until the rest fits; how many
/// messages. What stands in front for the model stays.
pub fn leave_out(messages: &mut Vec<model::Message>, room: Room) -> usize {
    let front = messages.iter().take_while(|message| matches!(message, model::Message::System(_))).count();
    let sizes: Vec<_> = messages.iter().map(|message| tokens_of_message(message, room.bytes_per_token)).collect();
    let fixed: u64 = sizes[..front].iter().sum();
    let fits = |from: usize| fixed + sizes[from..].iter().sum::<u64>() <= room.tokens;
    let is_user = |at: usize| matches!(messages[at], model::Message::User(_));
    let starts = (front + 1..messages.len()).filter(|at| is_user(*at) && !is_user(at - 1));
    let from = first_that(starts, front, fits);
    messages.drain(front..from);
    from - front
}

/// Leaves the middle of tools' outputs out where they are longer than `bytes_max`, or longer than their share of their step: the
/// same of the same outputs at every turn.
pub fn shorten_outputs(messages: &mut [model::Message], bytes_max: usize) {
    for step in messages.split_mut(|message| !matches!(message, model::Message::Tool { .. })) {
        let share = STEP_PROMPT_BYTES_MAX / step.len().max(1);
        let bytes_max = bytes_max.min(TOOL_PROMPT_BYTES_MAX).min(share).max(OUTPUT_BYTES_MIN);
        for message in step {
            let model::Message::Tool { output, .. } = message else { continue };
            if output.len() > bytes_max {
                *output = shortened(output, bytes_max);
            }
        }
    }
}

/// A text without its middle, and what is gone of it.
pub(super) fn shortened(output: &str, bytes_max: usize) -> String {
    let is_boundary = |at: &usize| output.is_char_boundary(*at);
    let head = (0..=bytes_max / 4 * 3).rev().find(is_boundary).unwrap_or(0);
    let tail = (output.len() - bytes_max / 4..output.len()).find(is_boundary).unwrap_or(output.len());
    let note = format!("[… {} of {} bytes left out: ask for less …]", tail - head, output.len());
    [&output[..head], &note, &output[tail..]].concat()
}

/// What a model reads of an MCP server's answer: its texts.
pub(super) fn text_of_answer(output: &Value) -> String {
    mcp::text(output).unwrap_or_else(|| text_of_output(output))
}

/// What a model reads of any other tool's output.
pub(super) fn text_of_output(output: &Value) -> String {
    output.as_str().map_or_else(|| output.to_string(), str::to_owned)
}

/// The first of `start` and `starts` that will do, else the last of them.
fn first_that(starts: impl Iterator<Item = usize>, start: usize, will_do: impl Fn(usize) -> bool) -> usize {
    let mut chosen = start;
    for next in starts {
        if will_do(chosen) {
            break;
        }
        chosen = next;
    }
    chosen
}

/// What a prompt's messages are taken for, in tokens of so many bytes.
pub fn tokens_in(messages: &[model::Message], bytes_per_token: f64) -> u64 {
    messages.iter().map(|message| tokens_of_message(message, bytes_per_token)).sum()
}

/// What tools are taken for, in tokens.
pub fn tokens_of_tools(tools: &[ToolSpec], bytes_per_token: f64) -> u64 {
    tokens_of(bytes_of_tools(tools), bytes_per_token)
}

/// What of a prompt is text, in bytes, with the marks around its messages; none if it has files, whose bytes say nothing.
pub fn text_bytes(request: &model::Request) -> Option<u64> {
    let messages = request.messages.iter().map(|message| {
        let (bytes, files) = text_of(message);
        (files == 0).then_some(bytes + MESSAGE_TOKENS * TOKEN_BYTES)
    });
    Some(messages.sum::<Option<u64>>()? + bytes_of_tools(&request.tools))
}

fn bytes_of_tools(tools: &[ToolSpec]) -> u64 {
    let bytes = |tool: &ToolSpec| tool.name.len() + tool.description.len() + tool.parameters.to_string().len();
    tools.iter().map(bytes).sum::<usize>() as u64
}

/// What a prompt is taken for, in tokens.
pub fn tokens_of_prompt(messages: &[model::Message]) -> u64 {
    tokens_in(messages, TOKEN_BYTES as f64)
}

/// What a text is taken for, in tokens.
pub fn tokens_of_text(text: &str) -> u64 {
    tokens_of_bytes(text.len() as u64)
}

/// What so many bytes of text in so many messages are taken for at most, in tokens: each message may round up.
pub fn tokens_at_most(bytes: u64, messages: u64) -> u64 {
    tokens_of_bytes(bytes) + messages * (MESSAGE_TOKENS + 1)
}

/// What so many bytes of text are taken for, in tokens.
pub fn tokens_of_bytes(bytes: u64) -> u64 {
    tokens_of(bytes, TOKEN_BYTES as f64)
}

fn tokens_of(bytes: u64, bytes_per_token: f64) -> u64 {
    (bytes as f64 / bytes_per_token).ceil() as u64
}

fn tokens_of_message(message: &model::Message, bytes_per_token: f64) -> u64 {
    let (bytes, files) = text_of(message);
    tokens_of(bytes, bytes_per_token) + files * FILE_TOKENS + MESSAGE_TOKENS
}

/// The bytes of a message's texts, and how many files it has.
fn text_of(message: &model::Message) -> (u64, u64) {
    let (texts, files) = match message {
        model::Message::System(text) => (text.len(), 0),
        model::Message::User(contents) => contents.iter().fold((0, 0), |(texts, files), content| match content {
            Content::Text(text) => (texts + text.len(), files),
            Content::File { .. } => (texts, files + 1),
        }),
        model::Message::Assistant { text, thoughts, calls } => {
            let calls: usize = calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
            (text.len() + thoughts.as_ref().map_or(0, |thoughts| thoughts.text.len()) + calls, 0)
        }
        model::Message::Tool { output, .. } => (output.len(), 0),
    };
    (texts as u64, files)
}

/// A conversation that is not stored, as a model gets it.
pub fn given(posted: Vec<Posted>) -> Result<Vec<model::Message>> {
    let messages = posted.into_iter().map(|posted| translate(&Message::of(posted.into_clients_message())));
    Ok(messages.collect::<Result<Vec<_>>>()?.concat())
}

/// Where turns begin: at the first of a run of user messages.
fn turn_starts(history: &[Message]) -> impl Iterator<Item = usize> + '_ {
    let begins = |at: &usize| *at == 0 || (history[*at].role == Role::User && history[at - 1].role != Role::User);
    (0..history.len()).filter(begins)
}

/// The questions at the end of the history, of which only the last has to be sent: one that had no reply because it is too
/// long may be among them.
fn last_questions(history: &[Message]) -> Range<usize> {
    let run = history.iter().rev().take_while(|message| message.role == Role::User).count();
    history.len() - run..history.len()
}

/// One stored message as a model's messages: a reply of several steps is several, with its tools' outputs between.
fn translate(message: &Message) -> Result<Vec<model::Message>> {
    let parts: Vec<Value> = serde_json::from_str(&message.parts).map_err(Error::internal)?;
    Ok(match message.role {
        Role::System => vec![model::Message::System(message.content.clone())],
        Role::User => vec![model::Message::User(parts.iter().filter_map(content).collect())],
        Role::Assistant => {
            let thoughts = thoughts_of(message);
            let steps = parts.split(|part| part["type"] == "step-start");
            let mut messages: Vec<_> = steps.flat_map(|parts| step(parts, thoughts.as_ref())).collect();
            let of_last = thoughts.filter(|thoughts| !thoughts.beside.is_empty());
            if let (Some(model::Message::Assistant { thoughts, .. }), Some(of_last)) = (messages.last_mut(), of_last) {
                match thoughts {
                    Some(thoughts) => thoughts.beside = of_last.beside,
                    None => *thoughts = Some(Thoughts { field: None, ..of_last }),
                }
            }
            messages
        }
    })
}

/// Whose thoughts a reply holds, and under which name they came, but not what they are, which each step has; none if nothing
/// goes back. Those that a client brought are nobody's as yet.
fn thoughts_of(message: &Message) -> Option<Thoughts> {
    let metadata: Value = serde_json::from_str(&message.metadata).ok()?;
    if metadata.get(ORIGIN).is_some_and(|origin| origin == CLIENT) {
        return Some(Thoughts { text: String::new(), field: None, provider: String::new(), beside: Map::new() });
    }
    let field = metadata.get(THOUGHTS_FIELD).and_then(Value::as_str).and_then(ThoughtsField::of);
    let beside = beside::of_metadata(&metadata);
    let (provider, _) = metadata.get("model")?.as_str()?.split_once('/')?;
    if field.is_none() && beside.is_empty() {
        return None;
    }
    Some(Thoughts { text: String::new(), field, provider: provider.to_owned(), beside })
}

fn content(part: &Value) -> Option<Content> {
    let field = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
    match part.get("type")?.as_str()? {
        "text" => Some(Content::Text(field("text")?)),
        "file" => {
            let detail = part["providerMetadata"][OURS]["detail"].as_str().map(str::to_owned);
            let filename = field("filename");
            Some(Content::File { media_type: field("mediaType")?, url: field("url")?, filename, detail })
        }
        _ => None,
    }
}

fn step(parts: &[Value], thoughts: Option<&Thoughts>) -> Vec<model::Message> {
    let text_of = |kind: &str| {
        let texts = parts.iter().filter(|part| part["type"] == kind).filter_map(|part| part["text"].as_str());
        texts.collect::<String>()
    };
    let (calls, outputs): (Vec<_>, Vec<_>) = parts.iter().filter_map(finished_call).unzip();
    let text = text_of("text");
    if text.is_empty() && calls.is_empty() {
        return Vec::new();
    }
    let own = thoughts.filter(|thoughts| thoughts.field.is_some() || thoughts.provider.is_empty());
    let thoughts = own.map(|own| Thoughts { text: text_of("reasoning"), beside: Map::new(), ..own.clone() });
    let thoughts = thoughts.filter(|thoughts| !thoughts.text.is_empty());
    let said = model::Message::Assistant { text, thoughts, calls };
    std::iter::once(said).chain(outputs).collect()
}

/// A call that has its output. One without is left out: providers refuse a prompt with a call that has no result.
fn finished_call(part: &Value) -> Option<(ToolCall, model::Message)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let id = part.get("toolCallId")?.as_str()?.to_owned();
    let name = part.get("toolName").and_then(Value::as_str).or_else(|| part["type"].as_str()?.strip_prefix("tool-"))?;
    let output = match part.get("state")?.as_str()? {
        // No other tool that is stored as dynamic has a server's name in front of its own.
        "output-available" if part["type"] == "dynamic-tool" && name.contains(naming::SEPARATOR) => {
            text_of_answer(part.get("output")?)
        }
        "output-available" => text_of_output(part.get("output")?),
        "output-error" => text(part.get("errorText")?),
        "output-denied" => part["approval"]["reason"].as_str().unwrap_or("Tool call execution denied.").to_owned(),
        _ => return None,
    };
    let written = part["callProviderMetadata"][AS_WRITTEN]["arguments"].as_str().map(str::to_owned);
    let input = ["rawInput", "input"].into_iter().find_map(|key| part.get(key)).map(text);
    let arguments = written.or(input).unwrap_or_else(|| "{}".to_owned());
    let (call_id, name, beside) = (id.clone(), name.to_owned(), beside::of_part(part));
    Some((ToolCall { id, name, arguments, beside }, model::Message::Tool { call_id, output }))
}

#[cfg(test)]
mod tests;
