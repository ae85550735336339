//! What a server answered a call, as what is stored, what a person is shown and what a model reads.
//!
//! Rule: no image, sound or other data goes to a model or into the stored output; a sentence stands in its place.
//! Rule: a model reads the texts, or the structured content where there is none, never both: the one mirrors the other.

use serde_json::{Map, Value, json};

/// Largest image, sound or other file that a person is shown, in bytes.
pub const FILE_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most files of one answer that a person is shown.
pub const FILES_MAX: usize = 16;
/// Longest text of an error, in characters.
pub const ERROR_CHARS_MAX: usize = 2_000;
/// What an error says that says nothing.
const NO_TEXT: &str = "The tool failed without a word.";

/// A file for the person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub media_type: String,
    /// Base64, as it came.
    pub data: String,
}

/// How a call was answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Done { output: Value, files: Vec<Shown> },
    Failed(String),
}

/// Reads the result of `tools/call`; `name` is the tool's name towards the model.
pub(super) fn read(name: &str, mut result: Value) -> Answer {
    match result.get("resultType").and_then(Value::as_str) {
        None | Some("complete") => {}
        Some("input_required") => {
            return Answer::Failed(format!("{name} asks for more input, which alm does not give."));
        }
        Some(_) => return Answer::Failed(format!("{name} answers later, as a task, which alm does not have.")),
    }
    let blocks = match result.get_mut("content").map(Value::take) {
        Some(Value::Array(blocks)) => blocks,
        // Against the protocol, and clear all the same.
        Some(text @ Value::String(_)) => vec![text_block(text)],
        Some(block @ Value::Object(_)) => vec![block],
        _ => Vec::new(),
    };
    let mut files = Vec::new();
    let content: Vec<Value> = blocks.into_iter().filter_map(|block| plain(block, &mut files)).collect();
    let mut output = Map::new();
    output.insert("content".into(), content.into());
    if let Some(structured) = result.get_mut("structuredContent").map(Value::take).filter(|value| !value.is_null()) {
        output.insert("structuredContent".into(), structured);
    }
    let output = Value::Object(output);
    match result.get("isError") == Some(&Value::Bool(true)) {
        true => Answer::Failed(error(&text(&output).unwrap_or_default())),
        false => Answer::Done { output, files },
    }
}

/// What a model and a person read of an error.
pub(super) fn error(text: &str) -> String {
    let text: String = text.trim().chars().take(ERROR_CHARS_MAX).collect();
    if text.is_empty() { NO_TEXT.into() } else { text }
}

/// What a model reads of a stored output, if a server's answer is what is stored there.
pub fn text(output: &Value) -> Option<String> {
    let blocks = output.get("content")?.as_array()?;
    let texts: Vec<_> = blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect();
    match output.get("structuredContent") {
        Some(structured) if texts.is_empty() => Some(structured.to_string()),
        _ => Some(texts.join("\n\n")),
    }
}

/// A block as it is stored: a text, always.
fn plain(mut block: Value, files: &mut Vec<Shown>) -> Option<Value> {
    let text = match block.get("type").and_then(Value::as_str)? {
        "text" => return block.get_mut("text").map(Value::take).filter(Value::is_string).map(text_block),
        "image" | "audio" => file(&mut block, "data", files),
        "resource_link" => link(&block)?,
        "resource" => {
            let mut resource = block.get_mut("resource").map(Value::take)?;
            match resource.get_mut("text").map(Value::take) {
                Some(text @ Value::String(_)) => return Some(text_block(text)),
                _ if resource.get("blob").is_some() => file(&mut resource, "blob", files),
                _ => link(&resource)?,
            }
        }
        other => format!("[{}: not shown]", other.chars().take(64).collect::<String>()),
    };
    Some(text_block(text.into()))
}

fn text_block(text: Value) -> Value {
    json!({"type": "text", "text": text})
}

fn link(resource: &Value) -> Option<String> {
    let uri = resource.get("uri")?.as_str()?;
    let name = resource.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    Some(name.map_or_else(|| uri.to_owned(), |name| format!("{name} ({uri})")))
}

/// Takes a block's data for the person; the sentence for everybody else.
fn file(block: &mut Value, field: &str, files: &mut Vec<Shown>) -> String {
    let kind = block.get("mimeType").and_then(Value::as_str).filter(|kind| is_media_type(kind));
    let media_type = kind.unwrap_or("application/octet-stream").to_ascii_lowercase();
    let Some(Value::String(data)) = block.get_mut(field).map(Value::take) else {
        return format!("[{media_type}: not shown]");
    };
    let Some(bytes) = base64_bytes(&data) else { return format!("[{media_type}: no base64, not shown]") };
    let shown = if bytes > FILE_BYTES_MAX {
        "too large to show"
    } else if files.len() >= FILES_MAX {
        "not shown"
    } else {
        files.push(Shown { media_type: media_type.clone(), data });
        "shown to the person"
    };
    format!("[{media_type}, {} bytes: {shown}]", grouped(bytes))
}

fn is_media_type(text: &str) -> bool {
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b));
    text.len() <= 128 && text.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// How many bytes base64 stands for.
fn base64_bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let known = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    (known && padding <= 2 && digits.len() % 4 != 1).then_some(digits.len() * 3 / 4)
}

