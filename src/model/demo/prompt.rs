//! What the built-in model was prompt: the conversation, looked at the few ways it needs.
//!
//! Rule: only reads.

use serde_json::{Value, json};

use crate::model::{Content, Message, Request, ToolSpec, sampling::ToolChoice};

/// A request, with the last thing the person said taken out of it.
pub(super) struct Prompt<'a> {
    pub(super) request: &'a Request,
    /// As it was written.
    pub(super) text: String,
    lower: String,
}

impl<'a> Prompt<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        let text = said(request).next_back().unwrap_or_default();
        Self { request, lower: text.to_lowercase(), text }
    }

    /// Whether the person said one of these, in lower case, anywhere.
    pub(super) fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.lower.contains(phrase))
    }

    /// Whether one of these is a word of what the person said.
    pub(super) fn has_word(&self, words: &[&str]) -> bool {
        self.lower.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word))
    }

    /// The first number the person wrote.
    pub(super) fn number(&self) -> Option<usize> {
        let digits = self.text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?;
        digits.parse().ok()
    }

    /// What follows the first of these phrases, without the marks around it.
    pub(super) fn after(&self, phrases: &[&str]) -> Option<&str> {
        // Found in `lower`, cut from `text`: the same place only if lowering changed no lengths before it.
        let at = phrases.iter().find_map(|phrase| Some(self.lower.find(phrase)? + phrase.len()))?;
        let rest = self.text.get(at..)?.trim_matches(|c: char| !c.is_alphanumeric());
        (!rest.is_empty()).then_some(rest)
    }

    /// What the person said before, oldest first.
    pub(super) fn earlier(&self) -> Vec<String> {
        let mut said: Vec<String> = said(self.request).collect();
        said.pop();
        said
    }

    /// The name the person gave, the latest one if there are several.
    pub(super) fn name_given(&self) -> Option<String> {
        said(self.request).filter_map(|text| given_name(&text)).next_back()
    }

    pub(super) fn system_prompt(&self) -> Option<&'a str> {
        self.request.messages.iter().find_map(|message| match message {
            Message::System(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The files of the last message: what each is called, or what kind it is of.
    pub(super) fn files(&self) -> Vec<&'a str> {
        let contents = self.request.messages.iter().rev().find_map(|message| match message {
            Message::User(contents) => Some(contents.as_slice()),
            _ => None,
        });
        let files = contents.unwrap_or_default().iter().filter_map(|content| match content {
            Content::File { filename, media_type, .. } => Some(filename.as_deref().unwrap_or(media_type)),
            Content::Text(_) => None,
        });
        files.collect()
    }

    pub(super) fn has_tool(&self, name: &str) -> bool {
        self.request.tools.iter().any(|tool| tool.name == name)
    }

    /// The tool that the person told us to call by its name.
    pub(super) fn tool_named(&self) -> Option<&'a ToolSpec> {
        let wants_call = self.has_word(&["call", "use", "run"]);
        // The longest name wins: one tool's name may begin another's.
        let named = self.request.tools.iter().filter(|tool| wants_call && self.text.contains(&tool.name));
        named.max_by_key(|tool| tool.name.len())
    }

    /// The tool that has to be called: the one that is named, else the one that the person named, else the first.
    pub(super) fn tool_due(&self) -> Option<&'a ToolSpec> {
        let tools = &self.request.tools;
        match self.request.sampling.tool_choice.as_ref()? {
            ToolChoice::Named(name) => tools.iter().find(|tool| tool.name == *name),
            ToolChoice::Required => self.tool_named().or_else(|| tools.first()),
            ToolChoice::Auto | ToolChoice::None => None,
        }
    }

    /// The schema of the JSON that the reply has to be; any object fits an empty one.
    pub(super) fn shape(&self) -> Option<Value> {
        let format = self.request.sampling.response_format.as_ref()?;
        match format["type"].as_str()? {
            "json_schema" => Some(format["json_schema"]["schema"].clone()),
            "json_object" => Some(json!({ "type": "object" })),
            _ => None,
        }
    }

    /// The JSON object that the person wrote, if it is one.
    pub(super) fn object(&self) -> Option<&str> {
        let object = self.text.get(self.text.find('{')?..=self.text.rfind('}')?)?;
        serde_json::from_str::<serde_json::Map<String, Value>>(object).ok()?;
        Some(object)
    }

    /// What a tool calls its first argument.
    pub(super) fn first_parameter(&self, tool: &str) -> Option<&'a str> {
        let tool = self.request.tools.iter().find(|spec| spec.name == tool)?;
        tool.parameters["properties"].as_object()?.keys().next().map(String::as_str)
    }

    /// What tools answered since the model last spoke: the tool's name and its answer.
    pub(super) fn tool_results(&self) -> Vec<(&'a str, &'a str)> {
        let messages = &self.request.messages;
        let from = messages.iter().rposition(|m| !matches!(m, Message::Tool { .. })).map_or(0, |at| at + 1);
        let answers = messages[from..].iter().filter_map(|message| match message {
            Message::Tool { call_id, output } => Some((self.tool_of(call_id), output.as_str())),
            _ => None,
        });
        answers.collect()
    }

    /// An id that no call of this conversation has.
    pub(super) fn call_id(&self, nth: usize) -> String {
        let before: usize = self.calls().count();
        format!("demo-call-{}", before + nth)
    }

    fn tool_of(&self, call_id: &str) -> &'a str {
        self.calls().filter(|call| call.id == call_id).last().map_or("tool", |call| &call.name)
    }

    fn calls(&self) -> impl Iterator<Item = &'a crate::model::ToolCall> {
        let calls = self.request.messages.iter().map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            _ => &[],
        });
        calls.flatten()
    }
}

fn said(request: &Request) -> impl DoubleEndedIterator<Item = String> + '_ {
    request.messages.iter().filter_map(|message| match message {
        Message::User(contents) => {
            let texts = contents.iter().filter_map(|content| match content {
                Content::Text(text) => Some(text.as_str()),
                Content::File { .. } => None,
            });
            Some(texts.collect::<Vec<_>>().join("\n"))
        }
        _ => None,
    })
}

/// The name in "My name is Kay." or "I am called Kay".
pub(super) fn given_name(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let at = ["my name is ", "i am called ", "call me "].iter().find_map(|p| Some(lower.find(p)? + p.len()))?;
    let word = text.get(at..)?.split_whitespace().next()?;
    let name = word.trim_matches(|c: char| !c.is_alphanumeric());
    (!name.is_empty()).then(|| name.to_owned())
}
