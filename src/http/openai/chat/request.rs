//! The request for a chat completion.
//!
//! Rule: what we cannot serve is refused if an answer without it would be wrong; else it is left out and named.

use serde_json::{Map, Value};

use super::messages;
use crate::{
    http::openai::{
        client_tools::ClientTools, error::Fault, fields::Fields, given::Conversation, ignored::Ignored, metadata,
        sampling,
    },
    model::sampling::{Sampling, ToolChoice},
};

/// Where clients that cannot send a header of their own name the session in which a reply is kept.
const SESSION: &str = "alm_session";

/// All that is asked.
#[derive(Debug)]
pub struct ChatRequest {
    /// As it was written.
    pub model: String,
    pub stream: bool,
    /// Whether a stream ends with its usage.
    pub include_usage: bool,
    pub conversation: Conversation,
    pub sampling: Sampling,
    pub tools: ClientTools,
    /// Whether it is to be kept.
    pub store: bool,
    /// The session in which it is to be kept.
    pub session: Option<String>,
    /// What a session that is made for it says besides.
    pub metadata: Option<Value>,
    /// What was left out so far.
    pub ignored: Ignored,
    /// The fields that nobody here knows.
    pub rest: Map<String, Value>,
}

/// Reads a body.
pub fn decode(body: Map<String, Value>) -> Result<ChatRequest, Fault> {
    let mut fields = Fields::new(body);
    let model = fields.model()?;
    refuse(&mut fields)?;
    let conversation = messages::decode(fields.need("messages")?)?;
    let mut ignored = Ignored::default();
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let include_usage = sampling::include_usage(&mut fields)?;
    let mut tools = tools(&mut fields, &mut ignored)?;
    let choice = tool_choice(&mut fields, &mut tools)?;
    let mut sampling = sampling::take(&mut fields)?;
    sampling.tool_choice = choice;
    sampling.parallel_tool_calls = sampling.parallel_tool_calls.filter(|_| !tools.is_empty());
    sampling.reasoning_effort = sampling::effort(&mut fields, "reasoning_effort")?;
    sampling.output_tokens_max = sampling::output_tokens(&mut fields, &["max_completion_tokens", "max_tokens"])?;
    if let Some(format) = fields.take("response_format") {
        sampling.response_format = Some(sampling::format(format, "response_format")?);
    }
    let store = fields.boolean("store")?.unwrap_or(false);
    let mut metadata = fields.take("metadata");
    metadata.iter().try_for_each(metadata::check)?;
    let session = metadata.as_mut().and_then(Value::as_object_mut).and_then(|noted| noted.shift_remove(SESSION));
    let session = session.as_ref().and_then(Value::as_str).map(str::to_owned);
    sampling::drop_private(&mut fields, &mut ignored);
    let rest = fields.rest();
    Ok(ChatRequest {
        model,
        stream,
        include_usage,
        conversation,
        sampling,
        tools,
        store,
        session,
        metadata,
        ignored,
        rest,
    })
}

/// Refuses what no answer of ours would be right for.
fn refuse(fields: &mut Fields) -> Result<(), Fault> {
    if fields.integer("n")?.is_some_and(|n| n != 1) {
        return Err(Fault::unsupported_value("n", "only 1 is served"));
    }
    if fields.boolean("logprobs")? == Some(true) {
        return Err(Fault::unsupported_parameter("logprobs", "are not served"));
    }
    if fields.integer("top_logprobs")?.is_some_and(|top| top != 0) {
        return Err(Fault::unsupported_parameter("top_logprobs", "are not served"));
    }
    let modalities = fields.array("modalities")?.unwrap_or_default();
    if modalities.iter().any(|modality| modality == "audio") {
        return Err(Fault::unsupported_value("modalities", "alm answers in text only"));
    }
    if fields.take("audio").is_some() {
        return Err(Fault::unsupported_parameter("audio", "alm answers in text only"));
    }
    for name in ["functions", "function_call"] {
        if fields.take(name).is_some() {
            return Err(Fault::unsupported_parameter(name, "use tools"));
        }
    }
    Ok(())
}

fn tools(fields: &mut Fields, ignored: &mut Ignored) -> Result<ClientTools, Fault> {
    let mut tools = ClientTools::new();
    for (at, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let mut tool = Fields::of(tool, &*path)?;
        if tool.need_text("type")? != "function" {
            ignored.add(path);
            continue;
        }
        let path = tool.path("function");
        let mut function = Fields::of(tool.need("function")?, &*path)?;
        let (name, description) = (function.need_text("name")?, function.text("description")?.unwrap_or_default());
        tools.add(&path, &name, &description, function.take("parameters"))?;
    }
    Ok(tools)
}

/// Which tools may or must be called; those that may not are left out of `tools`.
fn tool_choice(fields: &mut Fields, tools: &mut ClientTools) -> Result<Option<ToolChoice>, Fault> {
    let Some(choice) = fields.take("tool_choice") else { return Ok(None) };
    let choice = match choice {
        Value::String(word) => mode(&word, "tool_choice")?,
        choice => {
            let mut choice = Fields::of(choice, "tool_choice")?;
            match &*choice.need_text("type")? {
                "function" => ToolChoice::Named(function_name(&mut choice)?),
                "allowed_tools" => {
                    let mut allowed = Fields::of(choice.need("allowed_tools")?, "tool_choice.allowed_tools")?;
                    let chosen = mode(&allowed.need_text("mode")?, "tool_choice.allowed_tools.mode")?;
                    let mut names = Vec::new();
                    for (at, tool) in allowed.array("tools")?.unwrap_or_default().into_iter().enumerate() {
                        let mut tool = Fields::of(tool, format!("tool_choice.allowed_tools.tools[{at}]"))?;
                        names.push(function_name(&mut tool)?);
                    }
                    if let Some(missing) = names.iter().find(|name| !tools.has(name)) {
                        let what = format!("{missing} is not in tools");
                        return Err(Fault::invalid_value("tool_choice.allowed_tools.tools", &what));
                    }
                    tools.retain(|name| names.iter().any(|allowed| allowed == name));
                    chosen
                }
                _ => return Err(Fault::unsupported_value("tool_choice.type", "use function or allowed_tools")),
            }
        }
    };
    check_choice(&choice, tools)?;
    Ok(Some(choice))
}

/// Refuses a choice that no call could fit.
pub fn check_choice(choice: &ToolChoice, tools: &ClientTools) -> Result<(), Fault> {
    match choice {
        ToolChoice::Named(name) if !tools.has(name) => {
            Err(Fault::invalid_value("tool_choice", &format!("{name} is not in tools")))
        }
        ToolChoice::Required if tools.is_empty() => {
            Err(Fault::invalid_value("tool_choice", "there is no function among tools that could be called"))
        }
        _ => Ok(()),
    }
}

/// The choice of a word.
pub fn mode(word: &str, path: &str) -> Result<ToolChoice, Fault> {
    match word {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Required),
        _ => Err(Fault::invalid_value(path, "must be none, auto or required")),
    }
}

/// The name inside `{"type":"function","function":{"name":…}}`.
fn function_name(choice: &mut Fields) -> Result<String, Fault> {
    let path = choice.path("function");
    Fields::of(choice.need("function")?, path)?.need_text("name")
}

#[cfg(test)]
mod tests;
