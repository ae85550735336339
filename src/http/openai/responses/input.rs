//! The items of a request's input, as a conversation.
//!
//! Rule: what is no part of a conversation here is left out and named; what would be answered wrongly without it is refused.

use serde_json::Value;

use crate::{
    http::openai::{
        chat::messages::{MESSAGES_MAX, contents, document, image},
        error::Fault,
        fields::Fields,
        ignored::Ignored,
    },
    model::{Content, ToolCall},
};

/// What the model reads of an image that a tool gave.
const IMAGE_OF_A_TOOL: &str = "[an image, which cannot be shown here]";
/// Between texts that become one.
const BETWEEN: &str = "\n\n";

/// One thing that was said or done.
#[derive(Debug, PartialEq)]
pub enum Input {
    System(String),
    User(Vec<Content>),
    /// Words of a model.
    Words(String),
    /// Thoughts of a model.
    Thoughts(String),
    Call(ToolCall),
    /// What came of a call.
    Output {
        call_id: String,
        output: String,
        /// Where its call is named in the request.
        at: String,
    },
    /// An item that an earlier response said.
    Reference {
        id: String,
        /// Where it is named in the request.
        at: String,
    },
}

/// Reads the field `input`.
pub fn decode(input: Option<Value>, ignored: &mut Ignored) -> Result<Vec<Input>, Fault> {
    let items = match input {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![Input::User(vec![Content::Text(text)])]),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Fault::invalid_type("input", "expected a string or an array of items")),
    };
    if items.len() > MESSAGES_MAX {
        return Err(Fault::invalid_value("input", &format!("must hold at most {MESSAGES_MAX} items")));
    }
    let mut read = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("input[{at}]");
        match one(Fields::of(item, &*path)?)? {
            Some(item) => read.push(item),
            None => ignored.add(path),
        }
    }
    Ok(read)
}

/// One item; none if it is of a kind that is left out.
pub fn one(mut item: Fields) -> Result<Option<Input>, Fault> {
    let kind = item.text("type")?;
    Ok(Some(match kind.as_deref() {
        None | Some("message") => return message(item).map(Some),
        Some("function_call") => {
            let (id, name) = (item.need_text("call_id")?, item.need_text("name")?);
            let arguments = item.text("arguments")?.unwrap_or_default();
            Input::Call(ToolCall { id, name, arguments, beside: None })
        }
        Some("function_call_output") => {
            let (at, call_id) = (item.path("call_id"), item.need_text("call_id")?);
            Input::Output { call_id, output: output(&mut item)?, at }
        }
        Some("reasoning") => {
            let text =
                [texts(&mut item, "summary")?, texts(&mut item, "content")?].into_iter().find(|text| !text.is_empty());
            match text {
                Some(text) => Input::Thoughts(text),
                None => return Ok(None),
            }
        }
        Some("item_reference") => Input::Reference { at: item.path("id"), id: item.need_text("id")? },
        Some(_) => return Ok(None),
    }))
}

fn message(mut item: Fields) -> Result<Input, Fault> {
    let role = item.need_text("role")?;
    match &*role {
        "user" => Ok(Input::User(contents(&mut item, content)?)),
        "system" | "developer" => words(&mut item).map(Input::System),
        "assistant" => words(&mut item).map(Input::Words),
        _ => Err(Fault::invalid_value(item.path("role"), "must be user, assistant, system or developer")),
    }
}

/// Content that is only words.
fn words(item: &mut Fields) -> Result<String, Fault> {
    let path = item.path("content");
    let mut texts = Vec::new();
    for content in contents(item, content)? {
        match content {
            Content::Text(text) => texts.push(text),
            Content::File { .. } => return Err(Fault::unsupported_value(path, "only text is taken here")),
        }
    }
    Ok(texts.join(BETWEEN))
}

fn content(mut part: Fields, path: &str) -> Result<Content, Fault> {
    match &*part.need_text("type")? {
        "input_text" | "output_text" | "text" => Ok(Content::Text(part.need_text("text")?)),
        "refusal" => Ok(Content::Text(part.need_text("refusal")?)),
        "input_image" => {
            refuse_kept_files(&mut part, path)?;
            let detail = part.text("detail")?;
            image(part.need_text("image_url")?, detail, &part.path("image_url"))
        }
        "input_file" => {
            refuse_kept_files(&mut part, path)?;
            let filename = part.text("filename")?;
            document(part.need_text("file_data")?, filename, &part.path("file_data"))
        }
        "input_audio" => Err(Fault::unsupported_value(path, "alm takes no audio")),
        _ => Err(Fault::unsupported_value(
            part.path("type"),
            "must be input_text, output_text, input_image or input_file",
        )),
    }
}

