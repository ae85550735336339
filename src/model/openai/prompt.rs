//! A conversation as every chat template takes it.
//!
//! Templates of widely used models refuse two messages of one role in a row, a reply before any question, a question right
//! after a tool's output, a second system message, and empty texts; what a stop, a crash or a failure leaves in a
//! history has all of these. Rule: the history stays as it is stored, only what is sent is arranged; and what is sent of a
//! history is the beginning of what is sent of a longer one, so that a model server finds in its cache what it has read.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use sha2::{Digest, Sha256};

use crate::model::{Content, Message, Thoughts, ToolCall};

/// Between texts that become one.
const BETWEEN: &str = "\n\n";
/// What a model is taken to have said where a question follows a tool's output.
const STOPPED: &str = "(stopped)";
/// What a model is asked where the last thing that it would read is a tool's output in its own words.
static GO_ON: LazyLock<Content> = LazyLock::new(|| Content::Text("Go on.".into()));
/// The length of a call's id; Mistral's templates take no other.
const CALL_ID_CHARS: usize = 9;
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// One message of a prompt.
#[derive(Debug, PartialEq)]
pub(super) enum Arranged<'a> {
    /// Instructions: the first message, or none; where they may stand anywhere, later ones too.
    System(Cow<'a, str>),
    /// One question, or several that had no reply.
    User(Vec<&'a Content>),
    /// One reply, or what was left of several.
    Assistant { text: Cow<'a, str>, thoughts: Option<&'a Thoughts>, calls: &'a [ToolCall] },
    /// The output of one call.
    Tool { call_id: &'a str, output: &'a str },
}

/// The same conversation: one system message, first; then a question, and no two messages of one role in a row but tools'
/// outputs; nothing empty. `in_words`: what tools returned is what the model said, for one that knows no tools. `anywhere`: later
/// instructions stay where they stand.
pub(super) fn arrange(messages: &[Message], in_words: bool, anywhere: bool) -> Vec<Arranged<'_>> {
    let mut arranged = Arrangement { in_words, anywhere, ..Arrangement::default() };
    messages.iter().for_each(|message| arranged.add(message));
    let Arrangement { system, mut talk, .. } = arranged;
    if in_words && matches!(messages.last(), Some(Message::Tool { .. })) {
        talk.push(Arranged::User(vec![&GO_ON]));
    }
    // A reply to nothing is left out; without any question there is nothing else to send.
    if let Some(first) = talk.iter().position(|message| matches!(message, Arranged::User(_))) {
        talk.drain(..first);
    }
    system.into_iter().map(Arranged::System).chain(talk).collect()
}

/// A call's id as it is sent: the same for the same id, whatever model made it up.
pub(super) fn call_id(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    let digit = |byte: &u8| char::from(BASE_62[usize::from(*byte) % BASE_62.len()]);
    hash.iter().take(CALL_ID_CHARS).map(digit).collect()
}

/// The ids of calls as they are sent: one that an earlier message had is another one.
#[derive(Default)]
pub(super) struct CallIds<'a>(HashMap<&'a str, usize>);

impl<'a> CallIds<'a> {
    /// Of a call.
    pub fn of_call(&mut self, id: &'a str) -> String {
        *self.0.entry(id).or_default() += 1;
        self.of_output(id)
    }

    /// Of the output of the last call of that id.
    pub fn of_output(&self, id: &str) -> String {
        match self.0.get(id) {
            None | Some(1) => call_id(id),
            Some(count) => call_id(&format!("{id}\n{count}")),
        }
    }
}

#[derive(Default)]
struct Arrangement<'a> {
    system: Option<Cow<'a, str>>,
    talk: Vec<Arranged<'a>>,
    in_words: bool,
    anywhere: bool,
    /// The calls of the last reply, if they are told in words.
    called: &'a [ToolCall],
}

impl<'a> Arrangement<'a> {
    fn add(&mut self, message: &'a Message) {
        match message {
            Message::System(text) if self.anywhere && !self.talk.is_empty() => {
                self.talk.push(Arranged::System(text.into()));
            }
            Message::System(text) => match &mut self.system {
                None => self.system = (!text.is_empty()).then_some(text.into()),
                Some(system) => append(system, text),
            },
            Message::User(contents) => self.user(contents),
            Message::Assistant { text, thoughts, calls } if self.in_words => {
                self.assistant(text, thoughts.as_ref(), &[]);
                self.called = calls;
            }
            Message::Assistant { text, thoughts, calls } => self.assistant(text, thoughts.as_ref(), calls),
            Message::Tool { call_id, output } if self.in_words => self.tell(call_id, output),
            Message::Tool { call_id, output } => self.talk.push(Arranged::Tool { call_id, output }),
        }
    }

    fn tell(&mut self, call_id: &str, output: &str) {
        let Some(call) = self.called.iter().find(|call| call.id == call_id) else { return };
        let told = format!("(I called {} with {} and got: {output})", call.name, call.arguments);
        match self.talk.last_mut() {
            Some(Arranged::Assistant { text, .. }) => append(text, &told),
            _ => self.talk.push(Arranged::Assistant { text: told.into(), thoughts: None, calls: &[] }),
        }
    }

    fn user(&mut self, contents: &'a [Content]) {
        let said = contents.iter().filter(|content| !content.is_empty());
        match self.talk.last_mut() {
            Some(Arranged::User(before)) => before.extend(said),
            after => {
                let said: Vec<_> = said.collect();
                if said.is_empty() {
                    return;
                }
                if matches!(after, Some(Arranged::Tool { .. })) {
                    self.assistant(STOPPED, None, &[]);
                }
                self.talk.push(Arranged::User(said));
            }
        }
    }

