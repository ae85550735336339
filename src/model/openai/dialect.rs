//! How one model wants to be asked: what of a request it is not sent, and what it calls the rest.
//!
//! Deliberately absent: how that is found out. `repair.rs` reads refusals, and the model's facts remember.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value};

use crate::{
    error::{Error, Refused},
    model::{
        Content, Message, Request, ToolCall,
        facts::{Facts, Lesson},
        sampling::ToolChoice,
    },
    time::Timestamp,
};

/// A change that may make a request acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Leave the field out.
    Omit {
        /// What to leave out.
        field: Field,
        /// Whether the server refuses the field as such, and will the next time.
        always: bool,
    },
    /// Leave out a field that was sent on as it came.
    OmitExtra(String),
    /// Call the reply's cap so.
    NameCap(CapField),
    /// Ask for so many tokens at most.
    LowerCap {
        /// The most the server gives.
        tokens: u32,
        /// Whether it gives no more to any prompt.
        always: bool,
    },
}

/// How one model wants to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialect {
    /// How the reply's cap is called.
    pub cap: CapField,
    /// The names of the cap that the model refused.
    pub cap_names_refused: BTreeSet<CapField>,
    /// The most it may be asked for, in tokens.
    pub cap_max: Option<u32>,
    /// What is left out.
    pub omitted: BTreeSet<Field>,
    /// Fields that were to be sent on as they came, and are left out.
    pub extra_omitted: BTreeSet<String>,
    /// Whether instructions may stand between other messages.
    pub system_anywhere: bool,
}

/// The name of the reply's cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CapField {
    /// `max_tokens`: almost every server.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's newer models.
    MaxCompletionTokens,
}

