//! The stored history, as a model gets it.
//!
//! Rule: what does not fit the model's window is left out in whole turns, oldest first, and counted; nothing is cut in
//! the middle and nothing silently. Token counts here are estimates: only the model knows.

use std::ops::Range;

use serde_json::Value;

use crate::{
    error::{Error, Result},
    model::{self, Content, Thoughts, ThoughtsField, ToolCall, ToolSpec},
    store::messages::{Message, Role},
};

/// Bytes of text a token is taken for, until a model's own number is known.
pub(super) const TOKEN_BYTES: u64 = 4;
/// Tokens around each message: its role and the model's own marks.
const MESSAGE_TOKENS: u64 = 4;
/// Tokens a file is taken for. Its base64 says nothing about what the model makes of it.
const FILE_TOKENS: u64 = 1_000;
/// Per cent of the room that a conversation may fill before something is left out.
const TRIM_AT: u64 = 90;
/// Per cent of the room that is filled after it. Big steps: each one makes the model read all of its prompt again.
const TRIM_TO: u64 = 50;

/// Where a message's metadata say under which name the model's thoughts came: under it they go back.
pub(super) const THOUGHTS_FIELD: &str = "reasoningField";

/// How much of a conversation a model can read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Tokens for the prompt.
    pub tokens: u64,
    /// Bytes of text that one of its tokens takes.
    pub bytes_per_token: f64,
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
            steps.flat_map(|parts| step(parts, thoughts.as_ref())).collect()
        }
    })
}

/// Whose thoughts a reply holds, and under which name they came; none if they may not go back.
fn thoughts_of(message: &Message) -> Option<(String, ThoughtsField)> {
    let metadata: Value = serde_json::from_str(&message.metadata).ok()?;
    let field = ThoughtsField::of(metadata.get(THOUGHTS_FIELD)?.as_str()?)?;
    let (provider, _) = metadata.get("model")?.as_str()?.split_once('/')?;
    Some((provider.to_owned(), field))
}

fn content(part: &Value) -> Option<Content> {
    let field = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
    match part.get("type")?.as_str()? {
        "text" => Some(Content::Text(field("text")?)),
        "file" => {
            Some(Content::File { media_type: field("mediaType")?, url: field("url")?, filename: field("filename") })
        }
        _ => None,
    }
}

fn step(parts: &[Value], thoughts: Option<&(String, ThoughtsField)>) -> Vec<model::Message> {
    let text_of = |kind: &str| {
        let texts = parts.iter().filter(|part| part["type"] == kind).filter_map(|part| part["text"].as_str());
        texts.collect::<String>()
    };
    let (calls, outputs): (Vec<_>, Vec<_>) = parts.iter().filter_map(finished_call).unzip();
    let text = text_of("text");
    if text.is_empty() && calls.is_empty() {
        return Vec::new();
    }
    let thoughts = thoughts.map(|(provider, field)| (provider, field, text_of("reasoning")));
    let thoughts = thoughts.filter(|(.., text)| !text.is_empty());
    let thoughts = thoughts.map(|(provider, field, text)| Thoughts { text, field: *field, provider: provider.clone() });
    let said = model::Message::Assistant { text, thoughts, calls };
    std::iter::once(said).chain(outputs).collect()
}

