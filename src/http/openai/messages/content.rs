//! What messages hold: blocks, as Anthropic's clients send them.
//!
//! Rule: what a person or a tool said is read whole or refused; what a model once did on Anthropic's own server is left out and named.

use serde_json::{Map, Value};

use crate::{
    http::openai::{chat::messages::PARTS_MAX, error::Fault, fields::Fields, given::Conversation, ignored::Ignored},
    model::{Content, Thoughts, ToolCall},
};

/// Between texts of one message that become one.
const BETWEEN: &str = "\n\n";
/// What a failed tool's output begins with.
const FAILED: &str = "Error: ";
/// Stands in a tool's output for a file, which follows it.
const FILE_FOLLOWS: &str = "[a file, which follows]";

/// Reads a message into a conversation.
pub fn read(mut message: Fields, conversation: &mut Conversation, ignored: &mut Ignored) -> Result<(), Fault> {
    let (role, path) = (message.need_text("role")?, message.path("content"));
    let content = message.need("content")?;
    match &*role {
        "system" => conversation.system(texts(content, &path)?.join(BETWEEN)),
        "user" => user(content, &path, conversation)?,
        "assistant" => assistant(content, &path, conversation, ignored)?,
        _ => return Err(Fault::invalid_value(message.path("role"), "must be user, assistant or system")),
    }
    Ok(())
}

/// Content that is only words: a string, or blocks of text.
pub fn texts(content: Value, path: &str) -> Result<Vec<String>, Fault> {
    let text = |block: Result<Fields, Fault>| {
        let mut block = block?;
        match &*block.need_text("type")? {
            "text" => block.need_text("text"),
            _ => Err(Fault::unsupported_value(block.path("type"), "only text is taken here")),
        }
    };
    match blocks(content, path)? {
        Blocks::Text(text) => Ok(vec![text]),
        Blocks::Many(blocks) => blocks.map(text).collect(),
    }
}

/// A string, or what it is short for.
enum Blocks<I> {
    Text(String),
    Many(I),
}

fn blocks(content: Value, path: &str) -> Result<Blocks<impl Iterator<Item = Result<Fields, Fault>>>, Fault> {
    match content {
        Value::String(text) => Ok(Blocks::Text(text)),
        Value::Array(blocks) if blocks.len() > PARTS_MAX => {
            Err(Fault::invalid_value(path, &format!("must hold at most {PARTS_MAX}")))
        }
        Value::Array(blocks) => {
            let path = path.to_owned();
            let of = move |(at, block)| Fields::of(block, format!("{path}[{at}]"));
            Ok(Blocks::Many(blocks.into_iter().enumerate().map(of)))
        }
        _ => Err(Fault::invalid_type(path, "expected a string or an array of blocks")),
    }
}

/// What a person said, and what came of calls: that is first, wherever it stands.
fn user(content: Value, path: &str, conversation: &mut Conversation) -> Result<(), Fault> {
    let blocks = match blocks(content, path)? {
        Blocks::Text(text) => {
            conversation.user(vec![Content::Text(text)]);
            return Ok(());
        }
        Blocks::Many(blocks) => blocks,
    };
    let mut said = Vec::new();
    for block in blocks {
        let mut block = block?;
        match &*block.need_text("type")? {
            "tool_result" => result(block, conversation, &mut said)?,
            kind => said.extend(piece(kind, &mut block)?),
        }
    }
    if !said.is_empty() {
        conversation.user(said);
    }
    Ok(())
}

/// What came of a call. A model reads it in words; files of it are shown to it beside.
fn result(mut block: Fields, conversation: &mut Conversation, files: &mut Vec<Content>) -> Result<(), Fault> {
    let id = block.need_text("tool_use_id")?;
    let mut words = Vec::new();
    let path = block.path("content");
    match block.take("content").map(|content| blocks(content, &path)).transpose()? {
        None => {}
        Some(Blocks::Text(text)) => words.push(text),
        Some(Blocks::Many(inner)) => {
            for inner in inner {
                let mut inner = inner?;
                let kind = inner.need_text("type")?;
                for content in result_piece(&kind, &mut inner)? {
                    match content {
                        Content::Text(text) => words.push(text),
                        file => {
                            words.push(FILE_FOLLOWS.into());
                            files.push(file);
                        }
                    }
                }
            }
        }
    }
    let mut output = words.join(BETWEEN);
    if block.boolean("is_error")? == Some(true) {
        output.insert_str(0, FAILED);
    }
    conversation.tool(id, output, &block.path("tool_use_id"))
}

fn result_piece(kind: &str, block: &mut Fields) -> Result<Vec<Content>, Fault> {
    match kind {
        // A tool that was found: it is among the request's tools.
        "tool_reference" => Ok(vec![Content::Text(block.need_text("tool_name")?)]),
        kind => piece(kind, block),
    }
}

