//! What is asked of a turn, after decoding and before anything is looked up.

use serde_json::{Value, json};

use super::{
    answers::{Answers, Output},
    fold,
    wire::Wire,
};
use crate::{
    catalog::ResolvedModel,
    id,
    model::{Legacy, Message, sampling::Sampling},
    store::{
        Tenant,
        agents::Agent,
        decisions::Decider,
        idempotency::Claim,
        messages::{NewMessage, Role, Status},
        requests::Came,
        responses::NewResponse,
        sessions::Origin,
    },
    tools::Tool,
};

/// Where the metadata of a message say who brought it, if no turn wrote it.
pub(super) const ORIGIN: &str = "origin";
/// What they say of one that a client put into a model's mouth.
pub(super) const CLIENT: &str = "client";
/// What the log says in place of a path of what an agent asks.
const ASK_AGENT: &str = "ask_agent";
/// Characters of a first message that name its session.
const LABEL_CHARS_MAX: usize = 80;

/// A request for a reply. Its messages may be as large as a body: they are moved to where they are stored, and the type
/// cannot be cloned.
#[derive(Debug)]
pub struct Ask {
    pub asker: Asker,
    pub session: SessionRef,
    /// An agent's id or slug.
    pub agent: Option<String>,
    /// A project's id or slug.
    pub project: Option<String>,
    /// `provider/model`.
    pub model: Option<String>,
    /// The model of that id, if whoever asks has looked it up.
    pub found: Option<Box<ResolvedModel>>,
    pub messages: Vec<Posted>,
    pub trigger: Trigger,
    /// Tools that whoever asks runs.
    pub tools: Vec<Tool>,
    /// What is kept of the request, if it is for a response.
    pub response: Option<NewResponse>,
    /// Instructions of whoever asks, which follow the agent's.
    pub system: String,
    /// How the reply is to be, where whoever asks says more than the agent.
    pub sampling: Sampling,
    /// Whether a conversation that is too long is refused, and not shortened.
    pub is_whole: bool,
    /// Whether `model` is asked itself, with no agent's prompt and tools.
    pub raw: bool,
    /// The conversation, if whoever asks keeps it: then no word of it reaches the file.
    pub given: Option<Given>,
    /// A text that a model goes on with, in place of what is given.
    pub legacy: Option<Legacy>,
    /// Instructions that stand between the posted messages, and are not stored.
    pub asides: Vec<Aside>,
    /// An agent that is not stored, in place of one that is.
    pub draft: Option<Box<Agent>>,
    /// What a session that is made for it says besides: a JSON object, as text.
    pub metadata: Option<String>,
}

/// An instruction between two messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// How many of the posted messages follow it.
    pub followed_by: usize,
    pub text: String,
}

/// What a running turn still needs of what was asked.
#[derive(Debug, Default)]
pub struct Asked {
    pub tools: Vec<Tool>,
    pub sampling: Sampling,
    pub is_whole: bool,
    /// Instructions between the messages of the history.
    pub asides: Vec<Aside>,
    /// The conversation, if it is not stored.
    pub given: Option<Vec<Message>>,
    /// A text that a model goes on with, in its place.
    pub legacy: Option<Legacy>,
    /// How its reply is written then.
    pub wire: Option<Box<dyn Wire>>,
}

/// A conversation that whoever asks keeps, and gives whole.
#[derive(Debug)]
pub struct Given {
    /// Oldest first, without what is in [`Ask::system`].
    pub messages: Vec<Message>,
    /// How its reply is written.
    pub wire: Box<dyn Wire>,
}

/// Who or what asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A person, or a program of theirs.
    Chat,
    /// Another program's model.
    Mcp,
    /// An agent, with a tool.
    Agent(Asking),
    /// A program that speaks OpenAI's responses.
    Responses,
    /// A person who tries an agent out that is not stored.
    TryOut,
    /// One that speaks chat completions, or another API of replies that nobody keeps.
    Completions,
}

/// The conversation in which an agent asks another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    pub session_id: String,
    /// The ids of the agents that wait, the one that asks last.
    pub agent_ids: Vec<String>,
}

/// The caller, and the request that asks.
#[derive(Debug, Clone)]
pub struct Asker {
    pub tenant: Tenant,
    /// Whether a key of the `test` kind asks: paid models are replaced by the built-in one.
    pub test: bool,
    /// The key that asks, if it is one.
    pub key_id: Option<String>,
    /// Names the request in errors and in the log.
    pub request_id: String,
    /// Where it came: the pattern of its path.
    pub route: &'static str,
    /// Notes that it was asked, if it is to be asked once.
    pub claim: Option<Claim>,
    pub by: By,
    /// How they answer calls that wait.
    pub decider: Decider,
}

/// Which session is to hold the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRef {
    /// One that must exist.
    Existing(String),
    /// One by the id a client made up; it is created if it does not exist.
    Client(String),
    /// That of an earlier response, or a branch of it.
    After(String),
    /// A new one.
    New,
}

/// What kind of reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// To what is new.
    Submit,
    /// Once more, to what came before this message; absent: before the last message of a model.
    Regenerate { message_id: Option<String> },
    /// The rest of a message that waits for these answers, or that the end of a process interrupted.
    Resume(Answers),
    /// To what is new, and to these outputs of calls, each with the place where the request names its call.
    Respond(Vec<(Output, String)>),
    /// To a history that becomes what is posted.
    Replace,
}

/// A message as a client posted it. Like an [`Ask`] it is moved, and cannot be cloned.
#[derive(Debug, PartialEq)]
pub struct Posted {
    /// Absent in plain `{role, content}` messages.
    pub id: Option<String>,
    pub role: Role,
    /// UIMessage parts, checked.
    pub parts: Vec<Value>,
}

