//! What messages are read as.

use serde_json::json;

use super::*;
use crate::model::Message;

fn param(messages: Value) -> String {
    match decode(messages.clone()) {
        Ok(_) => panic!("{messages} was taken"),
        Err(fault) => fault.param.unwrap_or_default(),
    }
}

fn said(messages: Value) -> (String, Vec<Message>) {
    decode(messages).unwrap().finish()
}

fn call(id: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\": 1}" } })
}

#[test]
fn every_role_is_read_from_a_string_or_from_parts() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let (system, messages) = said(json!([
        { "role": "system", "content": "s", "name": "n" },
        { "role": "developer", "content": [text("d"), text("e")] },
        { "role": "user", "content": "" },
        { "role": "assistant", "content": null, "tool_calls": [call("c")], "audio": null, "function_call": null },
        { "role": "tool", "tool_call_id": "c", "content": [text("o"), text("p")] },
        { "role": "assistant", "content": [text("a"), { "type": "refusal", "refusal": "no" }], "annotations": [] },
    ]));
    assert_eq!(system, "s\n\nd\n\ne");
    let calls = vec![ToolCall { id: "c".into(), name: "f".into(), arguments: "{\"a\": 1}".into(), beside: None }];
    let expected = [
        Message::User(vec![Content::Text(String::new())]),
        Message::Assistant { text: String::new(), thoughts: None, calls },
        Message::Tool { call_id: "c".into(), output: "o\n\np".into() },
        Message::Assistant { text: "a\n\nno".into(), thoughts: None, calls: Vec::new() },
    ];
    assert_eq!(messages, expected);
}

#[test]
fn files_are_passed_on_as_they_are_and_what_is_no_file_of_ours_is_refused_by_its_place() {
    let of = |part: Value| json!([{ "role": "user", "content": [{ "type": "text", "text": "look" }, part] }]);
    for (part, media_type, url) in [
        (
            json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==", "detail": "low" } }),
            "image/png",
            "data:image/png;base64,AA==",
        ),
        (
            json!({ "type": "image_url", "image_url": "https://example.com/a.png" }),
            "image/*",
            "https://example.com/a.png",
        ),
        (
            json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64,AA==" } }),
            "application/pdf",
            "data:application/pdf;base64,AA==",
        ),
        (
            json!({ "type": "file", "file": { "file_data": "AA==" } }),
            "application/pdf",
            "data:application/pdf;base64,AA==",
        ),
        (
            json!({ "type": "file", "file": { "file_data": "data:text/plain;base64,AA==" } }),
            "text/plain",
            "data:text/plain;base64,AA==",
        ),
    ] {
        let detail = part["image_url"]["detail"].as_str().map(str::to_owned);
        let (_, messages) = said(of(part));
        let file = Content::File { media_type: media_type.into(), url: url.into(), filename: None, detail };
        assert_eq!(messages, [Message::User(vec![Content::Text("look".into()), file])]);
    }
    let place = "messages[0].content[1]";
    for (part, at) in [
        (json!({ "type": "input_audio", "input_audio": {} }), place.to_owned()),
        (json!({ "type": "video_url", "video_url": {} }), place.to_owned()),
        (json!({ "type": "file", "file": { "file_id": "file-1" } }), place.to_owned()),
        (
            json!({ "type": "file", "file": { "file_data": "data:image/png;base64,AA==" } }),
            format!("{place}.file.file_data"),
        ),
        (json!({ "type": "image_url", "image_url": "http://example.com/a.png" }), format!("{place}.image_url")),
        (json!({ "type": "thing" }), format!("{place}.type")),
        (json!({}), format!("{place}.type")),
        (json!("look"), place.to_owned()),
    ] {
        assert_eq!(param(of(part)), at);
    }
}

#[test]
fn what_a_provider_wants_back_comes_back() {
    let extra = json!({ "google": { "thought_signature": "s" } });
    let mut signed = call("c");
    signed["extra_content"] = extra.clone();
    signed["index"] = 0.into();
    for field in ["reasoning_content", "reasoning"] {
        let (_, messages) = said(json!([
            { "role": "user", "content": "u" },
            { "role": "assistant", "content": "", "tool_calls": [signed], field: "Hm." },
            { "role": "tool", "tool_call_id": "c", "content": "o" },
        ]));
        let Message::Assistant { thoughts, calls, .. } = &messages[1] else { panic!("a reply") };
        assert_eq!(thoughts.as_ref().unwrap().text, "Hm.");
        let beside = calls[0].beside.as_deref().unwrap();
        assert_eq!((beside.call.len(), &beside.call["extra_content"]), (1, &extra));
    }
}

#[test]
fn what_is_no_message_is_refused_by_its_place() {
    for (message, at) in [
        (json!({ "content": "x" }), "messages[0].role"),
        (json!({ "role": "function", "content": "x" }), "messages[0].role"),
        (json!({ "role": "user" }), "messages[0].content"),
        (json!({ "role": "user", "content": 5 }), "messages[0].content"),
        (json!({ "role": "system", "content": [{ "type": "image_url" }] }), "messages[0].content[0].type"),
        (json!({ "role": "tool", "tool_call_id": "c", "content": "o" }), "messages[0].tool_call_id"),
        (json!({ "role": "assistant", "function_call": { "name": "f" } }), "messages[0].function_call"),
        (
            json!({ "role": "assistant", "tool_calls": [{ "function": { "name": "f" } }] }),
            "messages[0].tool_calls[0].id",
        ),
        (
            json!({ "role": "assistant", "tool_calls": [{ "id": "c", "function": {} }] }),
            "messages[0].tool_calls[0].function.name",
        ),
        (json!(5), "messages[0]"),
    ] {
        assert_eq!(param(json!([message])), at);
    }
}

#[test]
fn so_many_messages_and_parts_are_taken() {
    let user = json!({ "role": "user", "content": "x" });
    for (count, fits) in [(MESSAGES_MAX - 1, true), (MESSAGES_MAX, true), (MESSAGES_MAX + 1, false)] {
        assert_eq!(decode(vec![user.clone(); count].into()).is_ok(), fits, "{count}");
    }
    let part = json!({ "type": "text", "text": "x" });
    for (count, fits) in [(PARTS_MAX - 1, true), (PARTS_MAX, true), (PARTS_MAX + 1, false)] {
        for role in ["user", "system"] {
            let message = json!({ "role": role, "content": vec![part.clone(); count] });
            assert_eq!(decode(json!([message])).is_ok(), fits, "{count}");
        }
    }
}
