//! The messages of a chat completion.

use serde_json::{Map, Value};

use crate::{
    http::openai::{chat_wire::EXTRA, error::Fault, fields::Fields, given::Conversation},
    model::{Beside, Content, Thoughts, ToolCall},
};

/// Messages of one request.
pub const MESSAGES_MAX: usize = 10_000;
/// Parts of one message, and calls.
pub const PARTS_MAX: usize = 1_000;
/// Between the text parts of one message.
const BETWEEN: &str = "\n\n";

/// Reads them.
pub fn decode(messages: Value) -> Result<Conversation, Fault> {
    let Value::Array(messages) = messages else { return Err(Fault::invalid_type("messages", "expected an array")) };
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(Fault::invalid_value("messages", &format!("must hold 1 to {MESSAGES_MAX} messages")));
    }
    let mut conversation = Conversation::new();
    for (at, message) in messages.into_iter().enumerate() {
        read(Fields::of(message, format!("messages[{at}]"))?, &mut conversation)?;
    }
    Ok(conversation)
}

fn read(mut message: Fields, conversation: &mut Conversation) -> Result<(), Fault> {
    let role = message.need_text("role")?;
    match &*role {
        "system" | "developer" => conversation.system(text(&mut message, true)?),
        "user" => conversation.user(contents(&mut message, content)?),
        "assistant" => {
            let said = text(&mut message, false)?;
            let calls = calls(&mut message)?;
            if message.take("function_call").is_some() {
                return Err(Fault::unsupported_parameter(message.path("function_call"), "use tool_calls"));
            }
            conversation.assistant(said, thoughts(&mut message), calls);
        }
        "tool" => {
            let (id, output) = (message.need_text("tool_call_id")?, text(&mut message, true)?);
            conversation.tool(id, output, &message.path("tool_call_id"))?;
        }
        _ => {
            let what = "must be system, developer, user, assistant or tool";
            return Err(Fault::invalid_value(message.path("role"), what));
        }
    }
    Ok(())
}

/// The content of a message that is only words; `needed`: it has to be there.
fn text(message: &mut Fields, needed: bool) -> Result<String, Fault> {
    let path = message.path("content");
    let parts = match message.take("content") {
        None if needed => return Err(Fault::missing_field(path)),
        None => return Ok(String::new()),
        Some(Value::String(text)) => return Ok(text),
        Some(Value::Array(parts)) => bounded(parts, &path)?,
        Some(_) => return Err(Fault::invalid_type(path, "expected a string or an array of parts")),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let mut part = Fields::of(part, format!("{path}[{at}]"))?;
        match &*part.need_text("type")? {
            "text" => texts.push(part.need_text("text")?),
            "refusal" if !needed => texts.push(part.need_text("refusal")?),
            _ => return Err(Fault::unsupported_value(part.path("type"), "only text is taken here")),
        }
    }
    Ok(texts.join(BETWEEN))
}

fn bounded(parts: Vec<Value>, path: &str) -> Result<Vec<Value>, Fault> {
    match parts.len() > PARTS_MAX {
        true => Err(Fault::invalid_value(path, &format!("must hold at most {PARTS_MAX}"))),
        false => Ok(parts),
    }
}

/// What a person said, with files; `content` reads a part, which comes with its path.
pub fn contents(
    message: &mut Fields,
    content: impl Fn(Fields, &str) -> Result<Content, Fault>,
) -> Result<Vec<Content>, Fault> {
    let path = message.path("content");
    match message.need("content")? {
        Value::String(text) => Ok(vec![Content::Text(text)]),
        Value::Array(parts) => {
            let parts = bounded(parts, &path)?.into_iter().enumerate();
            parts
                .map(|(at, part)| content(Fields::of(part, format!("{path}[{at}]"))?, &format!("{path}[{at}]")))
                .collect()
        }
        _ => Err(Fault::invalid_type(path, "expected a string or an array of parts")),
    }
}

