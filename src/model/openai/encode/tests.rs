//! Requests as the wire has them.

use serde_json::json;

use super::*;

const PLAIN: WireOptions =
    WireOptions { include_usage: false, completion_tokens_field: CompletionTokensField::MaxTokens };

fn body(request: &Request, options: &WireOptions) -> Value {
    serde_json::from_slice(&encode(request, options)).unwrap()
}

fn messages(messages: Vec<Message>) -> Value {
    body(&Request { messages, ..Request::default() }, &PLAIN)["messages"].take()
}

fn file(media_type: &str, url: &str, filename: Option<&str>) -> Content {
    Content::File { media_type: media_type.into(), url: url.into(), filename: filename.map(str::to_owned) }
}

#[test]
fn what_nobody_asked_for_is_left_to_the_server() {
    let request = Request { model: "m".into(), ..Request::default() };
    assert_eq!(body(&request, &PLAIN), json!({"model": "m", "messages": [], "stream": true}));
}

#[test]
fn every_setting_has_its_field_and_the_cap_has_the_name_the_server_knows() {
    let request = Request {
        model: "m".into(),
        temperature: Some(0.5),
        top_p: Some(0.9),
        reasoning_effort: Some("low".into()),
        output_tokens_max: Some(7),
        tools: vec![ToolSpec { name: "f".into(), description: "d".into(), parameters: json!({"type": "object"}) }],
        ..Request::default()
    };
    let options =
        WireOptions { include_usage: true, completion_tokens_field: CompletionTokensField::MaxCompletionTokens };
    let function = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
    let expected = json!({
        "model": "m", "messages": [], "temperature": 0.5, "top_p": 0.9, "reasoning_effort": "low",
        "tools": [{"type": "function", "function": function}],
        "max_completion_tokens": 7, "stream": true, "stream_options": {"include_usage": true},
    });
    assert_eq!(body(&request, &options), expected);
    assert_eq!(body(&request, &PLAIN)["max_tokens"], 7);
}

#[test]
fn a_conversation_keeps_its_order_its_reasoning_and_its_calls() {
    let call = |arguments: &str| ToolCall { id: "c".into(), name: "f".into(), arguments: arguments.into() };
    let assistant = |text: &str, reasoning: &str, calls: Vec<ToolCall>| Message::Assistant {
        text: text.into(),
        reasoning: reasoning.into(),
        calls,
    };
    let wire_call =
        |arguments: &str| json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
    let sent = messages(vec![
        Message::System("s".into()),
        Message::User(vec![Content::Text("u".into())]),
        assistant("", "r", vec![call(r#"{"a":1}"#)]),
        Message::Tool { call_id: "c".into(), output: "o".into() },
        assistant("", "", vec![]),
        assistant("t", "", vec![call(r#"{"a":"#)]),
        Message::User(vec![]),
    ]);
    let expected = json!([
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [wire_call(r#"{"a":1}"#)]},
        {"role": "tool", "tool_call_id": "c", "content": "o"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "t", "tool_calls": [wire_call("{}")]},
        {"role": "user", "content": ""},
    ]);
    assert_eq!(sent, expected);
}

#[test]
fn a_file_goes_as_what_a_server_understands_or_in_words() {
    let sent = messages(vec![Message::User(vec![
        Content::Text("look".into()),
        file("image/png", "data:image/png;base64,AA==", None),
        file("audio/mpeg", "data:audio/mpeg;base64,AAE=", None),
        file("application/pdf", "data:application/pdf;base64,AAI=", Some("a.pdf")),
        file("text/csv", "data:text/csv;base64,YSxi", Some("a.csv")),
        file("application/zip", "data:application/zip;base64,/w==", Some("a.zip")),
        file("audio/ogg", "https://example.com/a.ogg", None),
    ])]);
    let expected = json!([
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AAE=", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAI="}},
        {"type": "text", "text": "a.csv:\na,b"},
        {"type": "text", "text": "[a.zip (application/zip) cannot be shown to you]"},
        {"type": "text", "text": "[a file (audio/ogg) is at https://example.com/a.ogg]"},
    ]);
    assert_eq!(sent[0]["content"], expected);
}
