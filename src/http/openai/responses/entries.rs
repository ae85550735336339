//! What a request's input says, by who said it: for a model at once, or as messages to be stored.
//!
//! Rule: what a model thought, said and called in one go is one entry; its calls' outputs stand with the calls.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::input::{self, Input};
use crate::{
    http::openai::{error::Fault, given::Conversation, ignored::Ignored, posted},
    model::{Content, Thoughts, ToolCall},
    store::messages::{NewMessage, Role},
    turn::{answers::Output, ask::Posted},
};

/// Between texts of a model that become one.
const BETWEEN: &str = "\n\n";

/// What was said in one go.
#[derive(Debug, PartialEq)]
pub enum Entry {
    System(String),
    User(Vec<Content>),
    Assistant(Said),
    Output { call_id: String, output: String, at: String },
}

/// What a model said in one go.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    thoughts: String,
    text: String,
    calls: Vec<ToolCall>,
}

/// Messages to be stored.
#[derive(Debug, Default)]
pub struct Messages {
    pub posted: Vec<Posted>,
    /// Outputs of calls that are not among them, each with the place where its call is named.
    pub outputs: Vec<(Output, String)>,
}

/// The entries of an input in which no references are left.
pub fn entries(input: Vec<Input>) -> Vec<Entry> {
    let (mut entries, mut said) = (Vec::new(), Said::default());
    for item in input {
        match item {
            Input::Thoughts(text) => {
                if !said.text.is_empty() || !said.calls.is_empty() {
                    said.flush(&mut entries);
                }
                join(&mut said.thoughts, &text);
            }
            Input::Words(text) => {
                if !said.calls.is_empty() {
                    said.flush(&mut entries);
                }
                join(&mut said.text, &text);
            }
            Input::Call(call) => said.calls.push(call),
            other => {
                said.flush(&mut entries);
                match other {
                    Input::System(text) => entries.push(Entry::System(text)),
                    Input::User(contents) => entries.push(Entry::User(contents)),
                    Input::Output { call_id, output, at } => entries.push(Entry::Output { call_id, output, at }),
                    Input::Thoughts(_) | Input::Words(_) | Input::Call(_) | Input::Reference { .. } => {}
                }
            }
        }
    }
    said.flush(&mut entries);
    entries
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(BETWEEN);
    }
    text.push_str(more);
}

impl Said {
    fn flush(&mut self, entries: &mut Vec<Entry>) {
        let said = std::mem::take(self);
        if said != Said::default() {
            entries.push(Entry::Assistant(said));
        }
    }
}

/// The entries as a conversation that a model is given at once.
pub fn conversation(entries: Vec<Entry>, instructions: Option<&str>) -> Result<Conversation, Fault> {
    let mut conversation = Conversation::new();
    conversation.system(instructions.unwrap_or_default().to_owned());
    for entry in entries {
        match entry {
            Entry::System(text) => conversation.system(text),
            Entry::User(contents) => conversation.user(contents),
            Entry::Assistant(Said { thoughts, text, calls }) => {
                let thoughts = (!thoughts.is_empty()).then(|| Thoughts {
                    text: thoughts,
                    field: None,
                    provider: String::new(),
                    beside: serde_json::Map::new(),
                });
                conversation.assistant(text, thoughts, calls);
            }
            Entry::Output { call_id, output, at } => conversation.tool(call_id, output, &at)?,
        }
    }
    Ok(conversation)
}

/// Items as messages to be stored, outside of a request for a response.
pub fn messages_of(items: Vec<Value>) -> Result<Vec<NewMessage>, Fault> {
    let input = input::decode(Some(Value::Array(items)), &mut Ignored::default())?;
    let messages = messages(entries(input));
    match messages.outputs.first() {
        Some((_, at)) => Err(Fault::invalid_value(at, "must be the id of a call before it")),
        None => Ok(messages.posted.into_iter().map(Posted::into_clients_message).collect()),
    }
}

/// The entries as messages to be stored.
pub fn messages(entries: Vec<Entry>) -> Messages {
    let mut messages = Messages::default();
    // Where the newest call of each id is: in which message, and which of its parts.
    let mut calls: HashMap<String, (usize, usize)> = HashMap::new();
    for entry in entries {
        let (role, parts) = match entry {
            Entry::System(text) => (Role::System, vec![json!({ "type": "text", "text": text })]),
            Entry::User(contents) => (Role::User, posted::asked(contents)),
            Entry::Assistant(said) => (Role::Assistant, posted::said(&said.thoughts, &said.text, said.calls)),
            Entry::Output { call_id, output, at } => {
                match calls.get(&call_id) {
                    Some((message, part)) => posted::complete(&mut messages.posted[*message].parts[*part], output),
                    None => messages.outputs.push((Output { call_id, output: Ok(output.into()) }, at)),
                }
                continue;
            }
        };
        let of_message = parts.iter().enumerate();
        let ids = of_message.filter_map(|(at, part)| Some((part["toolCallId"].as_str()?.to_owned(), at)));
        calls.extend(ids.map(|(id, at)| (id, (messages.posted.len(), at))));
        messages.posted.push(Posted { id: None, role, parts });
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Input {
        Input::Call(ToolCall { id: id.into(), name: "f".into(), arguments: "{ }".into(), beside: None })
    }

    fn output(id: &str) -> Input {
        Input::Output { call_id: id.into(), output: "o".into(), at: format!("at {id}") }
    }

    fn asked() -> Vec<Input> {
        vec![
            Input::System("s".into()),
            Input::User(vec![Content::Text("u".into())]),
            Input::Thoughts("t".into()),
            Input::Words("a".into()),
            call("1"),
            call("2"),
            output("2"),
            output("1"),
            Input::Words("b".into()),
            Input::Words("c".into()),
        ]
    }

    #[test]
    fn what_was_said_in_one_go_is_one_message_with_its_calls_outputs() {
        let messages = messages(entries(asked()));
        assert!(messages.outputs.is_empty());
        let shown: Vec<_> = messages
            .posted
            .iter()
            .map(|posted| {
                let parts = posted.parts.iter().map(|part| {
                    let text = ["text", "output", "toolCallId"].iter().find_map(|key| part[*key].as_str());
                    format!("{} {}", part["type"].as_str().unwrap(), text.unwrap_or_default())
                });
                (posted.role, parts.collect::<Vec<_>>().join(", "))
            })
            .collect();
        let first = "step-start , reasoning t, text a, tool-f o, tool-f o";
        let expected = [
            (Role::System, "text s"),
            (Role::User, "text u"),
            (Role::Assistant, first),
            (Role::Assistant, "step-start , text b\n\nc"),
        ];
        assert_eq!(shown, expected.map(|(role, parts)| (role, parts.to_owned())));
        assert_eq!(messages.posted[2].parts[3]["callProviderMetadata"], json!({"alm": {"arguments": "{ }"}}));
    }

    #[test]
    fn an_output_without_its_call_is_kept_apart() {
        let messages = messages(entries(vec![output("9"), Input::User(vec![])]));
        assert_eq!((messages.posted.len(), &*messages.outputs[0].1), (1, "at 9"));
        assert!(conversation(entries(vec![output("9")]), None).is_err());
    }

    #[test]
    fn a_model_is_given_the_same() {
        let (system, given) = conversation(entries(asked()), Some("i")).unwrap().finish();
        assert_eq!((&*system, given.len()), ("i\n\ns", 5));
    }
}