fn content(mut part: Fields, path: &str) -> Result<Content, Fault> {
    match &*part.need_text("type")? {
        "text" => Ok(Content::Text(part.need_text("text")?)),
        "image_url" => {
            let at = part.path("image_url");
            let (url, detail) = match part.need("image_url")? {
                Value::String(url) => (url, None),
                image => {
                    let mut image = Fields::of(image, at.as_str())?;
                    (image.need_text("url")?, image.text("detail")?)
                }
            };
            image(url, detail, &at)
        }
        "file" => {
            let mut file = Fields::of(part.need("file")?, part.path("file"))?;
            if file.take("file_id").is_some() {
                return Err(Fault::unsupported_parameter(path, "alm keeps no files: send file_data"));
            }
            let filename = file.text("filename")?;
            document(file.need_text("file_data")?, filename, &file.path("file_data"))
        }
        "input_audio" => Err(Fault::unsupported_value(path, "alm takes no audio")),
        "video_url" => Err(Fault::unsupported_value(path, "alm takes no video")),
        _ => Err(Fault::unsupported_value(part.path("type"), "must be text, image_url or file")),
    }
}

/// An image by its URL. Nothing is fetched here: the model's server does that, or refuses it.
pub fn image(url: String, detail: Option<String>, path: &str) -> Result<Content, Fault> {
    let media_type = match media_type(&url) {
        Some(media_type) if !media_type.is_empty() => media_type.to_owned(),
        None if url.starts_with("https://") => "image/*".to_owned(),
        _ => return Err(Fault::invalid_value(path, "must be a data: or an https: URL")),
    };
    Ok(Content::File { media_type, url, filename: None, detail })
}

/// A PDF or a text by its data.
pub fn document(data: String, filename: Option<String>, path: &str) -> Result<Content, Fault> {
    // Some clients send the data alone.
    let url = if data.starts_with("data:") { data } else { format!("data:application/pdf;base64,{data}") };
    let media_type = media_type(&url).unwrap_or_default().to_owned();
    let is_text = media_type.starts_with("text/") || media_type == "application/json";
    if media_type != "application/pdf" && !is_text {
        return Err(Fault::unsupported_value(path, "must be the data: URL of a PDF or of a text"));
    }
    Ok(Content::File { media_type, url, filename, detail: None })
}

/// The type that a `data:` URL names.
fn media_type(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("data:")?;
    rest.split([';', ',']).next()
}

fn calls(message: &mut Fields) -> Result<Vec<ToolCall>, Fault> {
    let path = message.path("tool_calls");
    let calls = bounded(message.array("tool_calls")?.unwrap_or_default(), &path)?;
    calls.into_iter().enumerate().map(|(at, call)| one_call(Fields::of(call, format!("{path}[{at}]"))?)).collect()
}

fn one_call(mut call: Fields) -> Result<ToolCall, Fault> {
    let id = call.need_text("id")?;
    if call.text("type")?.is_some_and(|kind| kind != "function") {
        return Err(Fault::unsupported_value(call.path("type"), "must be function"));
    }
    let path = call.path("function");
    let mut function = Fields::of(call.need("function")?, path)?;
    let name = function.need_text("name")?;
    let arguments = match function.take("arguments") {
        None => String::new(),
        Some(Value::String(arguments)) => arguments,
        Some(arguments) => arguments.to_string(),
    };
    let beside = |fields: &mut Fields| fields.take(EXTRA).map(|value| (EXTRA.to_owned(), value));
    let beside = Beside {
        call: beside(&mut call).into_iter().collect(),
        function: beside(&mut function).into_iter().collect(),
        ..Beside::default()
    };
    let beside = (beside != Beside::default()).then(|| Box::new(beside));
    Ok(ToolCall { id, name, arguments, beside })
}

/// What a model thought, of which the turn knows whose it is and how it is called.
fn thoughts(message: &mut Fields) -> Option<Thoughts> {
    let fields = [message.take("reasoning_content"), message.take("reasoning")].into_iter().flatten();
    let mut texts = fields.filter_map(|field| field.as_str().filter(|text| !text.is_empty()).map(str::to_owned));
    let text = texts.next()?;
    Some(Thoughts { text, field: None, provider: String::new(), beside: Map::new() })
}

#[cfg(test)]
mod tests;