impl Posted {
    /// As it is stored.
    pub fn into_message(self) -> NewMessage {
        NewMessage {
            id: self.id.unwrap_or_else(id::generate),
            role: self.role,
            status: Status::Complete,
            metadata: "{}".into(),
            content: fold::content(&self.parts),
            parts: Value::Array(self.parts).to_string(),
        }
    }

    /// The same, where a client may say what a model said: its metadata tell so.
    pub fn into_clients_message(self) -> NewMessage {
        let is_said_for_a_model = self.role == Role::Assistant;
        let message = self.into_message();
        match is_said_for_a_model {
            true => NewMessage { metadata: json!({ ORIGIN: CLIENT }).to_string(), ..message },
            false => message,
        }
    }
}

impl Ask {
    /// In a new session, of its default agent and model, and without a message.
    pub fn new(asker: Asker) -> Self {
        Ask {
            asker,
            session: SessionRef::New,
            agent: None,
            project: None,
            model: None,
            found: None,
            messages: Vec::new(),
            trigger: Trigger::Submit,
            tools: Vec::new(),
            response: None,
            system: String::new(),
            sampling: Sampling::default(),
            is_whole: false,
            raw: false,
            given: None,
            legacy: None,
            asides: Vec::new(),
            draft: None,
            metadata: None,
        }
    }

    /// Parts what its turn needs from what begins it.
    pub(super) fn split(&mut self) -> Asked {
        let (given, wire) = match self.given.take() {
            Some(Given { messages, wire }) => (Some(messages), Some(wire)),
            None => (None, None),
        };
        let (tools, sampling) = (std::mem::take(&mut self.tools), std::mem::take(&mut self.sampling));
        let (is_whole, legacy) = (self.is_whole, self.legacy.take());
        let asides = std::mem::take(&mut self.asides);
        Asked { tools, sampling, is_whole, asides, given, legacy, wire }
    }

    /// The first words that are posted, on one line: the label of a session that is created for them.
    pub fn label(&self) -> Option<String> {
        self.messages.iter().map(|message| first_words(&message.parts)).find(|words| !words.is_empty())
    }
}

/// The first words of a message, single blanks between them. It reads no further than it has to.
fn first_words(parts: &[Value]) -> String {
    let (mut words, mut chars, mut gap) = (String::new(), 0, false);
    for char in fold::texts(parts).flat_map(str::chars) {
        if char.is_whitespace() {
            gap = chars > 0;
            continue;
        }
        if std::mem::take(&mut gap) {
            words.push(' ');
            chars += 1;
        }
        if chars == LABEL_CHARS_MAX {
            break;
        }
        words.push(char);
        chars += 1;
    }
    words
}

/// What the model reads of a call that needs a person, where none is there.
pub const NOBODY_TO_ASK: &str = "A person has to allow this: ask in a conversation of its own.";

impl By {
    /// Whether nobody is there who could allow a call.
    pub fn asks_nobody(&self) -> bool {
        matches!(self, By::Agent(_)) || self.leaves_out_asking()
    }

    /// Whether a program asks that speaks another API than ours, and mends its own calls.
    pub fn is_program(&self) -> bool {
        matches!(self, By::Responses | By::Completions)
    }

    /// Whether tools that ask a person are not even offered.
    pub fn leaves_out_asking(&self) -> bool {
        *self == By::TryOut || self.is_program()
    }

    /// What a session says of its beginning that is made for such a question.
    pub fn origin(&self) -> Origin {
        match self {
            By::Chat | By::TryOut => Origin::Chat,
            By::Mcp => Origin::Mcp,
            By::Agent(_) => Origin::Agent,
            By::Responses => Origin::Responses,
            By::Completions => Origin::Completions,
        }
    }

    /// What else it says: a JSON object, as text.
    pub fn metadata(&self) -> Option<String> {
        match self {
            By::Chat | By::TryOut | By::Mcp | By::Responses | By::Completions => None,
            By::Agent(Asking { session_id, .. }) => Some(json!({ "parentSessionId": session_id }).to_string()),
        }
    }
}

impl Asker {
    /// How the request came, for the log.
    pub(super) fn came(&self) -> Came {
        let route = if let By::Agent(_) = self.by { ASK_AGENT } else { self.route };
        Came { request_id: self.request_id.clone(), route }
    }

    /// One without a key and without a claim.
    pub fn new(tenant: Tenant, request_id: impl Into<String>) -> Self {
        let decider = Decider { via: "server".into(), is_owner: false, is_test: false };
        let request_id = request_id.into();
        Asker { tenant, test: false, key_id: None, request_id, route: "", claim: None, by: By::Chat, decider }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_first_words_on_one_line() {
        let label = |texts: &[&str]| {
            let parts = |text: &str| vec![json!({"type": "file"}), json!({"type": "text", "text": text})];
            let posted = |text: &&str| Posted { id: None, role: Role::User, parts: parts(text) };
            let tenant = Tenant { org_id: String::new(), user_id: String::new() };
            Ask { messages: texts.iter().map(posted).collect(), ..Ask::new(Asker::new(tenant, "r")) }.label()
        };
        assert_eq!(label(&[" \n", " Why\tis  the sky\nblue? "]).as_deref(), Some("Why is the sky blue?"));
        assert_eq!(label(&["", " "]), None);
        for chars in [LABEL_CHARS_MAX - 1, LABEL_CHARS_MAX, LABEL_CHARS_MAX + 1, 1_000] {
            assert_eq!(label(&[&"ü".repeat(chars)]), Some("ü".repeat(chars.min(80))));
        }
        let at_a_gap = format!("{} end", "x".repeat(79));
        assert_eq!(label(&[&at_a_gap]), Some(at_a_gap.chars().take(80).collect()));
    }
}