/// A piece of what was said. A document may be several.
fn piece(kind: &str, block: &mut Fields) -> Result<Vec<Content>, Fault> {
    match kind {
        "text" => Ok(vec![Content::Text(block.need_text("text")?)]),
        "image" => Ok(vec![image(block)?]),
        "document" => document(block),
        "search_result" => {
            let (title, path) = (block.need_text("title")?, block.path("content"));
            let said = texts(block.need("content")?, &path)?.join(BETWEEN);
            Ok(vec![Content::Text(format!("{title}:\n{said}"))])
        }
        _ => Err(Fault::unsupported_value(block.path("type"), "must be text, image, document or tool_result")),
    }
}

fn image(block: &mut Fields) -> Result<Content, Fault> {
    let mut source = source(block)?;
    match &*source.need_text("type")? {
        "base64" => {
            let media_type = source.need_text("media_type")?;
            if !media_type.starts_with("image/") {
                return Err(Fault::invalid_value(source.path("media_type"), "must be that of an image"));
            }
            Ok(file(media_type, &source.need_text("data")?, None))
        }
        "url" => {
            let url = source.need_text("url")?;
            match url.starts_with("https://") {
                true => Ok(Content::File { media_type: "image/*".into(), url, filename: None, detail: None }),
                false => Err(Fault::invalid_value(source.path("url"), "must be an https: URL")),
            }
        }
        _ => Err(unknown_source(&source, "base64 or url")),
    }
}

fn document(block: &mut Fields) -> Result<Vec<Content>, Fault> {
    let title = block.text("title")?;
    let mut source = source(block)?;
    match &*source.need_text("type")? {
        "base64" => {
            let media_type = source.text("media_type")?.unwrap_or_else(|| "application/pdf".into());
            Ok(vec![file(media_type, &source.need_text("data")?, title)])
        }
        "text" => Ok(vec![titled(title, source.need_text("data")?)]),
        "content" => {
            let path = source.path("content");
            match blocks(source.need("content")?, &path)? {
                Blocks::Text(text) => Ok(vec![titled(title, text)]),
                Blocks::Many(inner) => {
                    let mut pieces: Vec<_> =
                        title.map(|title| Content::Text(format!("{title}:"))).into_iter().collect();
                    for inner in inner {
                        let mut inner = inner?;
                        match &*inner.need_text("type")? {
                            "text" => pieces.push(Content::Text(inner.need_text("text")?)),
                            "image" => pieces.push(image(&mut inner)?),
                            _ => return Err(Fault::unsupported_value(inner.path("type"), "must be text or image")),
                        }
                    }
                    Ok(pieces)
                }
            }
        }
        _ => Err(unknown_source(&source, "base64, text or content")),
    }
}

fn source(block: &mut Fields) -> Result<Fields, Fault> {
    let path = block.path("source");
    Fields::of(block.need("source")?, path)
}

fn unknown_source(source: &Fields, known: &str) -> Fault {
    Fault::unsupported_value(source.path("type"), &format!("alm keeps and fetches no files: must be {known}"))
}

fn file(media_type: String, data: &str, filename: Option<String>) -> Content {
    Content::File { url: format!("data:{media_type};base64,{data}"), media_type, filename, detail: None }
}

fn titled(title: Option<String>, text: String) -> Content {
    Content::Text(title.map_or(text.clone(), |title| format!("{title}:\n{text}")))
}

/// What a model said, thought and called.
fn assistant(content: Value, path: &str, conversation: &mut Conversation, ignored: &mut Ignored) -> Result<(), Fault> {
    let (mut said, mut thought, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    match blocks(content, path)? {
        Blocks::Text(text) => said.push(text),
        Blocks::Many(blocks) => {
            for block in blocks {
                let mut block = block?;
                match &*block.need_text("type")? {
                    "text" => said.push(block.need_text("text")?),
                    "thinking" => thought.push(block.need_text("thinking")?),
                    "tool_use" => calls.push(call(&mut block)?),
                    _ => ignored.add(block.at()),
                }
            }
        }
    }
    let text = thought.join(BETWEEN);
    let thoughts =
        (!text.is_empty()).then(|| Thoughts { text, field: None, provider: String::new(), beside: Map::new() });
    conversation.assistant(said.join(BETWEEN), thoughts, calls);
    Ok(())
}

/// A call. Arguments that were no JSON were given to the client as a string, and come back as one.
fn call(block: &mut Fields) -> Result<ToolCall, Fault> {
    let (id, name) = (block.need_text("id")?, block.need_text("name")?);
    let arguments = match block.take("input") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(input) => input.to_string(),
    };
    Ok(ToolCall { id, name, arguments, beside: None })
}

#[cfg(test)]
mod tests;
