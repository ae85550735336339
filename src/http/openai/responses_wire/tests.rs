//! Turns as the events of a response, against golden files.

use std::{fs, path::Path};

use super::*;

/// A turn that began 1,764,460,800 seconds after 1970.
const TURN: &str = "019ad20f-2800-7c51-9f0a-1d2b3c4d5e6f";

fn object() -> Map<String, Value> {
    let object = json!({"id": null, "object": "response", "created_at": null, "completed_at": null, "status": null,
        "error": null, "incomplete_details": null, "model": "ala", "output": [], "usage": null});
    object.as_object().unwrap().clone()
}

/// The frames of a golden file's chunks; `"beat"` among them is one.
fn encoded(chunks: &[Value]) -> Vec<u8> {
    let (mut wire, mut frames) = (ResponsesWire::new(object(), TURN), Vec::new());
    for chunk in chunks {
        match chunk {
            Value::String(_) => wire.beat(&mut frames),
            chunk => wire.chunk(&serde_json::from_value(chunk.clone()).unwrap(), &mut frames),
        }
    }
    wire.end(None, &mut frames);
    frames
}

fn events(frames: &[u8]) -> Vec<Value> {
    let lines = str::from_utf8(frames).unwrap().lines();
    lines.filter_map(|line| line.strip_prefix("data: ")).map(|json| serde_json::from_str(json).unwrap()).collect()
}

fn goldens() -> Vec<(String, Vec<Value>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/responses");
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "json") {
            let chunks: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let frames = encoded(&chunks);
            if std::env::var_os("UPDATE").is_some() {
                fs::write(file.with_extension("sse"), &frames).unwrap();
            }
            let expected = fs::read(file.with_extension("sse")).unwrap();
            assert_eq!(String::from_utf8_lossy(&frames), String::from_utf8_lossy(&expected), "{}", file.display());
            found.push((file.display().to_string(), chunks, frames));
        }
    }
    assert!(found.len() > 5, "the golden files are gone");
    found
}

#[test]
fn the_events_are_those_of_the_golden_files() {
    goldens();
}

#[test]
fn numbers_have_no_gaps_items_follow_one_another_and_deltas_add_up_to_what_is_done() {
    for (file, _, frames) in goldens() {
        let (mut open, mut done, mut deltas) = (None, Vec::new(), String::new());
        let events = events(&frames);
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number, "{file}: {event}");
            let kind = event["type"].as_str().unwrap();
            if kind == "response.output_item.added" {
                assert_eq!(
                    (open.replace(event["output_index"].clone()), &event["output_index"]),
                    (None, &json!(done.len()))
                );
                deltas.clear();
            } else if kind == "response.output_item.done" {
                assert_eq!(open.take().as_ref(), Some(&event["output_index"]), "{file}");
                done.push(event["item"].clone());
            } else if kind.ends_with(".delta") {
                assert_eq!(open.as_ref(), Some(&event["output_index"]), "{file}");
                deltas.push_str(event["delta"].as_str().unwrap());
            } else if let Some(text) = event.get("text").or(event.get("arguments")).and_then(Value::as_str) {
                assert_eq!(deltas, text, "{file}");
            }
        }
        assert_eq!(open, None, "{file}");
        assert_eq!(events.last().unwrap()["response"]["output"], json!(done), "{file}");
        assert!(!String::from_utf8_lossy(&frames).contains("[DONE]"));
    }
}

#[test]
fn a_response_that_is_not_kept_is_named_by_its_first_chunk_and_its_silence_is_filled() {
    let (mut wire, mut frames) = (ResponsesWire::unnamed(object()), Vec::new());
    let named: Chunk =
        serde_json::from_value(json!({"type": "start", "messageId": TURN, "messageMetadata": {}})).unwrap();
    Wire::chunk(&mut wire, &named, &mut frames);
    frames.extend(wire.heartbeat());
    Wire::end(&mut wire, &Usage::default(), &mut frames);
    let events = events(&frames);
    assert_eq!(events[0]["response"]["id"], "resp_019ad20f28007c519f0a1d2b3c4d5e6f");
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = ["response.created", "response.in_progress", "response.in_progress", "error", "response.failed"];
    assert_eq!(kinds, expected);
}

#[test]
fn a_whole_response_is_the_one_in_the_last_event() {
    for (file, chunks, frames) in goldens() {
        let mut whole = WholeResponse(ResponsesWire::new(object(), TURN));
        let mut written = Vec::new();
        for chunk in chunks.iter().filter(|chunk| chunk.is_object()) {
            whole.chunk(&serde_json::from_value(chunk.clone()).unwrap(), &mut written);
        }
        assert!(written.is_empty() && whole.heartbeat().is_empty());
        whole.end(&Usage::default(), &mut written);
        let last = events(&frames).pop().unwrap();
        assert_eq!(last["response"], serde_json::from_slice::<Value>(&written).unwrap(), "{file}");
    }
}
