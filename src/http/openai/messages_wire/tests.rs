//! The golden files hold the events of some chunks, and the message that they come to.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;
use crate::model::Usage;

fn head() -> Head {
    Head { model: "ala".into(), input_tokens: 7, request_id: "req-1".into() }
}

fn text(mut wire: MessagesWire, chunks: &[Chunk]) -> String {
    let mut frames = Vec::new();
    chunks.iter().for_each(|chunk| wire.chunk(chunk, &mut frames));
    let usage = Usage { input_tokens: 12, cache_read_tokens: 4, output_tokens: 3, reasoning_tokens: 1 };
    wire.end(&usage, &mut frames);
    String::from_utf8(frames).unwrap()
}

/// The events of a stream, each with its name checked against its type.
fn events(stream: &str) -> Vec<Value> {
    let event = |text: &str| {
        let (name, data) = text.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    stream.split_terminator("\n\n").map(event).collect()
}

/// What a client's library makes of events: blocks by their index, one at a time.
fn folded(events: &[Value]) -> Value {
    let (mut message, mut open, mut arguments) = (Value::Null, None, String::new());
    for event in events {
        let index = event["index"].as_u64().map(|index| index as usize);
        match event["type"].as_str().unwrap() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!((open, index), (None, Some(content.len())), "one block at a time, in order");
                content.push(event["content_block"].clone());
                open = index;
            }
            "content_block_delta" => {
                assert_eq!(index, open, "only the open block is filled");
                let delta = &event["delta"];
                let block = &mut message["content"][index.unwrap()];
                let (key, more) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", &delta["text"]),
                    "thinking_delta" => ("thinking", &delta["thinking"]),
                    "input_json_delta" => {
                        arguments += delta["partial_json"].as_str().unwrap();
                        continue;
                    }
                    other => panic!("{other}"),
                };
                block[key] = (block[key].as_str().unwrap().to_owned() + more.as_str().unwrap()).into();
            }
            "content_block_stop" => {
                let block = &mut message["content"][index.unwrap()];
                if block["type"] == "tool_use" {
                    let text = std::mem::take(&mut arguments);
                    block["input"] = serde_json::from_str(&text).unwrap_or(Value::String(text));
                }
                open = None;
            }
            "message_delta" => {
                for (key, value) in event["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                message["usage"] = event["usage"].clone();
            }
            "message_stop" | "ping" => {}
            "error" => return event.clone(),
            other => panic!("{other}"),
        }
    }
    assert_eq!(open, None, "the last block is ended");
    message
}

#[test]
fn the_events_of_chunks_and_what_they_come_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/messages");
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let mut golden: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let chunks: Vec<Chunk> = serde_json::from_value(golden["chunks"].clone()).unwrap();
        let stream = text(MessagesWire::streamed(head()), &chunks);
        let whole: Value = serde_json::from_str(&text(MessagesWire::whole(head()), &chunks)).unwrap();
        assert_eq!(folded(&events(&stream)), whole, "{}", file.display());
        if std::env::var_os("UPDATE").is_some() {
            golden["stream"] = stream.lines().collect();
            golden["whole"] = whole;
            fs::write(&file, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
            continue;
        }
        assert_eq!(stream.lines().collect::<Value>(), golden["stream"], "{}", file.display());
        assert_eq!(whole, golden["whole"], "{}", file.display());
    }
}

#[test]
fn a_heartbeat_is_a_ping_and_a_whole_message_has_none() {
    assert_eq!(MessagesWire::whole(head()).heartbeat(), b"");
    let ping = MessagesWire::streamed(head()).heartbeat();
    assert_eq!(ping, b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

#[test]
fn a_models_numbers_are_passed_on_as_it_wrote_them() {
    let arguments = r#"{"n": 1.10, "big": 123456789012345678901234567890}"#;
    let chunks = [
        Chunk::Start { message_id: "m".into(), message_metadata: json!({}) },
        Chunk::ToolInputStart { tool_call_id: "c".into(), tool_name: "t".into(), dynamic: false },
        Chunk::ToolInputDelta { tool_call_id: "c".into(), input_text_delta: arguments.into() },
        Chunk::Finish { finish_reason: "tool-calls".into(), message_metadata: json!({}) },
    ];
    let whole = text(MessagesWire::whole(head()), &chunks);
    assert!(whole.contains(&format!(r#""input":{arguments}"#)), "{whole}");
}
