//! The request for a response.
//!
//! Rule: what we cannot serve is refused if an answer without it would be wrong; else it is left out and named. What nobody here
//! knows is never sent on.

use serde_json::{Map, Value, json};

use super::{
    input::{self, Input},
    object::Object,
};
use crate::{
    http::openai::{
        chat::request::{check_choice, mode},
        client_tools::ClientTools,
        error::Fault,
        fields::Fields,
        ignored::Ignored,
        metadata, sampling,
    },
    model::sampling::{Sampling, ToolChoice},
};

/// Fields that change nothing here.
const IGNORED: [&str; 4] = ["include", "context_management", "client_metadata", "stream_options"];

/// All that is asked.
#[derive(Debug)]
pub struct ResponseRequest {
    /// As it was written.
    pub model: String,
    pub stream: bool,
    pub store: bool,
    pub background: bool,
    pub instructions: Option<String>,
    /// The id of the response that this one follows.
    pub previous: Option<String>,
    /// The id of the conversation that it is in.
    pub conversation: Option<String>,
    /// Whether a history that is too long is shortened.
    pub truncates: bool,
    pub input: Vec<Input>,
    pub sampling: Sampling,
    /// `text.verbosity`, for a provider's own model.
    pub verbosity: Option<Value>,
    pub tools: ClientTools,
    /// What was left out so far.
    pub ignored: Ignored,
    /// What the response repeats of it.
    pub object: Object,
}

/// Reads a body.
pub fn decode(body: Map<String, Value>) -> Result<ResponseRequest, Fault> {
    let mut fields = Fields::new(body);
    let mut object = Object::default();
    let mut ignored = Ignored::default();
    let model = fields.model()?;
    object.set("model", &*model);
    refuse(&mut fields)?;
    let (previous, conversation) = continued(&mut fields, &mut object)?;
    let input = fields.take("input");
    if input.is_none() && previous.is_none() && conversation.is_none() {
        return Err(Fault::missing_field("input"));
    }
    let input = input::decode(input, &mut ignored)?;
    let instructions = fields.text("instructions")?;
    object.set("instructions", instructions.as_deref());
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let store = fields.boolean("store")?.unwrap_or(true);
    let background = fields.boolean("background")?.unwrap_or(false);
    if background && !store {
        return Err(Fault::invalid_value("background", "needs store: true"));
    }
    object.set("store", store);
    object.set("background", background);
    let truncates = truncates(&mut fields, &mut object)?;
    let mut tools = tools(&mut fields, &mut ignored, &mut object)?;
    let choice = tool_choice(&mut fields, &mut tools, &mut object)?;
    let mut sampling = sampling(&mut fields, &mut object)?;
    sampling.tool_choice = choice;
    sampling.parallel_tool_calls = sampling.parallel_tool_calls.filter(|_| !tools.is_empty());
    let verbosity = text(&mut fields, &mut sampling, &mut object)?;
    said_of_it(&mut fields, &mut object)?;
    for name in ["user", "safety_identifier", "prompt_cache_key"] {
        let said = fields.text(name)?;
        object.set(name, said);
    }
    IGNORED.iter().for_each(|name| drop(fields.take(name)));
    sampling::drop_private(&mut fields, &mut ignored);
    fields.rest().keys().for_each(|name| ignored.add(name));
    Ok(ResponseRequest {
        model,
        stream,
        store,
        background,
        instructions,
        previous,
        conversation,
        truncates,
        input,
        sampling,
        verbosity,
        tools,
        ignored,
        object,
    })
}

/// Refuses what no answer of ours would be right for.
fn refuse(fields: &mut Fields) -> Result<(), Fault> {
    if fields.take("prompt").is_some() {
        return Err(Fault::unsupported_parameter("prompt", "alm keeps no prompts: send instructions and input"));
    }
    if fields.integer("top_logprobs")?.is_some_and(|top| top != 0) {
        return Err(Fault::unsupported_parameter("top_logprobs", "are not served"));
    }
    Ok(())
}

/// What it goes on from: a response, or a conversation.
fn continued(fields: &mut Fields, object: &mut Object) -> Result<(Option<String>, Option<String>), Fault> {
    let previous = fields.text("previous_response_id")?;
    let conversation = match fields.take("conversation") {
        None => None,
        Some(Value::String(id)) => Some(id),
        Some(conversation) => Some(Fields::of(conversation, "conversation")?.need_text("id")?),
    };
    if previous.is_some() && conversation.is_some() {
        return Err(Fault::invalid_value("previous_response_id", "is not taken together with conversation"));
    }
    object.set("previous_response_id", previous.as_deref());
    object.set("conversation", conversation.as_deref().map(|id| json!({ "id": id })));
    Ok((previous, conversation))
}

fn truncates(fields: &mut Fields, object: &mut Object) -> Result<bool, Fault> {
    let truncation = fields.text("truncation")?;
    let truncates = match truncation.as_deref() {
        Some("auto") => true,
        None | Some("disabled") => false,
        Some(_) => return Err(Fault::invalid_value("truncation", "must be auto or disabled")),
    };
    if let Some(truncation) = truncation {
        object.set("truncation", truncation);
    }
    Ok(truncates)
}

