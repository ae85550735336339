//! Models: a request goes in, deltas come out.
//!
//! Rule: nothing here knows sessions, money or the AI SDK stream. `turn` turns deltas into chunks.
//! Reading order: this file, `sse.rs`, `tool_calls.rs`, `facts.rs`, `openai/` (all plain), then `upstream/`
//! and `cassette/` (which wait) and `demo/` (the built-in model).

pub mod cassette; // answers that were recorded
pub mod facts; // what is known of a model
pub mod gguf; // the header of a model's file
mod halves; // characters that arrive in two halves
pub mod known; // the same, shared while it is asked
pub mod openai; // the wire of OpenAI-compatible servers
pub mod sampling; // how it is to answer
pub mod sse; // server-sent events from bytes
pub mod tool_calls; // tool calls from fragments
pub mod waiting; // what is waited for before a reply

pub mod upstream; // asking a provider

#[cfg(test)]
pub(crate) mod scripted; // a server that does what a test tells it

pub mod local; // models that are our own processes

pub mod demo; // the built-in model
pub mod source; // either of them

use std::fmt;

use serde_json::{Map, Value};

use self::sampling::Sampling;

/// What a model is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The model's name as its provider knows it: `llama3.2:3b`.
    pub model: String,
    /// The conversation, oldest first, system prompt in front.
    pub messages: Vec<Message>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// How it is to answer.
    pub sampling: Sampling,
    /// What of this it cannot do without.
    pub needs: Needs,
    /// A text that it goes on with, in place of a conversation.
    pub legacy: Option<Legacy>,
}

/// A text that a model goes on with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Legacy {
    /// What stands before what it writes.
    pub prompt: String,
    /// What stands behind it.
    pub suffix: Option<String>,
}

/// What of a request is its asker's own: a server that refuses it refuses the request. What is ours is left out instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Tools.
    pub tools: bool,
    /// Files.
    pub files: bool,
    /// The shape of the reply.
    pub format: bool,
}

/// One message as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Instructions.
    System(String),
    /// What the person said, with files.
    User(Vec<Content>),
    /// What the model said and what it called.
    Assistant {
        /// Its text.
        text: String,
        /// What it thought, if that may go back to it.
        thoughts: Option<Thoughts>,
        /// The tools it called.
        calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    Tool {
        /// The call this answers.
        call_id: String,
        /// The answer as text: JSON, or a sentence if the tool failed.
        output: String,
    },
}

/// What a model thought. It goes back to whom it came from, under the name under which it came, and to nobody else: some
/// servers want it, others refuse it.
#[derive(Debug, Clone, PartialEq)]
pub struct Thoughts {
    /// All of it.
    pub text: String,
    /// Where it stood; absent: it was not in words.
    pub field: Option<ThoughtsField>,
    /// Whose it is, by its slug.
    pub provider: String,
    /// What its provider put beside the words of the reply.
    pub beside: Map<String, Value>,
}

/// The name under which a server sends thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThoughtsField {
    /// `reasoning_content`: DeepSeek, Moonshot, llama.cpp, older vLLM.
    ReasoningContent,
    /// `reasoning`: Groq, OpenRouter, Ollama, newer vLLM.
    Reasoning,
    /// `reasoning_text`: GitHub's models.
    ReasoningText,
}

impl ThoughtsField {
    /// As it is sent.
    pub fn name(self) -> &'static str {
        match self {
            ThoughtsField::ReasoningContent => "reasoning_content",
            ThoughtsField::Reasoning => "reasoning",
            ThoughtsField::ReasoningText => "reasoning_text",
        }
    }

    /// The field of that name.
    pub fn of(name: &str) -> Option<Self> {
        let known = [ThoughtsField::ReasoningContent, ThoughtsField::Reasoning, ThoughtsField::ReasoningText];
        known.into_iter().find(|field| field.name() == name)
    }
}

/// A piece of what a person said.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A file by its URL, usually a `data:` URL.
    File {
        /// Such as `image/png`.
        media_type: String,
        /// `data:` or `https:`.
        url: String,
        /// As the person named it.
        filename: Option<String>,
        /// How closely an image is to be looked at, in a word of its provider's.
        detail: Option<String>,
    },
}