fn refuse_kept_files(part: &mut Fields, path: &str) -> Result<(), Fault> {
    match ["file_id", "file_url"].iter().any(|name| part.take(name).is_some()) {
        true => Err(Fault::unsupported_parameter(path, "alm keeps and fetches no files: send the data")),
        false => Ok(()),
    }
}

/// What a tool gave, in words.
fn output(item: &mut Fields) -> Result<String, Fault> {
    let path = item.path("output");
    let parts = match item.need("output")? {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        other => return Ok(other.to_string()),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let mut part = Fields::of(part, format!("{path}[{at}]"))?;
        match part.text("type")?.as_deref() {
            Some("input_image") => texts.push(IMAGE_OF_A_TOOL.to_owned()),
            _ => texts.extend(part.text("text")?),
        }
    }
    Ok(texts.join("\n"))
}

/// The texts of an array of parts.
fn texts(item: &mut Fields, name: &str) -> Result<String, Fault> {
    let mut texts = Vec::new();
    for (at, part) in item.array(name)?.unwrap_or_default().into_iter().enumerate() {
        texts.extend(Fields::of(part, format!("{}[{at}]", item.path(name)))?.text("text")?);
    }
    Ok(texts.join(BETWEEN))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::openai::chat::messages::PARTS_MAX;

    fn read(input: Value) -> Result<(Vec<Input>, Option<String>), Fault> {
        let mut ignored = Ignored::default();
        decode(Some(input), &mut ignored).map(|items| (items, ignored.header()))
    }

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    #[test]
    fn every_kind_of_item_is_taken_or_named() {
        let (items, ignored) = read(json!([
            {"role": "developer", "content": "d"},
            {"type": "message", "role": "user", "status": "completed", "content": [
                {"type": "input_text", "text": "u"}, {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "x"},
            {"type": "reasoning", "summary": [], "encrypted_content": "x"},
            {"type": "message", "role": "assistant", "phase": "final", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{ }"},
            {"type": "function_call_output", "call_id": "c", "output": [
                {"type": "input_text", "text": "o"}, {"type": "input_image", "image_url": "x"}]},
            {"type": "item_reference", "id": "msg_1"},
            {"type": "web_search_call", "id": "ws_1"},
        ]))
        .unwrap();
        let png = Content::File {
            media_type: "image/png".into(),
            url: "data:image/png;base64,AA".into(),
            filename: None,
            detail: Some("low".into()),
        };
        let call = ToolCall { id: "c".into(), name: "f".into(), arguments: "{ }".into(), beside: None };
        let output = format!("o\n{IMAGE_OF_A_TOOL}");
        let expected = [
            Input::System("d".into()),
            Input::User(vec![text("u"), png]),
            Input::Thoughts("t".into()),
            Input::Words("a".into()),
            Input::Call(call),
            Input::Output { call_id: "c".into(), output, at: "input[6].call_id".into() },
            Input::Reference { id: "msg_1".into(), at: "input[7].id".into() },
        ];
        assert_eq!(items, expected);
        assert_eq!(ignored.as_deref(), Some("input[3], input[8]"));
        assert_eq!(read(json!("hi")).unwrap().0, [Input::User(vec![text("hi")])]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in [
            json!(1),
            json!([1]),
            json!([{"role": "tool", "content": "x"}]),
            json!([{"role": "user"}]),
            json!([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]),
            json!([{"role": "user", "content": [{"type": "input_file", "file_url": "https://x/y"}]}]),
            json!([{"role": "user", "content": [{"type": "input_audio"}]}]),
            json!([{"role": "assistant", "content": [{"type": "input_image", "image_url": "https://x/y"}]}]),
            json!([{"type": "function_call", "name": "f"}]),
            json!([{"type": "function_call_output", "call_id": "c"}]),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn so_many_items_of_so_many_parts_are_taken() {
        for (count, fits) in [(MESSAGES_MAX - 1, true), (MESSAGES_MAX, true), (MESSAGES_MAX + 1, false)] {
            assert_eq!(read(json!(vec![json!({"role": "user", "content": "x"}); count])).is_ok(), fits, "{count}");
        }
        for (count, fits) in [(PARTS_MAX - 1, true), (PARTS_MAX, true), (PARTS_MAX + 1, false)] {
            let parts = vec![json!({"type": "input_text", "text": "x"}); count];
            assert_eq!(read(json!([{"role": "user", "content": parts}])).is_ok(), fits, "{count}");
        }
    }
}
