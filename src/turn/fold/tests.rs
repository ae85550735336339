//! The golden files hold what the SDK makes of the same chunks; `tests/clients/fold.test.mjs` keeps them true.

use std::{fs, path::Path};

use super::*;
use crate::turn::chunk::DONE;

fn fold(before: &[Value], chunks: &[Chunk]) -> Fold {
    let mut fold = Fold::with_parts(before.to_vec());
    chunks.iter().for_each(|chunk| fold.apply(chunk));
    fold
}

fn closed(before: &[Value], chunks: &[Chunk], why: Outcome) -> Vec<Value> {
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
        let closed = Value::Array(closed(&before, &chunks, Outcome::Stopped));
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
        Chunk::ToolInputAvailable {
            tool_call_id: "c".into(),
            tool_name: "t".into(),
            input: json!({}),
            provider_metadata: None,
            dynamic: false,
        },
    ];
    let texts = [Outcome::Stopped, Outcome::Interrupted, Outcome::Failed].map(|why| {
        let parts = closed(&[], &begun, why);
        assert_eq!(parts[1]["state"], "output-error");
        parts[1]["errorText"].as_str().unwrap().to_owned()
    });
    assert!(texts[0].contains("reply was stopped"));
    assert!(texts[1].contains("server was stopped"));
    assert!(texts[2].contains("failed"));
}

#[test]
fn a_call_that_waits_for_a_person_waits_on_however_its_turn_ended() {
    let asked = [
        Chunk::StartStep,
        Chunk::ToolInputAvailable {
            tool_call_id: "c".into(),
            tool_name: "t".into(),
            input: json!({}),
            provider_metadata: None,
            dynamic: false,
        },
        Chunk::ToolApprovalRequest { approval_id: "a".into(), tool_call_id: "c".into() },
    ];
    for outcome in [Outcome::Stopped, Outcome::Interrupted, Outcome::Failed] {
        let parts = closed(&[], &asked, outcome);
        assert_eq!(parts[1]["state"], "approval-requested");
        assert_eq!(parts[1]["approval"], json!({"id": "a"}));
    }
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
    assert_eq!(content_bytes(&parts), content(&parts).len());
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

#[test]
fn a_call_that_was_approved_and_did_not_run_is_an_error_and_one_that_was_refused_is_denied() {
    let answered = |approved: bool| {
        let part = json!({"type": "tool-t", "toolCallId": "c", "state": "approval-responded", "input": {},
            "approval": {"id": "a", "approved": approved}});
        closed(&[json!({"type": "step-start"}), part], &[], Outcome::Stopped)[1].clone()
    };
    let (yes, no) = (answered(true), answered(false));
    assert_eq!((&yes["state"], &yes["approval"]["approved"]), (&json!("output-error"), &json!(true)));
    assert!(yes["errorText"].as_str().unwrap().contains("reply was stopped"));
    assert_eq!((&no["state"], &no["approval"]["approved"]), (&json!("output-denied"), &json!(false)));
    assert_eq!(no.get("errorText"), None);
}

#[test]
fn the_ids_of_the_calls_in_stored_parts_are_all_of_them_in_order() {
    let parts = json!([
        {"type": "step-start"}, {"type": "tool-t", "toolCallId": "a", "state": "output-available"},
        {"type": "text", "text": "x"}, {"type": "dynamic-tool", "toolCallId": "b", "state": "output-error"},
    ]);
    assert_eq!(call_ids(Some(&parts.to_string())).unwrap(), ["a", "b"]);
    assert_eq!(call_ids(None).unwrap(), Vec::<String>::new());
    call_ids(Some("{")).unwrap_err();
}
