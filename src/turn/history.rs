//! The stored history, as a model gets it.
//!
//! Rule: what does not fit the model's window is left out in whole turns, oldest first, and counted; nothing is cut in
//! the middle and nothing silently. Token counts here are estimates: only the model knows.

use serde_json::Value;

use crate::{
    error::{Error, Result},
    model::{self, Content, ToolCall},
    store::messages::{Message, Role},
};

/// Bytes of text a token is taken for.
const TOKEN_BYTES: u64 = 4;
/// Tokens around each message: its role and the model's own marks.
const MESSAGE_TOKENS: u64 = 4;
/// Tokens a file is taken for. Its base64 says nothing about what the model makes of it.
const FILE_TOKENS: u64 = 1_000;

/// A conversation that fits, and what did not.
#[derive(Debug, PartialEq)]
pub struct Fitted {
    /// System prompt first, then the history, oldest first.
    pub messages: Vec<model::Message>,
    /// Stored messages that were left out.
    pub dropped: usize,
}

/// The conversation for a model with room for `tokens_max` prompt tokens; absent: any number.
pub fn fit(system: &str, history: &[Message], tokens_max: Option<u64>) -> Result<Fitted> {
    let mut kept: Vec<Vec<model::Message>> = history.iter().map(translate).collect::<Result<_>>()?;
    let system = (!system.is_empty()).then(|| model::Message::System(system.to_owned()));
    let mut dropped = 0;
    if let Some(tokens_max) = tokens_max {
        let sizes: Vec<u64> = kept.iter().map(|messages| tokens_of(messages)).collect();
        let mut total = system.as_ref().map_or(0, tokens_of_message) + sizes.iter().sum::<u64>();
        // The last turn always goes out: a refusal by the model says more than an empty prompt.
        for next in turn_starts(history).skip(1) {
            if total <= tokens_max {
                break;
            }
            total -= sizes[dropped..next].iter().sum::<u64>();
            dropped = next;
        }
        kept.drain(..dropped);
    }
    Ok(Fitted { messages: system.into_iter().chain(kept.into_iter().flatten()).collect(), dropped })
}

/// What a prompt is taken for, in tokens.
pub fn tokens_of(messages: &[model::Message]) -> u64 {
    messages.iter().map(tokens_of_message).sum()
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
    bytes.div_ceil(TOKEN_BYTES)
}

fn tokens_of_message(message: &model::Message) -> u64 {
    let tokens = match message {
        model::Message::System(text) => tokens_of_text(text),
        model::Message::User(contents) => contents
            .iter()
            .map(|content| match content {
                Content::Text(text) => tokens_of_text(text),
                Content::File { .. } => FILE_TOKENS,
            })
            .sum(),
        model::Message::Assistant { text, reasoning, calls } => {
            let calls: u64 =
                calls.iter().map(|call| tokens_of_text(&call.name) + tokens_of_text(&call.arguments)).sum();
            tokens_of_text(text) + tokens_of_text(reasoning) + calls
        }
        model::Message::Tool { output, .. } => tokens_of_text(output),
    };
    tokens + MESSAGE_TOKENS
}

/// Where turns begin: at the first of a run of user messages.
fn turn_starts(history: &[Message]) -> impl Iterator<Item = usize> + '_ {
    let begins = |at: &usize| *at == 0 || (history[*at].role == Role::User && history[at - 1].role != Role::User);
    (0..history.len()).filter(begins)
}

/// One stored message as a model's messages: a reply of several steps is several, with its tools' outputs between.
fn translate(message: &Message) -> Result<Vec<model::Message>> {
    let parts: Vec<Value> = serde_json::from_str(&message.parts).map_err(Error::internal)?;
    Ok(match message.role {
        Role::System => vec![model::Message::System(message.content.clone())],
        Role::User => vec![model::Message::User(parts.iter().filter_map(content).collect())],
        Role::Assistant => parts.split(|part| part["type"] == "step-start").flat_map(step).collect(),
    })
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

fn step(parts: &[Value]) -> Vec<model::Message> {
    let text_of = |kind: &str| {
        let texts = parts.iter().filter(|part| part["type"] == kind).filter_map(|part| part["text"].as_str());
        texts.collect::<String>()
    };
    let (calls, outputs): (Vec<_>, Vec<_>) = parts.iter().filter_map(finished_call).unzip();
    let (text, reasoning) = (text_of("text"), text_of("reasoning"));
    if text.is_empty() && reasoning.is_empty() && calls.is_empty() {
        return Vec::new();
    }
    let said = model::Message::Assistant { text, reasoning, calls };
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
        let all = fit("be brief", &history, None).unwrap();
        assert_eq!((all.messages.len(), all.dropped), (6, 0));
        let some = fit("be brief", &history, Some(130)).unwrap();
        assert_eq!((some.messages.len(), some.dropped), (4, 2));
        let last_only = fit("", &history, Some(0)).unwrap();
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
        let fitted = fit("", &[text(Role::User, "when?"), reply], None).unwrap();
        let call = |id: &str, name: &str, arguments: &str| ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let said = |text: &str, reasoning: &str, calls| model::Message::Assistant {
            text: text.into(),
            reasoning: reasoning.into(),
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
    fn trimming_takes_away_what_the_turns_that_go_are_taken_for() {
        // Each message: 100 tokens of text and 4 around it. Turns begin at 0, 2 and 4.
        let long = "x".repeat(400);
        let roles = [Role::User, Role::Assistant, Role::User, Role::Assistant, Role::User];
        let history = roles.map(|role| text(role, &long));
        let dropped = |tokens_max: u64| fit("", &history, Some(tokens_max)).unwrap().dropped;
        for (tokens_max, expected) in [(520, 0), (519, 2), (312, 2), (311, 4), (104, 4), (0, 4)] {
            assert_eq!(dropped(tokens_max), expected, "room for {tokens_max}");
        }
        // The system prompt takes its own: 8 bytes are 2 tokens, and 4 around it.
        for (tokens_max, expected) in [(526, 0), (525, 2), (318, 2), (317, 4)] {
            assert_eq!(fit("be brief", &history, Some(tokens_max)).unwrap().dropped, expected, "room for {tokens_max}");
        }
    }

    #[test]
    fn a_prompt_is_counted_by_its_texts_its_calls_and_its_files() {
        let file = Content::File { media_type: "image/png".into(), url: "data:,x".into(), filename: None };
        let call = ToolCall { id: "id".into(), name: "12345".into(), arguments: "123456789".into() };
        let messages = [
            model::Message::User(vec![Content::Text("1234".into()), file]),
            model::Message::Assistant { text: "12345".into(), reasoning: "123".into(), calls: vec![call] },
            model::Message::Tool { call_id: "id".into(), output: "123456789".into() },
        ];
        let tokens = messages.each_ref().map(tokens_of_message);
        assert_eq!(tokens, [1 + FILE_TOKENS + 4, 2 + 1 + (2 + 3) + 4, 3 + 4]);
        assert_eq!(tokens_of(&messages), tokens.iter().sum::<u64>());
        assert_eq!((tokens_of_bytes(3), tokens_of_bytes(4), tokens_of_bytes(5)), (1, 1, 2));
        assert_eq!(tokens_at_most(9, 2), 3 + 2 * 5);
    }
}