fn tools(fields: &mut Fields, ignored: &mut Ignored, object: &mut Object) -> Result<ClientTools, Fault> {
    let (mut tools, mut accepted) = (ClientTools::new(), Vec::new());
    for (at, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let path = format!("tools[{at}]");
        let mut tool = Fields::of(tool, &*path)?;
        if tool.need_text("type")? != "function" {
            ignored.add(path);
            continue;
        }
        let (name, description) = (tool.need_text("name")?, tool.text("description")?);
        let (parameters, strict) = (tool.take("parameters"), tool.boolean("strict")?);
        accepted.push(json!({
            "type": "function", "name": &name, "description": &description, "parameters": &parameters, "strict": strict,
        }));
        tools.add(&path, &name, &description.unwrap_or_default(), parameters)?;
    }
    object.set("tools", accepted);
    Ok(tools)
}

/// Which tools may or must be called; those that may not are left out of `tools`.
fn tool_choice(fields: &mut Fields, tools: &mut ClientTools, object: &mut Object) -> Result<Option<ToolChoice>, Fault> {
    let Some(choice) = fields.take("tool_choice") else { return Ok(None) };
    object.set("tool_choice", choice.clone());
    let choice = match choice {
        Value::String(word) => mode(&word, "tool_choice")?,
        choice => {
            let mut choice = Fields::of(choice, "tool_choice")?;
            match &*choice.need_text("type")? {
                "function" => ToolChoice::Named(choice.need_text("name")?),
                "allowed_tools" => allowed(&mut choice, tools)?,
                _ => return Err(Fault::unsupported_value("tool_choice.type", "use function or allowed_tools")),
            }
        }
    };
    check_choice(&choice, tools)?;
    Ok(Some(choice))
}

fn allowed(choice: &mut Fields, tools: &mut ClientTools) -> Result<ToolChoice, Fault> {
    let chosen = mode(&choice.need_text("mode")?, "tool_choice.mode")?;
    let mut names = Vec::new();
    for (at, tool) in choice.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Fields::of(tool, format!("tool_choice.tools[{at}]"))?;
        // What is no function was left out of the tools, too.
        if tool.text("type")?.is_none_or(|kind| kind == "function") {
            names.push(tool.need_text("name")?);
        }
    }
    if let Some(missing) = names.iter().find(|name| !tools.has(name)) {
        return Err(Fault::invalid_value("tool_choice.tools", &format!("{missing} is not in tools")));
    }
    tools.retain(|name| names.iter().any(|allowed| allowed == name));
    Ok(chosen)
}

fn sampling(fields: &mut Fields, object: &mut Object) -> Result<Sampling, Fault> {
    let mut sampling = sampling::take(fields)?;
    sampling.output_tokens_max = sampling::output_tokens(fields, &["max_output_tokens"])?;
    if let Some(mut reasoning) = fields.object("reasoning")? {
        sampling.reasoning_effort = sampling::effort(&mut reasoning, "effort")?;
        let summary = reasoning.text("summary")?;
        object.set("reasoning", json!({ "effort": &sampling.reasoning_effort, "summary": summary }));
    }
    let calls = fields.integer("max_tool_calls")?;
    object.set("max_tool_calls", calls);
    object.set("max_output_tokens", sampling.output_tokens_max);
    let numbers = [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("presence_penalty", sampling.presence_penalty),
        ("frequency_penalty", sampling.frequency_penalty),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            object.set(name, number);
        }
    }
    if let Some(parallel) = sampling.parallel_tool_calls {
        object.set("parallel_tool_calls", parallel);
    }
    Ok(sampling)
}

/// What the reply is to look like; returns how wordy it is to be.
fn text(fields: &mut Fields, sampling: &mut Sampling, object: &mut Object) -> Result<Option<Value>, Fault> {
    let Some(mut text) = fields.object("text")? else { return Ok(None) };
    let verbosity = text.take("verbosity");
    let format = text.take("format");
    let mut said = json!({ "format": format.clone().unwrap_or_else(|| json!({ "type": "text" })) });
    if let Some(verbosity) = &verbosity {
        said["verbosity"] = verbosity.clone();
    }
    if let Some(format) = format {
        sampling.response_format = Some(wrapped(sampling::format(format, "text.format")?));
    }
    object.set("text", said);
    Ok(verbosity)
}

/// A format as a chat completion has it: what belongs to a schema is in an object of its own.
fn wrapped(format: Value) -> Value {
    match format {
        Value::Object(mut fields) if fields.get("type").is_some_and(|kind| kind == "json_schema") => {
            fields.shift_remove("type");
            json!({ "type": "json_schema", "json_schema": fields })
        }
        format => format,
    }
}

fn said_of_it(fields: &mut Fields, object: &mut Object) -> Result<(), Fault> {
    let Some(metadata) = fields.take("metadata") else { return Ok(()) };
    metadata::check(&metadata)?;
    object.set("metadata", metadata);
    Ok(())
}

#[cfg(test)]
mod tests;