impl CapField {
    /// As it is sent.
    pub fn name(self) -> &'static str {
        match self {
            CapField::MaxTokens => "max_tokens",
            CapField::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    /// The field of that name.
    pub fn of(name: &str) -> Option<Self> {
        [CapField::MaxTokens, CapField::MaxCompletionTokens].into_iter().find(|field| field.name() == name)
    }

    /// The name that is known besides this one.
    pub fn other(self) -> Self {
        match self {
            CapField::MaxTokens => CapField::MaxCompletionTokens,
            CapField::MaxCompletionTokens => CapField::MaxTokens,
        }
    }
}

/// What a request can do without. The order is the one in which a refusal is searched: what is named more exactly, first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `stream_options`: the request for usage.
    StreamOptions,
    /// `reasoning_effort`.
    ReasoningEffort,
    /// `top_p`.
    TopP,
    /// `temperature`.
    Temperature,
    /// `max_tokens`, by either name.
    OutputCap,
    /// `presence_penalty`.
    PresencePenalty,
    /// `frequency_penalty`.
    FrequencyPenalty,
    /// `seed`.
    Seed,
    /// `stop`.
    Stop,
    /// `response_format`.
    ResponseFormat,
    /// `parallel_tool_calls`.
    ParallelToolCalls,
    /// `tool_choice`.
    ToolChoice,
    /// Thoughts of earlier replies.
    Thoughts,
    /// The role of instructions, which then begin the first question.
    System,
    /// Images, sound and documents, which are then told in words.
    Files,
    /// `tools`.
    Tools,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 16] = [
        Field::StreamOptions,
        Field::ReasoningEffort,
        Field::TopP,
        Field::Temperature,
        Field::OutputCap,
        Field::PresencePenalty,
        Field::FrequencyPenalty,
        Field::Seed,
        Field::Stop,
        Field::ResponseFormat,
        Field::ParallelToolCalls,
        Field::ToolChoice,
        Field::Thoughts,
        Field::System,
        Field::Files,
        Field::Tools,
    ];

    /// What a message's metadata call it, and what is known of a model.
    pub fn name(self) -> &'static str {
        match self {
            Field::StreamOptions => "stream_options",
            Field::ReasoningEffort => "reasoning_effort",
            Field::TopP => "top_p",
            Field::Temperature => "temperature",
            Field::OutputCap => "max_tokens",
            Field::PresencePenalty => "presence_penalty",
            Field::FrequencyPenalty => "frequency_penalty",
            Field::Seed => "seed",
            Field::Stop => "stop",
            Field::ResponseFormat => "response_format",
            Field::ParallelToolCalls => "parallel_tool_calls",
            Field::ToolChoice => "tool_choice",
            Field::Thoughts => "reasoning",
            Field::System => "system",
            Field::Files => "files",
            Field::Tools => "tools",
        }
    }

    /// The field of that name.
    pub fn of(name: &str) -> Option<Self> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The refusal of a request that cannot do without it, by a provider of that name.
    pub fn refused(self, who: &str) -> Error {
        let param = if self == Field::Files { "messages" } else { self.name() };
        let message = format!("{param}: {who} does not take {} for this model", self.name());
        Error::ModelRefused { why: Refused::Field(param), message }
    }

    /// Whether a refusal, in lower case, speaks of it.
    pub(super) fn is_told_of_in(self, text: &str) -> bool {
        self.signs().iter().any(|sign| text.contains(sign))
    }

    /// Whether a path within the request, such as `messages.0.content`, leads to it.
    pub(super) fn is_named_in(self, path: &str) -> bool {
        match self {
            Field::System => path.ends_with("role"),
            Field::Stop => path.ends_with("stop"),
            Field::Files => self.is_told_of_in(path) || path.contains("content"),
            _ => self.is_told_of_in(path),
        }
    }

    /// By what it is known in the words of a refusal.
    fn signs(self) -> &'static [&'static str] {
        match self {
            Field::StreamOptions => &["stream_options", "include_usage"],
            Field::ReasoningEffort => {
                &["reasoning_effort", "reasoning.effort", "support thinking", "support reasoning"]
            }
            Field::TopP => &["top_p"],
            Field::Temperature => &["temperature"],
            Field::OutputCap => &["max_tokens", "max_completion_tokens", "max_output_tokens"],
            Field::PresencePenalty => &["presence_penalty"],
            Field::FrequencyPenalty => &["frequency_penalty"],
            Field::Seed => &["seed"],
            Field::Stop => &["'stop'", "\"stop\"", "`stop`", "stop sequence", "stop word", ": stop"],
            Field::ResponseFormat => {
                &["response_format", "response format", "json_schema", "json_object", "json mode", "structured output"]
            }
            Field::ParallelToolCalls => &["parallel_tool_calls", "parallel tool calls", "parallel tool use"],
            Field::ToolChoice => &["tool_choice", "tool choice"],
            Field::Thoughts => &["reasoning_content", "reasoning_details", "reasoning", "thinking", "extra_content"],
            Field::System => &[
                "system role",
                "system message",
                "system instruction",
                "developer instruction",
                "'system'",
                "\"system\"",
            ],
            Field::Files => &[
                "image",
                "vision",
                "multimodal",
                "multi-modal",
                "modalit",
                "audio",
                "mmproj",
                "file",
                "content part",
                "content type",
                "must be a string",
                "valid string",
                "string type",
                "content.str",
            ],
            // A template without tools finds their outputs between two replies.
            Field::Tools => &["tool", "function", "roles must alternate"],
        }
    }
}

impl Dialect {
    /// Takes over what is known of the model.
    pub fn take(&mut self, facts: &Facts, now: Timestamp) {
        self.omitted.extend((facts.tools(now) == Some(false)).then_some(Field::Tools));
        self.omitted.extend((facts.images(now) == Some(false)).then_some(Field::Files));
        for (field, instead) in facts.refused(now) {
            match (Field::of(field), instead.and_then(CapField::of)) {
                (Some(Field::OutputCap), Some(cap)) => self.name_cap(cap),
                (Some(field), _) => _ = self.omitted.insert(field),
                (None, _) => {}
            }
        }
        self.cap_max = facts.reply_tokens(now);
    }