/// A number with a comma between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(result: Value) -> (Value, Vec<Shown>) {
        match read("s__t", result) {
            Answer::Done { output, files } => (output, files),
            Answer::Failed(why) => panic!("{why}"),
        }
    }

    fn failed(result: Value) -> String {
        match read("s__t", result) {
            Answer::Failed(why) => why,
            Answer::Done { output, .. } => panic!("{output}"),
        }
    }

    #[test]
    fn a_model_reads_the_texts_and_not_their_mirror() {
        let structured = json!({"temperature": 20});
        let (output, _) =
            done(json!({"content": [{"type": "text", "text": "20 degrees"}, {"type": "text", "text": "dry"}],
            "structuredContent": structured, "isError": false, "resultType": "complete", "_meta": {"x": 1}}));
        assert_eq!(text(&output).unwrap(), "20 degrees\n\ndry");
        assert_eq!(output["structuredContent"], structured);
        assert_eq!(output.as_object().unwrap().len(), 2);
        let (output, _) = done(json!({"content": [], "structuredContent": structured}));
        assert_eq!(text(&output).unwrap(), "{\"temperature\":20}");
        for one in [json!("20 degrees"), json!({"type": "text", "text": "20 degrees"})] {
            assert_eq!(text(&done(json!({ "content": one })).0).unwrap(), "20 degrees");
        }
        for empty in [json!({}), json!({"content": null}), json!({"content": [], "structuredContent": null})] {
            assert_eq!(text(&done(empty).0).unwrap(), "");
        }
        assert_eq!(text(&json!({"time": "12:00"})), None, "another tool's output");
    }

    #[test]
    fn data_goes_to_the_person_and_a_sentence_to_everybody_else() {
        let (output, files) = done(json!({"content": [
            {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/PNG"},
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "a://b", "blob": "AA==", "mimeType": "application/pdf"}},
            {"type": "resource", "resource": {"uri": "a://t", "text": "the text"}},
            {"type": "resource", "resource": {"uri": "a://u"}},
            {"type": "resource_link", "uri": "a://c", "name": "the c"},
            {"type": "resource_link", "uri": "a://d"},
            {"type": "image", "data": "?", "mimeType": "image/png"},
            {"type": "image", "data": "AAAA", "mimeType": "image/png\"><script>"},
            {"type": "image"}, {"type": "hologram", "data": "AAAA"}, {"type": "text"}, {}, 1,
        ]}));
        let expected = "[image/png, 8 bytes: shown to the person]\n\n[audio/wav, 3 bytes: shown to the person]\n\n\
            [application/pdf, 1 bytes: shown to the person]\n\nthe text\n\na://u\n\nthe c (a://c)\n\na://d\n\n\
            [image/png: no base64, not shown]\n\n[application/octet-stream, 3 bytes: shown to the person]\n\n\
            [application/octet-stream: not shown]\n\n[hologram: not shown]";
        assert_eq!(text(&output).unwrap(), expected);
        assert_eq!(files.len(), 4);
        assert_eq!(files[0], Shown { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() });
        assert!(!output.to_string().contains("iVBOR"));
    }

    #[test]
    fn a_file_may_be_so_large_and_there_may_be_so_many() {
        let image = |bytes: usize| {
            let data = "A".repeat(bytes.div_ceil(3) * 4 - (3 - bytes % 3) % 3) + &"=".repeat((3 - bytes % 3) % 3);
            json!({"type": "image", "mimeType": "image/png", "data": data})
        };
        let shown = |bytes: usize| {
            let (output, files) = done(json!({"content": [image(bytes)]}));
            (text(&output).unwrap(), files.len())
        };
        assert_eq!(shown(FILE_BYTES_MAX - 1), ("[image/png, 5,242,879 bytes: shown to the person]".into(), 1));
        assert_eq!(shown(FILE_BYTES_MAX), ("[image/png, 5,242,880 bytes: shown to the person]".into(), 1));
        assert_eq!(shown(FILE_BYTES_MAX + 1), ("[image/png, 5,242,881 bytes: too large to show]".into(), 0));
        let many = |count: usize| done(json!({"content": vec![image(3); count]})).1.len();
        assert_eq!((many(FILES_MAX - 1), many(FILES_MAX), many(FILES_MAX + 1)), (FILES_MAX - 1, FILES_MAX, FILES_MAX));
    }

    #[test]
    fn an_error_says_what_the_server_said() {
        let says = |text: &str| failed(json!({"content": [{"type": "text", "text": text}], "isError": true}));
        assert_eq!(says("no such file"), "no such file");
        assert_eq!(says(&"\u{e9}".repeat(ERROR_CHARS_MAX - 1)).chars().count(), ERROR_CHARS_MAX - 1);
        assert_eq!(says(&"\u{e9}".repeat(ERROR_CHARS_MAX)).chars().count(), ERROR_CHARS_MAX);
        assert_eq!(says(&"\u{e9}".repeat(ERROR_CHARS_MAX + 1)).chars().count(), ERROR_CHARS_MAX);
        assert_eq!((says(""), failed(json!({"isError": true}))), (NO_TEXT.into(), NO_TEXT.into()));
        let structured = failed(json!({"content": [], "structuredContent": {"code": 7}, "isError": true}));
        assert_eq!(structured, "{\"code\":7}");
    }

    #[test]
    fn what_would_need_more_of_us_is_an_error() {
        let asks = failed(json!({"resultType": "input_required", "inputRequests": {}}));
        assert_eq!(asks, "s__t asks for more input, which alm does not give.");
        let task = failed(json!({"resultType": "task", "taskId": "1"}));
        assert_eq!(task, "s__t answers later, as a task, which alm does not have.");
    }
}