/// A call that has its output. One without is left out: providers refuse a prompt with a call that has no result.
fn finished_call(part: &Value) -> Option<(ToolCall, model::Message)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let output = match part.get("state")?.as_str()? {
        "output-available" => text(part.get("output")?),
        "output-error" => text(part.get("errorText")?),
        "output-denied" => part["approval"]["reason"].as_str().unwrap_or("Tool call execution denied.").to_owned(),
        _ => return None,
    };
    let id = part.get("toolCallId")?.as_str()?.to_owned();
    let name = part.get("toolName").and_then(Value::as_str).or_else(|| part["type"].as_str()?.strip_prefix("tool-"))?;
    let input = ["rawInput", "input"].into_iter().find_map(|key| part.get(key)).map_or_else(|| "{}".to_owned(), text);
    let call = ToolCall { id: id.clone(), name: name.to_owned(), arguments: input };
    Some((call, model::Message::Tool { call_id: id, output }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{store::messages::Status, time::Timestamp};

    fn message(role: Role, parts: Value) -> Message {
        Message {
            seq: 0,
            id: "m".into(),
            role,
            status: Status::Complete,
            created_at: Timestamp::now(),
            metadata: "{}".into(),
            content: crate::turn::fold::content(parts.as_array().unwrap()),
            parts: parts.to_string(),
        }
    }

    fn room(tokens: u64) -> Option<Room> {
        Some(Room { tokens, bytes_per_token: 4.0 })
    }

    fn text(role: Role, text: &str) -> Message {
        message(role, json!([{ "type": "text", "text": text }]))
    }

    #[test]
    fn the_oldest_turns_are_left_out_whole_and_counted() {
        let long = "x".repeat(400);
        let history = [
            text(Role::User, &long),
            text(Role::Assistant, &long),
            text(Role::User, &long),
            text(Role::User, "b"),
            text(Role::Assistant, "c"),
        ];
        let all = fit("be brief", &history, None, None).unwrap();
        assert_eq!((all.messages.len(), all.dropped), (6, 0));
        let some = fit("be brief", &history, room(240), None).unwrap();
        assert_eq!((some.messages.len(), some.dropped), (4, 2));
        let last_only = fit("", &history, room(0), None).unwrap();
        assert_eq!((last_only.messages.len(), last_only.dropped), (3, 2), "the last turn stays whatever it takes");
    }

    #[test]
    fn a_reply_of_two_steps_keeps_its_tools_output_between_them() {
        let reply = message(
            Role::Assistant,
            json!([
                { "type": "step-start" },
                { "type": "reasoning", "text": "hm" },
                { "type": "tool-current_time", "toolCallId": "c1", "state": "output-available", "input": {}, "output": { "utc": 1 } },
                { "type": "tool-x", "toolCallId": "c2", "state": "output-error", "rawInput": "{bad", "errorText": "no" },
                { "type": "tool-x", "toolCallId": "c3", "state": "input-available", "input": {} },
                { "type": "step-start" },
                { "type": "text", "text": "It is one." },
            ]),
        );
        let metadata = r#"{"model":"groq/m","reasoningField":"reasoning"}"#.to_owned();
        let reply = Message { metadata, ..reply };
        let fitted = fit("", &[text(Role::User, "when?"), reply], None, None).unwrap();
        let call = |id: &str, name: &str, arguments: &str| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let said = |text: &str, thoughts: &str, calls| model::Message::Assistant {
            text: text.into(),
            thoughts: (!thoughts.is_empty()).then(|| Thoughts {
                text: thoughts.into(),
                field: ThoughtsField::Reasoning,
                provider: "groq".into(),
            }),
            calls,
        };
        let tool = |id: &str, output: &str| model::Message::Tool { call_id: id.into(), output: output.into() };
        assert_eq!(
            fitted.messages,
            [
                model::Message::User(vec![Content::Text("when?".into())]),
                said("", "hm", vec![call("c1", "current_time", "{}"), call("c2", "x", "{bad")]),
                tool("c1", "{\"utc\":1}"),
                tool("c2", "no"),
                said("It is one.", "", vec![]),
            ]
        );
    }

    #[test]
    fn past_nine_tenths_of_the_room_whole_turns_go_down_to_half_of_it() {
        // Each message: 100 tokens of text and 4 around it. Turns begin at 0, 2, 4, 6 and 8.
        let long = "x".repeat(400);
        let roles = [Role::User, Role::Assistant].into_iter().cycle().take(9);
        let history: Vec<_> = roles.map(|role| text(role, &long)).collect();
        let dropped = |tokens: u64| fit("", &history, room(tokens), None).unwrap().dropped;
        // All of it takes 936; without the first turn 728, then 520, 312, 104.
        for (tokens, expected) in [(1_040, 0), (1_039, 6), (624, 6), (623, 8), (207, 8), (0, 8)] {
            assert_eq!(dropped(tokens), expected, "room for {tokens}");
        }
        // The system prompt takes its own: 8 bytes are 2 tokens, and 4 around it.
        for (tokens, expected) in [(1_047, 0), (1_046, 6)] {
            let fitted = fit("be brief", &history, room(tokens), None).unwrap();
            assert_eq!(fitted.dropped, expected, "room for {tokens}");
        }
        let dense = Some(Room { tokens: 1_040, bytes_per_token: 2.0 });
        assert_eq!(fit("", &history, dense, None).unwrap().dropped, 8, "each message takes 204");
    }

    #[test]
    fn a_cut_holds_until_what_follows_it_is_too_long_again() {
        let long = "x".repeat(400);
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let history = |count: usize| -> Vec<_> {
            let numbered = roles.clone().take(count).enumerate();
            numbered.map(|(at, role)| Message { seq: at as i64 + 10, ..text(role, &long) }).collect()
        };
        let (mut cut, mut reads) = (None, Vec::new());
        for count in (1..=21).step_by(2) {
            let fitted = fit("", &history(count), room(1_040), cut).unwrap();
            cut = fitted.cut.or(cut);
            reads.push(fitted.dropped);
        }
        assert_eq!(reads, [0, 0, 0, 0, 0, 6, 6, 6, 12, 12, 12], "each of these numbers once is a prompt read anew");
        // A model that holds all of it is sent all of it, and a cut that no message follows is none.
        assert_eq!(fit("", &history(11), room(2_000), Some(16)).unwrap().dropped, 0);
        assert_eq!(fit("", &history(11), room(1_040), Some(99)).unwrap().dropped, 6);
    }

    #[test]
    fn a_question_without_a_reply_goes_when_the_next_one_does_not_fit_beside_it() {
        let question = |bytes: usize| text(Role::User, &"x".repeat(bytes));
        let dropped = |history: &[Message]| fit("", history, room(500), None).unwrap().dropped;
        assert_eq!(dropped(&[question(8_000), question(400)]), 1);
        assert_eq!(dropped(&[question(1_600), question(300)]), 0, "past nine tenths, but it fits");
        assert_eq!(dropped(&[question(400), text(Role::Assistant, "a"), question(8_000), question(400)]), 3);
    }

    #[test]
    fn a_prompt_is_counted_by_its_texts_its_calls_and_its_files() {
        let file = Content::File { media_type: "image/png".into(), url: "data:,x".into(), filename: None };
        let call = ToolCall { id: "id".into(), name: "12345".into(), arguments: "123456789".into() };
        let messages = [
            model::Message::User(vec![Content::Text("1234".into()), file]),
            model::Message::Assistant { text: "12345".into(), thoughts: None, calls: vec![call] },
            model::Message::Tool { call_id: "id".into(), output: "123456789".into() },
        ];
        let tokens = messages.each_ref().map(|message| tokens_of_message(message, 4.0));
        // 5 + 5 + 9 bytes are 5 tokens.
        assert_eq!(tokens, [1 + FILE_TOKENS + 4, 5 + 4, 3 + 4]);
        assert_eq!(tokens_of_prompt(&messages), tokens.iter().sum::<u64>());
        assert_eq!((tokens_of_bytes(3), tokens_of_bytes(4), tokens_of_bytes(5)), (1, 1, 2));
        assert_eq!(tokens_at_most(9, 2), 3 + 2 * 5);
    }
}
