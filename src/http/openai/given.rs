//! A conversation that a client gives whole, as a model reads it.
//!
//! Rule: of the client's system messages the leading ones are one text in front, and a later one stands where it stood: as
//! what, the turn knows (`turn/system.rs`).
//! Rule: a call and its outputs stand together, and a call that nothing answers is left out.

use std::collections::HashMap;

use serde_json::Value;

use super::{error::Fault, posted};
use crate::{
    model::{Content, Message, Thoughts, ToolCall},
    store::messages::Role,
    turn::{
        ask::{Aside, Posted},
        history,
        system::one_front,
    },
};

/// Between system texts that become one.
const BETWEEN: &str = "\n\n";

/// A conversation that is to be stored.
#[derive(Debug, Default)]
pub struct ToStore {
    /// The leading system text.
    pub system: String,
    /// The later ones.
    pub asides: Vec<Aside>,
    pub posted: Vec<Posted>,
}

/// A conversation as it is read, message by message.
#[derive(Debug, Default)]
pub struct Conversation {
    said: Vec<Message>,
    /// Which message made the last call of an id.
    called_by: HashMap<String, usize>,
    /// What came of the calls of each message.
    outputs: HashMap<usize, Vec<(String, String)>>,
}

impl Conversation {
    /// One in which nothing was said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Instructions.
    pub fn system(&mut self, text: String) {
        if !text.is_empty() {
            self.said.push(Message::System(text));
        }
    }

    /// A question.
    pub fn user(&mut self, contents: Vec<Content>) {
        self.said.push(Message::User(contents));
    }

    /// What a model said and called.
    pub fn assistant(&mut self, text: String, thoughts: Option<Thoughts>, calls: Vec<ToolCall>) {
        self.called_by.extend(calls.iter().map(|call| (call.id.clone(), self.said.len())));
        self.said.push(Message::Assistant { text, thoughts, calls });
    }

    /// What came of a call; `at` is the path of its id. A second output of a call takes the place of the first.
    pub fn tool(&mut self, call_id: String, output: String, at: &str) -> Result<(), Fault> {
        let Some(by) = self.called_by.get(&call_id) else {
            return Err(Fault::invalid_value(at, "must be the id of a call before it"));
        };
        let outputs = self.outputs.entry(*by).or_default();
        outputs.retain(|(id, _)| *id != call_id);
        outputs.push((call_id, output));
        Ok(())
    }

    /// Whether a model is to go on with its own last words.
    pub fn ends_with_assistant(&self) -> bool {
        let last = self.said.iter().rposition(|message| !matches!(message, Message::System(_)));
        last.is_some_and(|at| matches!(self.said[at], Message::Assistant { .. }) && !self.outputs.contains_key(&at))
    }

    /// What its words are taken for, in tokens.
    pub fn tokens(&self) -> u64 {
        let outputs = self.outputs.values().flatten().map(|(_, output)| history::tokens_of_text(output)).sum::<u64>();
        outputs + history::tokens_of_prompt(&self.said)
    }

    /// The same as it is stored: what only steers the reply, and the messages, each call with its output.
    pub fn to_store(mut self) -> ToStore {
        let (mut front, mut asides, mut posted) = (Vec::new(), Vec::new(), Vec::new());
        for (at, message) in self.said.into_iter().enumerate() {
            match message {
                Message::System(text) if posted.is_empty() => front.push(text),
                Message::System(text) => asides.push(Aside { followed_by: posted.len(), text }),
                Message::User(contents) => posted.push(said_by(Role::User, posted::asked(contents))),
                Message::Assistant { text, thoughts, calls } if !text.is_empty() || !calls.is_empty() => {
                    let thoughts = thoughts.map_or(String::new(), |thoughts| thoughts.text);
                    let mut parts = posted::said(&thoughts, &text, calls);
                    for (id, output) in self.outputs.remove(&at).unwrap_or_default() {
                        let call = parts.iter_mut().find(|part| part["toolCallId"] == id.as_str());
                        call.into_iter().for_each(|call| posted::complete(call, output.clone()));
                    }
                    posted.push(said_by(Role::Assistant, parts));
                }
                Message::Assistant { .. } | Message::Tool { .. } => {}
            }
        }
        asides.iter_mut().for_each(|aside| aside.followed_by = posted.len() - aside.followed_by);
        ToStore { system: front.join(BETWEEN), asides, posted }
    }

    /// The leading system text, and the rest.
    pub fn finish(mut self) -> (String, Vec<Message>) {
        let mut messages = Vec::with_capacity(self.said.len());
        for (at, message) in self.said.into_iter().enumerate() {
            let Message::Assistant { text, thoughts, mut calls } = message else {
                messages.push(message);
                continue;
            };
            let mut outputs = self.outputs.remove(&at).unwrap_or_default();
            calls.retain(|call| outputs.iter().any(|(id, _)| *id == call.id));
            let ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
            messages.push(Message::Assistant { text, thoughts, calls });
            for id in ids {
                let Some(output) = outputs.iter().position(|(of, _)| *of == id) else { continue };
                let (call_id, output) = outputs.swap_remove(output);
                messages.push(Message::Tool { call_id, output });
            }
        }
        apart(messages)
    }
}