    /// Makes a change that a refusal asks for; returns what it teaches about the model.
    pub fn change(&mut self, change: Repair) -> Option<Lesson> {
        match change {
            Repair::OmitExtra(name) => {
                self.extra_omitted.insert(name);
                // Whoever asks chose the name: what is remembered of a model would grow without end.
                None
            }
            Repair::NameCap(cap) => {
                self.name_cap(cap);
                let (field, instead) = (Field::OutputCap.name().into(), Some(cap.name().into()));
                Some(Lesson::Refused { field, instead })
            }
            Repair::LowerCap { tokens, always } => {
                self.cap_max = Some(tokens);
                always.then_some(Lesson::ReplyTokens { tokens })
            }
            Repair::Omit { field, always } => {
                self.omitted.insert(field);
                always.then(|| match field {
                    Field::Tools => Lesson::NoTools,
                    Field::Files => Lesson::NoImages,
                    _ => Lesson::Refused { field: field.name().into(), instead: None },
                })
            }
        }
    }

    fn name_cap(&mut self, cap: CapField) {
        self.cap_names_refused.insert(cap.other());
        self.cap = cap;
    }

    /// Whether a request in this dialect has the field. One that it cannot do without is sent, whatever is known of the model: a
    /// guess of ours must not be what refuses it.
    pub fn sends(&self, field: Field, request: &Request) -> bool {
        has(request, field) && (!self.omitted.contains(&field) || is_needed(request, field))
    }

    /// The fields that a request has and the model is not sent, by name.
    pub fn omits(&self, request: &Request) -> Vec<String> {
        let left_out = self.omitted.iter().filter(|field| has(request, **field) && !self.sends(**field, request));
        left_out.map(|field| field.name().to_owned()).chain(self.extra_omitted.iter().cloned()).collect()
    }

    /// The fields of a request that are sent on as they came.
    pub(super) fn extra<'a>(&self, request: &'a Request) -> Cow<'a, Map<String, Value>> {
        let extra = &request.sampling.extra;
        if self.extra_omitted.is_empty() {
            return Cow::Borrowed(extra);
        }
        let sent = extra.iter().filter(|(name, _)| !self.extra_omitted.contains(*name));
        Cow::Owned(sent.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// Whether a reply to the request without the field would be a wrong one.
pub fn is_needed(request: &Request, field: Field) -> bool {
    match field {
        Field::Tools => request.needs.tools,
        Field::Files => request.needs.files,
        Field::ResponseFormat => request.needs.format,
        Field::ToolChoice => true,
        _ => false,
    }
}

/// Whether the field is in the request.
fn has(request: &Request, field: Field) -> bool {
    let any = |of: fn(&Message) -> bool| request.messages.iter().any(of);
    match field {
        Field::StreamOptions => true,
        Field::ReasoningEffort => request.sampling.reasoning_effort.is_some(),
        Field::TopP => request.sampling.top_p.is_some(),
        Field::Temperature => request.sampling.temperature.is_some(),
        Field::OutputCap => request.sampling.output_tokens_max.is_some(),
        Field::PresencePenalty => request.sampling.presence_penalty.is_some(),
        Field::FrequencyPenalty => request.sampling.frequency_penalty.is_some(),
        Field::Seed => request.sampling.seed.is_some(),
        Field::Stop => !request.sampling.stop.is_empty(),
        Field::ResponseFormat => request.sampling.response_format.is_some(),
        Field::ParallelToolCalls => request.sampling.parallel_tool_calls.is_some() && !request.tools.is_empty(),
        // What is `auto` anyway need not be said.
        Field::ToolChoice => {
            let bound = matches!(request.sampling.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
            bound && !request.tools.is_empty()
        }
        Field::Thoughts => any(has_thoughts),
        Field::System => any(|message| matches!(message, Message::System(text) if !text.is_empty())),
        Field::Files => any(|message| match message {
            Message::User(contents) => contents.iter().any(|content| matches!(content, Content::File { .. })),
            _ => false,
        }),
        Field::Tools => !request.tools.is_empty() || any(|message| matches!(message, Message::Tool { .. })),
    }
}

/// Whether a message holds what its provider is to have back, in words or in a form of its own.
fn has_thoughts(message: &Message) -> bool {
    let Message::Assistant { thoughts, calls, .. } = message else { return false };
    let has_own = |call: &ToolCall| call.beside.as_deref().is_some_and(|beside| !beside.message.is_empty());
    thoughts.is_some() || calls.iter().any(has_own)
}
