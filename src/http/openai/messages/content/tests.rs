//! What a message of Anthropic's may hold.

use serde_json::json;

use super::*;
use crate::{model::Message, turn::system::one_system};

fn decoded(messages: Value) -> Result<(Vec<Message>, Ignored), Fault> {
    let (mut conversation, mut ignored) = (Conversation::new(), Ignored::default());
    let Value::Array(messages) = messages else { panic!("messages are an array") };
    for (at, message) in messages.into_iter().enumerate() {
        read(Fields::of(message, format!("messages[{at}]"))?, &mut conversation, &mut ignored)?;
    }
    Ok((conversation.finish().1, ignored))
}

fn messages(messages: Value) -> Vec<Message> {
    one_system(decoded(messages).unwrap().0)
}

fn text(text: &str) -> Content {
    Content::Text(text.into())
}

fn called(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), beside: None }
}

#[test]
fn strings_and_blocks_are_the_same() {
    let expected = vec![
        Message::User(vec![text("a"), text("b")]),
        Message::Assistant { text: "c".into(), thoughts: None, calls: Vec::new() },
        Message::User(vec![text("<system>\nd\n</system>"), text("e")]),
    ];
    let of_blocks = json!([
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "b", "citations": null}]},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
        {"role": "system", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": [{"type": "text", "text": "e"}]},
    ]);
    assert_eq!(messages(of_blocks), expected);
    let of_strings = json!([
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "c"},
        {"role": "system", "content": "d"}, {"role": "user", "content": "e"},
    ]);
    assert_eq!(messages(of_strings)[1..], expected[1..]);
}

#[test]
fn a_call_goes_with_its_result_and_thoughts_with_what_was_said() {
    let sent = json!([
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Look."}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 1, "a": 2.50}},
            {"type": "tool_use", "id": "c2", "name": "f", "input": "{no json"},
            {"type": "tool_use", "id": "c3", "name": "f"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "go on"},
            {"type": "tool_result", "tool_use_id": "c2", "content": "bad", "is_error": true},
            {"type": "tool_result", "tool_use_id": "c1", "is_error": false,
                "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
            {"type": "tool_result", "tool_use_id": "c3"}]},
    ]);
    let (said, ignored) = decoded(sent).unwrap();
    let thoughts = Thoughts { text: "Hm.".into(), field: None, provider: String::new(), beside: Map::new() };
    let calls = vec![called("c1", r#"{"b":1,"a":2.5}"#), called("c2", "{no json"), called("c3", "")];
    let output = |id: &str, output: &str| Message::Tool { call_id: id.into(), output: output.into() };
    assert_eq!(
        said,
        [
            Message::User(vec![text("q")]),
            Message::Assistant { text: "Look.".into(), thoughts: Some(thoughts), calls },
            output("c1", "x\n\ny"),
            output("c2", "Error: bad"),
            output("c3", ""),
            Message::User(vec![text("go on")]),
        ]
    );
    assert_eq!(ignored.header().as_deref(), Some("messages[1].content[1]"));
}

#[test]
fn files_arrive_as_they_are_and_those_of_a_tool_follow_its_output() {
    let png = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}});
    let sent = json!([
        {"role": "user", "content": [
            png,
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
            {"type": "document", "title": "T", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
            {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "w"}, png]}},
            {"type": "search_result", "source": "s", "title": "S", "content": [{"type": "text", "text": "found"}]}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [
            {"type": "text", "text": "Here:"}, png, {"type": "tool_reference", "tool_name": "Read"}]}]},
    ]);
    let image = || Content::File {
        media_type: "image/png".into(),
        url: "data:image/png;base64,iVBO".into(),
        filename: None,
        detail: None,
    };
    let said = messages(sent);
    let pdf = Content::File {
        media_type: "application/pdf".into(),
        url: "data:application/pdf;base64,JVBE".into(),
        filename: Some("T".into()),
        detail: None,
    };
    let linked = Content::File {
        media_type: "image/*".into(),
        url: "https://example.com/a.jpg".into(),
        filename: None,
        detail: None,
    };
    let first = vec![image(), linked, pdf, text("T:\nwords"), text("w"), image(), text("S:\nfound")];
    assert_eq!(said[0], Message::User(first));
    let output = "Here:\n\n[a file, which follows]\n\nRead";
    assert_eq!(said[2..], [Message::Tool { call_id: "c".into(), output: output.into() }, Message::User(vec![image()])]);
}

#[test]
fn what_cannot_be_read_is_refused_by_its_path() {
    let source = |kind: &str, source: Value| json!([{"role": "user", "content": [{"type": kind, "source": source}]}]);
    for (sent, param) in [
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "tool", "content": "x"}]), "messages[0].role"),
        (json!([{"role": "user", "content": 5}]), "messages[0].content"),
        (json!([{"role": "user", "content": ["x"]}]), "messages[0].content[0]"),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
        (json!([{"role": "user", "content": [{"type": "audio"}]}]), "messages[0].content[0].type"),
        (json!([{"role": "system", "content": [{"type": "image"}]}]), "messages[0].content[0].type"),
        (
            json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]),
            "messages[0].content[0].tool_use_id",
        ),
        (source("image", json!({"type": "file", "file_id": "f"})), "messages[0].content[0].source.type"),
        (source("image", json!({"type": "url", "url": "http://x/a.png"})), "messages[0].content[0].source.url"),
        (
            source("image", json!({"type": "base64", "media_type": "text/html", "data": ""})),
            "messages[0].content[0].source.media_type",
        ),
        (source("document", json!({"type": "url", "url": "https://x/a.pdf"})), "messages[0].content[0].source.type"),
    ] {
        assert_eq!(decoded(sent.clone()).unwrap_err().param.as_deref(), Some(param), "{sent}");
    }
}

#[test]
fn a_message_holds_so_many_blocks() {
    for (count, fits) in [(PARTS_MAX - 1, true), (PARTS_MAX, true), (PARTS_MAX + 1, false)] {
        let blocks = vec![json!({"type": "text", "text": ""}); count];
        assert_eq!(decoded(json!([{"role": "user", "content": blocks}])).is_ok(), fits, "{count}");
    }
}