    fn assistant(&mut self, text: &'a str, thoughts: Option<&'a Thoughts>, calls: &'a [ToolCall]) {
        match self.talk.last_mut() {
            // One that called tools is followed by their outputs, so nothing is lost here.
            Some(Arranged::Assistant { text: before, thoughts: earlier, calls: none @ [] }) => {
                append(before, text);
                *earlier = thoughts.or(*earlier);
                *none = calls;
            }
            _ if text.is_empty() && calls.is_empty() => {}
            _ => self.talk.push(Arranged::Assistant { text: text.into(), thoughts, calls }),
        }
    }
}

/// Adds a text to one that is there, a blank line between.
fn append(before: &mut Cow<'_, str>, text: &str) {
    if text.is_empty() {
        return;
    }
    if !before.is_empty() {
        before.to_mut().push_str(BETWEEN);
    }
    before.to_mut().push_str(text);
}

/// Texts as one, a blank line between.
pub(super) fn joined<'a>(texts: impl IntoIterator<Item = Cow<'a, str>>) -> Cow<'a, str> {
    let mut texts = texts.into_iter();
    let mut whole = texts.next().unwrap_or_default();
    texts.for_each(|text| append(&mut whole, &text));
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::model::ThoughtsField;

    fn user(text: &str) -> Message {
        Message::User(vec![Content::Text(text.into())])
    }

    fn said(text: &str) -> Message {
        Message::Assistant { text: text.into(), thoughts: None, calls: Vec::new() }
    }

    fn called(id: &str) -> [Message; 2] {
        let call = ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into(), beside: None };
        [
            Message::Assistant { text: String::new(), thoughts: None, calls: vec![call] },
            Message::Tool { call_id: id.into(), output: "o".into() },
        ]
    }

    /// Who says what, in short.
    fn shown(messages: &[Message]) -> Vec<String> {
        let texts = |contents: &[&Content]| {
            let text = |content: &&Content| match content {
                Content::Text(text) => text.clone(),
                Content::File { media_type, .. } => media_type.clone(),
            };
            contents.iter().map(text).collect::<Vec<_>>().join("+")
        };
        let short = |message: &Arranged<'_>| match message {
            Arranged::System(text) => format!("s:{text}"),
            Arranged::User(contents) => format!("u:{}", texts(contents)),
            Arranged::Assistant { text, calls, .. } => format!("a:{text}{}", "!".repeat(calls.len())),
            Arranged::Tool { output, .. } => format!("t:{output}"),
        };
        arrange(messages, false, false).iter().map(short).collect()
    }

    #[test]
    fn there_is_one_system_message_and_it_is_the_first() {
        let system = |text: &str| Message::System(text.into());
        let messages = [system("a"), user("u"), system(""), system("b"), said("v"), system("c")];
        assert_eq!(shown(&messages), ["s:a\n\nb\n\nc", "u:u", "a:v"]);
        assert_eq!(shown(&[system(""), user("u")]), ["u:u"]);
        assert_eq!(shown(&[system("only")]), ["s:only"]);
    }

    #[test]
    fn neighbours_of_one_role_are_one_and_nothing_is_empty() {
        let [call, output] = called("c");
        let messages = [user("a"), said(""), user("b"), said("c"), said("d"), call, output, said("e"), user("")];
        assert_eq!(shown(&messages), ["u:a+b", "a:c\n\nd!", "t:o", "a:e"]);
        assert_eq!(shown(&[user(""), user("a"), Message::User(vec![]), user("b")]), ["u:a+b"]);
    }

    #[test]
    fn a_conversation_begins_with_a_question() {
        let [call, output] = called("c");
        assert_eq!(shown(&[said("hello"), call, output, user("a"), said("b")]), ["u:a", "a:b"]);
    }

    #[test]
    fn a_question_never_follows_a_tools_output() {
        let [call, output] = called("c");
        let messages = [user("a"), call, output.clone(), output, user("b")];
        assert_eq!(shown(&messages), ["u:a", "a:!", "t:o", "t:o", "a:(stopped)", "u:b"]);
    }

    #[test]
    fn of_thoughts_that_meet_the_later_stay() {
        let thought = |text: &str| {
            Some(Thoughts {
                text: text.into(),
                field: Some(ThoughtsField::Reasoning),
                provider: "p".into(),
                beside: Map::new(),
            })
        };
        let said = |text: &str, thoughts| Message::Assistant { text: text.into(), thoughts, calls: Vec::new() };
        let kept = |messages: &[Message]| match arrange(messages, false, false).pop() {
            Some(Arranged::Assistant { thoughts, .. }) => thoughts.map(|thoughts| thoughts.text.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(kept(&[user("u"), said("a", thought("1")), said("b", thought("2"))]), Some("2".into()));
        assert_eq!(kept(&[user("u"), said("a", thought("1")), said("b", None)]), Some("1".into()));
    }

    #[test]
    fn a_longer_history_begins_with_what_a_shorter_one_was_sent_as() {
        let [call, output] = called("c");
        let whole = [Message::System("s".into()), user("a"), call, output, said("b"), user("c"), said("d"), user("e")];
        let prompt = |count: usize| shown(&whole[..count]);
        for count in 1..whole.len() {
            let (shorter, longer) = (prompt(count), prompt(count + 1));
            assert!(longer.starts_with(&shorter), "{shorter:?} {longer:?}");
        }
    }

    #[test]
    fn a_calls_id_is_nine_letters_or_digits_and_always_the_same() {
        let ids = ["call_1", "call_2", "", "chatcmpl-tool-0123456789abcdef0123456789abcdef", "é"].map(call_id);
        for id in &ids {
            assert!(id.len() == CALL_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        assert_eq!(call_id("call_1"), ids[0]);
    }
}
