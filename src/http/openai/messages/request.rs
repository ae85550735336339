//! The request for a message.
//!
//! Rule: what Anthropic's own server alone can do (its tools, its cache, its thinking) is left out: an answer without it is one.

use serde_json::{Map, Value};

use super::content;
use crate::{
    http::openai::{
        chat::{messages::MESSAGES_MAX, request::check_choice},
        client_tools::ClientTools,
        error::Fault,
        fields::Fields,
        given::Conversation,
        ignored::Ignored,
        sampling::{self, STOP_MAX},
    },
    model::sampling::{Sampling, ToolChoice},
};

/// How a system text begins that is no instruction: Claude Code counts its requests in it, which would spoil what a model's server
/// remembers of a prompt.
const COUNTER: &str = "x-anthropic-billing-header:";
/// Fields that say something an answer would be another for, and are left out.
const NAMED: [&str; 3] = ["mcp_servers", "container", "top_k"];

/// All that is asked.
#[derive(Debug)]
pub struct MessagesRequest {
    /// As it was written.
    pub model: String,
    pub stream: bool,
    pub conversation: Conversation,
    pub sampling: Sampling,
    pub tools: ClientTools,
    /// What was left out so far.
    pub ignored: Ignored,
}

/// Reads a body.
pub fn decode(body: Map<String, Value>) -> Result<MessagesRequest, Fault> {
    let mut fields = Fields::new(body);
    let model = fields.model()?;
    let mut ignored = Ignored::default();
    let conversation = conversation(&mut fields, &mut ignored)?;
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let tools = tools(&mut fields, &mut ignored)?;
    let mut sampling = Sampling {
        temperature: sampling::ranged(&mut fields, "temperature", 0.0, 2.0)?,
        top_p: sampling::ranged(&mut fields, "top_p", 0.0, 1.0)?,
        stop: stop(&mut fields)?,
        output_tokens_max: sampling::output_tokens(&mut fields, &["max_tokens"])?,
        ..Sampling::default()
    };
    if let Some(choice) = fields.object("tool_choice")? {
        choose(choice, &tools, &mut sampling)?;
    }
    NAMED.into_iter().filter(|name| fields.take(name).is_some()).for_each(|name| ignored.add(name));
    Ok(MessagesRequest { model, stream, conversation, sampling, tools, ignored })
}

fn conversation(fields: &mut Fields, ignored: &mut Ignored) -> Result<Conversation, Fault> {
    let mut conversation = Conversation::new();
    if let Some(system) = fields.take("system") {
        let texts = content::texts(system, "system")?;
        texts.into_iter().filter(|text| !text.starts_with(COUNTER)).for_each(|text| conversation.system(text));
    }
    let messages = match fields.need("messages")? {
        Value::Array(messages) => messages,
        _ => return Err(Fault::invalid_type("messages", "expected an array")),
    };
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(Fault::invalid_value("messages", &format!("must hold 1 to {MESSAGES_MAX} messages")));
    }
    for (at, message) in messages.into_iter().enumerate() {
        content::read(Fields::of(message, format!("messages[{at}]"))?, &mut conversation, ignored)?;
    }
    Ok(conversation)
}

fn tools(fields: &mut Fields, ignored: &mut Ignored) -> Result<ClientTools, Fault> {
    let mut tools = ClientTools::new();
    for (at, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let mut tool = Fields::of(tool, &*path)?;
        if tool.text("type")?.is_some_and(|kind| kind != "custom") {
            ignored.add(path);
            continue;
        }
        let (name, description) = (tool.need_text("name")?, tool.text("description")?.unwrap_or_default());
        tools.add(&path, &name, &description, tool.take("input_schema"))?;
    }
    Ok(tools)
}

fn choose(mut choice: Fields, tools: &ClientTools, sampling: &mut Sampling) -> Result<(), Fault> {
    let chosen = match &*choice.need_text("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.need_text("name")?),
        _ => return Err(Fault::invalid_value("tool_choice.type", "must be auto, any, tool or none")),
    };
    check_choice(&chosen, tools)?;
    let one = choice.boolean("disable_parallel_tool_use")? == Some(true) && !tools.is_empty();
    (sampling.tool_choice, sampling.parallel_tool_calls) = (Some(chosen), one.then_some(false));
    Ok(())
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Fault> {
    let texts = fields.array("stop_sequences")?.unwrap_or_default();
    if texts.len() > STOP_MAX {
        return Err(Fault::invalid_value("stop_sequences", &format!("must hold at most {STOP_MAX} texts")));
    }
    let text = |text| match text {
        Value::String(text) => Ok(text),
        _ => Err(Fault::invalid_type("stop_sequences", "expected an array of strings")),
    };
    let texts = texts.into_iter().map(text);
    texts.filter(|text| text.as_ref().map_or(true, |text| !text.is_empty())).collect()
}

#[cfg(test)]
mod tests;
