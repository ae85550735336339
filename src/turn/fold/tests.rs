//! The golden files hold what the SDK makes of the same chunks; `tests/clients/fold.test.mjs` keeps them true.

use super::*;
use crate::turn::chunk::{DONE, ErrorData};
use proptest::prelude::*;
use std::{fs, path::Path};

fn fold(before: &[Value], chunks: &[Chunk]) -> Fold {
    let mut fold = Fold::with_parts(before.to_vec());
    chunks.iter().for_each(|chunk| fold.apply(chunk));
    fold
}

fn closed(before: &[Value], chunks: &[Chunk], why: Closing) -> Vec<Value> {
    let mut fold = fold(before, chunks);
    fold.close(why);
    fold.into_parts()
}

#[test]
fn the_fold_is_what_the_sdk_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fold");
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let mut golden: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let before = golden["before"].as_array().unwrap().clone();
        let chunks: Vec<Chunk> = serde_json::from_value(golden["chunks"].clone()).unwrap();
        let closed = Value::Array(closed(&before, &chunks, Closing::Stopped));
        if std::env::var_os("UPDATE").is_some() {
            golden["closed"] = closed;
            fs::write(&file, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
            continue;
        }
        assert_eq!(Value::Array(fold(&before, &chunks).into_parts()), golden["parts"], "{}", file.display());
        assert_eq!(closed, golden["closed"], "{}, closed", file.display());
    }
}

#[test]
fn a_call_says_why_it_has_no_answer() {
    let begun = [
        Chunk::StartStep,
        Chunk::ToolInputAvailable { tool_call_id: "c".into(), tool_name: "t".into(), input: json!({}) },
    ];
    let texts = [Closing::Stopped, Closing::Interrupted, Closing::Failed].map(|why| {
        let parts = closed(&[], &begun, why);
        assert_eq!(parts[1]["state"], "output-error");
        parts[1]["errorText"].as_str().unwrap().to_owned()
    });
    assert!(texts[0].contains("reply was stopped"));
    assert!(texts[1].contains("server was stopped"));
    assert!(texts[2].contains("failed"));
}

#[test]
fn an_approval_nobody_gave_is_denied_when_the_turn_is_closed() {
    let asked = [
        Chunk::StartStep,
        Chunk::ToolInputAvailable { tool_call_id: "c".into(), tool_name: "t".into(), input: json!({}) },
        Chunk::ToolApprovalRequest { approval_id: "a".into(), tool_call_id: "c".into() },
    ];
    let parts = closed(&[], &asked, Closing::Stopped);
    assert_eq!(parts[1]["state"], "output-denied");
    assert_eq!(parts[1]["approval"]["approved"], false);
}

#[test]
fn content_is_the_text_without_the_reasoning() {
    let parts = [
        json!({"type": "step-start"}),
        json!({"type": "reasoning", "text": "hm"}),
        json!({"type": "text", "text": "One"}),
        json!({"type": "text", "text": ", two"}),
    ];
    assert_eq!(content(&parts), "One, two");
}

#[test]
fn a_journal_is_read_up_to_where_it_was_torn() {
    let mut frames = b": stream-open\n\nid: 7\n".to_vec();
    let chunks = [Chunk::StartStep, Chunk::TextStart { id: "t".into() }];
    chunks.iter().for_each(|chunk| chunk.write_to(&mut frames));
    frames.extend_from_slice(DONE.as_bytes());
    frames.extend_from_slice(br#"data: {"type":"text-delta","id":"t","del"#);
    assert_eq!(parse(&frames).collect::<Vec<_>>(), chunks);
}

/// Few ids, so that chunks meet; any order, so that they meet wrongly too.
fn any_chunk() -> impl Strategy<Value = Chunk> {
    let text = "[a-z{}\":\\\\\n\u{e9}\u{1f642}]{0,6}";
    let value = prop_oneof![Just(Value::Null), Just(json!({"q": [1, "x"]})), text.prop_map(Value::from)];
    ("[ab]", text, value, 0..22).prop_map(|(id, text, value, kind)| {
        let (tool_call_id, tool_name) = (id.clone(), if text.len() > 4 { String::new() } else { "tool".into() });
        match kind {
            0 => Chunk::Start { message_id: id, message_metadata: value },
            1 => Chunk::StartStep,
            2 => Chunk::TextStart { id },
            3 => Chunk::TextDelta { id, delta: text },
            4 => Chunk::TextEnd { id },
            5 => Chunk::ReasoningStart { id },
            6 => Chunk::ReasoningDelta { id, delta: text },
            7 => Chunk::ReasoningEnd { id },
            8 => Chunk::ToolInputStart { tool_call_id, tool_name },
            9 => Chunk::ToolInputDelta { tool_call_id, input_text_delta: text },
            10 => Chunk::ToolInputAvailable { tool_call_id, tool_name, input: value },
            11 => Chunk::ToolInputError { tool_call_id, tool_name, input: value, error_text: text },
            12 => Chunk::ToolApprovalRequest { approval_id: text, tool_call_id },
            13 => Chunk::ToolOutputAvailable { tool_call_id, output: value },
            14 => Chunk::ToolOutputError { tool_call_id, error_text: text },
            15 => Chunk::ToolOutputDenied { tool_call_id },
            16 => Chunk::SourceUrl { source_id: id, url: text.clone(), title: Some(text).filter(|t| t.len() > 2) },
            17 => Chunk::DataError {
                data: ErrorData { code: id, message: text, request_id: String::new() },
                transient: true,
            },
            18 => Chunk::Error { error_text: text },
            19 => Chunk::Abort,
            20 => Chunk::FinishStep,
            _ => Chunk::Finish { finish_reason: text, message_metadata: value },
        }
    })
}

fn is_dangling(part: &Value) -> bool {
    let dangling = ["streaming", "input-streaming", "input-available", "approval-requested", "approval-responded"];
    part["state"].as_str().is_some_and(|state| dangling.contains(&state))
}

fn is_empty(part: &Value) -> bool {
    part["text"] == "" || part["type"] == "tool-"
}

/// What the SDK's validation forbids beside a state.
fn contradicts_itself(part: &Value) -> bool {
    match part["state"].as_str() {
        Some("output-available") => part.get("errorText").is_some() || part["approval"]["approved"] == false,
        Some("output-error") => part.get("output").is_some() || !part["errorText"].is_string(),
        Some("output-denied") => part.get("output").is_some() || part.get("errorText").is_some(),
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_journal_read_back_folds_like_the_turn_that_wrote_it(chunks in prop::collection::vec(any_chunk(), 0..60)) {
        let mut frames = Vec::new();
        chunks.iter().for_each(|chunk| chunk.write_to(&mut frames));
        let read: Vec<_> = parse(&frames).collect();
        prop_assert_eq!(&read, &chunks);
        prop_assert_eq!(fold(&[], &read).into_parts(), fold(&[], &chunks).into_parts());
    }

    #[test]
    fn nothing_dangles_in_a_closed_turn(chunks in prop::collection::vec(any_chunk(), 0..60)) {
        let parts = closed(&[], &chunks, Closing::Interrupted);
        for part in &parts {
            prop_assert!(!is_dangling(part) && !is_empty(part) && !contradicts_itself(part), "{}", part);
        }
        prop_assert_eq!(closed(&parts, &[], Closing::Stopped), parts, "closing twice changes nothing");
    }
}