impl Content {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Content::Text(text) if text.is_empty())
    }
}

/// A tool as a model is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// What the model calls it by.
    pub name: String,
    /// When to call it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A finished call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Unique in the conversation.
    pub id: String,
    /// The tool, which need not exist.
    pub name: String,
    /// Its arguments as the model wrote them, which need not be JSON. Empty arguments are `{}`.
    pub arguments: String,
    /// What its provider put beside it.
    pub beside: Option<Box<Beside>>,
}

/// What a provider put beside a call, or beside the words of the reply that called first, such as a signature of the thoughts
/// that led to it. It goes back to that provider as it
/// came, and to nobody else: some refuse a call without it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// Whose it is, by its slug.
    pub provider: String,
    /// The fields of the call.
    pub call: Map<String, Value>,
    /// The fields of its function.
    pub function: Map<String, Value>,
    /// The fields of the message.
    pub message: Map<String, Value>,
}

/// A piece of a reply, in the order of its arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Visible text, never empty.
    Text(String),
    /// Thinking, never empty.
    Reasoning(String),
    /// A tool call begins.
    ToolStart {
        /// The call's id, as in the [`ToolCall`] that ends it.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of a call's arguments, never empty.
    ToolArguments {
        /// The call's id.
        id: String,
        /// The next piece of JSON text.
        fragment: String,
    },
    /// A page the reply rests on.
    Source {
        /// Where it is.
        url: String,
        /// What it is called.
        title: Option<String>,
    },
    /// The upstream reported an error inside a running reply, or sent something unreadable. The sentence is ours:
    /// nothing an upstream wrote reaches a client this way.
    Fault(String),
}

/// What is known once a reply is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// Why it ended.
    pub finish: Finish,
    /// What it used, if the upstream said so.
    pub usage: Option<Usage>,
    /// The tools it called, in order. To be executed only if [`Finish::allows_calls`].
    pub calls: Vec<ToolCall>,
    /// Where its thoughts stood, if they may go back to it.
    pub thoughts_field: Option<ThoughtsField>,
    /// What its provider put beside the words, which goes back to it; the first of its calls holds it too.
    pub beside: Map<String, Value>,
    /// The refusal that came in the place of words.
    pub refusal: Option<Said>,
}

/// What a provider wrote of an error: it is read for what to change, and shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Said(String);

impl Said {
    /// So much of a refusal is read; of a longer one nothing is.
    const BYTES: usize = 16 * 1024;

    fn new(text: &str) -> Option<Self> {
        (text.len() <= Self::BYTES).then(|| Said(text.to_owned()))
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said")
    }
}

impl Ending {
    /// One without usage and calls.
    pub fn new(finish: Finish) -> Self {
        Ending { finish, usage: None, calls: Vec::new(), thoughts_field: None, beside: Map::new(), refusal: None }
    }
}

/// Why a reply ended. The names are those of the AI SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Stop,
    /// It reached its cap.
    Length,
    /// It was refused.
    ContentFilter,
    /// It waits for tools.
    ToolCalls,
    /// It failed, or was cut off.
    Error,
    /// Anything else.
    Other,
}

impl Finish {
    /// Whether the calls of a reply that ended so may be executed: some servers say `stop` with calls, and the calls
    /// of a reply that was cut short, filtered or failed may be half a call.
    pub fn allows_calls(self) -> bool {
        matches!(self, Finish::Stop | Finish::ToolCalls)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::ContentFilter => "content-filter",
            Finish::ToolCalls => "tool-calls",
            Finish::Error => "error",
            Finish::Other => "other",
        }
    }
}

/// Tokens of one or more replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The prompt, cached tokens included.
    pub input_tokens: u64,
    /// Prompt tokens that came from the upstream's cache.
    pub cache_read_tokens: u64,
    /// The reply, reasoning included.
    pub output_tokens: u64,
    /// Tokens of the reply that were reasoning.
    pub reasoning_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
    }
}