/// The leading system text of a conversation, and the rest.
pub fn apart(messages: Vec<Message>) -> (String, Vec<Message>) {
    let mut messages = one_front(messages);
    let system = match messages.first_mut() {
        Some(Message::System(text)) => std::mem::take(text),
        _ => return (String::new(), messages),
    };
    messages.remove(0);
    (system, messages)
}

fn said_by(role: Role, parts: Vec<Value>) -> Posted {
    Posted { id: None, role, parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::system::one_system;

    fn user(text: &str) -> Vec<Content> {
        vec![Content::Text(text.into())]
    }

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into(), beside: None }
    }

    /// Who says what, in short.
    fn shown(conversation: Conversation) -> (String, Vec<String>) {
        let (system, messages) = conversation.finish();
        let messages = one_system(messages);
        let short = messages.iter().map(|message| match message {
            Message::System(text) => format!("s:{text}"),
            Message::User(contents) => {
                let texts = contents.iter().map(|content| match content {
                    Content::Text(text) => text.replace('\n', " "),
                    Content::File { media_type, .. } => media_type.clone(),
                });
                format!("u:{}", texts.collect::<Vec<_>>().join("+"))
            }
            Message::Assistant { text, calls, .. } => {
                format!("a:{text}{:?}", calls.iter().map(|call| &*call.id).collect::<Vec<_>>())
            }
            Message::Tool { call_id, output } => format!("t:{call_id}={output}"),
        });
        (system, short.collect())
    }

    #[test]
    fn leading_system_texts_are_one_and_later_ones_stand_before_the_next_question() {
        let mut talk = Conversation::new();
        talk.system("a".into());
        talk.system(String::new());
        talk.system("b".into());
        talk.user(user("1"));
        talk.system("later".into());
        talk.user(user("2"));
        talk.assistant("3".into(), None, Vec::new());
        talk.system("then".into());
        talk.assistant("4".into(), None, Vec::new());
        talk.system("last".into());
        let (system, said) = shown(talk);
        assert_eq!(system, "a\n\nb");
        let wrapped = |text: &str| format!("u:<system> {text} </system>");
        let expected =
            ["u:1".into(), wrapped("later") + "+2", "a:3[]".into(), wrapped("then"), "a:4[]".into(), wrapped("last")];
        assert_eq!(said, expected);
    }

    #[test]
    fn calls_stand_with_their_outputs_and_without_one_they_are_left_out() {
        let mut talk = Conversation::new();
        talk.user(user("1"));
        talk.assistant("x".into(), None, vec![call("a"), call("b"), call("c")]);
        talk.tool("c".into(), "old".into(), "").unwrap();
        talk.system("between".into());
        talk.tool("c".into(), "3".into(), "").unwrap();
        talk.tool("a".into(), "1".into(), "").unwrap();
        assert!(!talk.ends_with_assistant());
        talk.assistant(String::new(), None, vec![call("a")]);
        assert!(talk.ends_with_assistant());
        talk.tool("a".into(), "again".into(), "").unwrap();
        let (_, said) = shown(talk);
        let between = "u:<system> between </system>";
        let first = ["u:1", "a:x[\"a\", \"c\"]", "t:a=1", "t:c=3"];
        assert_eq!(said, [&first[..], &[between, "a:[\"a\"]", "t:a=again"]].concat());
    }

    #[test]
    fn what_is_stored_is_what_was_said_and_instructions_only_steer() {
        let mut talk = Conversation::new();
        talk.system("a".into());
        talk.system("b".into());
        talk.user(user("1"));
        talk.assistant(String::new(), None, Vec::new());
        talk.system("later".into());
        talk.assistant("x".into(), None, vec![call("c"), call("d")]);
        talk.tool("d".into(), "o".into(), "").unwrap();
        talk.user(user("2"));
        talk.system("last".into());
        let ToStore { system, asides, posted } = talk.to_store();
        let aside = |followed_by: usize, text: &str| Aside { followed_by, text: text.to_owned() };
        assert_eq!((&*system, asides), ("a\n\nb", vec![aside(2, "later"), aside(0, "last")]));
        assert_eq!(
            posted.iter().map(|posted| posted.role).collect::<Vec<_>>(),
            [Role::User, Role::Assistant, Role::User]
        );
        let states: Vec<_> = posted[1].parts.iter().filter_map(|part| part["state"].as_str()).collect();
        assert_eq!(states, ["done", "input-available", "output-available"]);
    }

    #[test]
    fn an_output_needs_its_call() {
        let mut talk = Conversation::new();
        talk.user(user("1"));
        assert!(talk.tool("a".into(), "1".into(), "messages[1].tool_call_id").is_err());
    }
}
