//! The fold: whatever chunks come, in whatever order, a closed message is one that the SDK takes back.

use serde_json::{Value, json};

use super::tape::Tape;
use crate::{
    store::{messages::Role, turns::Outcome},
    turn::{
        chunk::{Chunk, ErrorData},
        fold::{Fold, parse},
        parts,
    },
};

/// Chunks one case has.
const CHUNKS_MAX: usize = 200;

/// Reads chunks off `bytes` and folds them.
pub fn fold(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let at = usize::from(tape.byte());
    let mut chunks = Vec::new();
    while !tape.is_over() && chunks.len() < CHUNKS_MAX {
        chunks.push(chunk(&mut tape));
    }
    assert_journal_keeps(&chunks);
    assert_closes(&chunks, at);
}

/// Takes `bytes` for a journal, however broken.
pub fn journal(bytes: &[u8]) {
    let chunks: Vec<_> = parse(bytes).collect();
    assert_journal_keeps(&chunks);
    assert_closes(&chunks, chunks.len() / 2);
}

/// Few ids, so that chunks meet; any order, so that they meet wrongly too.
pub(super) fn chunk(tape: &mut Tape<'_>) -> Chunk {
    let kind = tape.byte() % 22;
    let id = (*tape.pick(&["a", "b"])).to_owned();
    let tool_call_id = id.clone();
    let name = |tape: &mut Tape<'_>| (*tape.pick(&["tool", "other", ""])).to_owned();
    match kind {
        0 => Chunk::Start { message_id: id, message_metadata: value(tape) },
        1 => Chunk::StartStep,
        2 => Chunk::TextStart { id },
        3 => Chunk::TextDelta { id, delta: tape.text() },
        4 => Chunk::TextEnd { id },
        5 => Chunk::ReasoningStart { id },
        6 => Chunk::ReasoningDelta { id, delta: tape.text() },
        7 => Chunk::ReasoningEnd { id },
        8 => Chunk::ToolInputStart { tool_call_id, tool_name: name(tape), dynamic: tape.byte() % 2 == 1 },
        9 => Chunk::ToolInputDelta { tool_call_id, input_text_delta: tape.text() },
        10 => Chunk::ToolInputAvailable {
            tool_call_id,
            tool_name: name(tape),
            input: value(tape),
            provider_metadata: metadata(tape),
            dynamic: tape.byte() % 2 == 1,
        },
        11 => {
            let (tool_name, input, error_text) = (name(tape), value(tape), tape.text());
            let (provider_metadata, dynamic) = (metadata(tape), tape.byte() % 2 == 1);
            Chunk::ToolInputError { tool_call_id, tool_name, input, error_text, provider_metadata, dynamic }
        }
        12 => Chunk::ToolApprovalRequest { approval_id: tape.text(), tool_call_id },
        13 => Chunk::ToolOutputAvailable { tool_call_id, output: value(tape), dynamic: false },
        14 => Chunk::ToolOutputError { tool_call_id, error_text: tape.text(), dynamic: false },
        15 => Chunk::ToolOutputDenied { tool_call_id },
        16 => Chunk::SourceUrl { source_id: id, url: tape.text(), title: Some(tape.text()).filter(|t| !t.is_empty()) },
        17 => {
            let data = ErrorData { code: id, message: tape.text(), request_id: String::new(), reason: None };
            Chunk::DataError { data, transient: true }
        }
        18 => Chunk::Error { error_text: tape.text() },
        19 => Chunk::Abort,
        20 => Chunk::FinishStep,
        _ => Chunk::Finish { finish_reason: tape.text(), message_metadata: value(tape) },
    }
}

fn metadata(tape: &mut Tape<'_>) -> Option<Value> {
    tape.byte().is_multiple_of(2).then(|| json!({"p": {"call": {"x": 1}}}))
}

fn value(tape: &mut Tape<'_>) -> Value {
    match tape.byte() % 4 {
        0 => Value::Null,
        1 => json!({"q": [1, "x"]}),
        2 => json!(tape.byte()),
        _ => tape.text().into(),
    }
}

/// A journal read back holds what was written.
fn assert_journal_keeps(chunks: &[Chunk]) {
    let mut frames = Vec::new();
    chunks.iter().for_each(|chunk| chunk.write_to(&mut frames));
    assert!(parse(&frames).eq(chunks.iter().cloned()), "a journal lost something");
}

/// A turn that ends at chunk `at` is closed, and one that goes on from there is closed again.
fn assert_closes(chunks: &[Chunk], at: usize) {
    let (before, after) = chunks.split_at(at.min(chunks.len()));
    let first = sound(Vec::new(), before, Outcome::Interrupted);
    assert_eq!(sound(first.clone(), &[], Outcome::Stopped), first, "closing twice changes something");
    sound(first, after, Outcome::Failed);
    sound(Vec::new(), chunks, Outcome::Stopped);
}

/// What is stored of a reply that began with the parts `before`.
pub(super) fn closed(before: Vec<Value>, chunks: &[Chunk], outcome: Outcome) -> Vec<Value> {
    let mut fold = Fold::with_parts(before);
    chunks.iter().for_each(|chunk| fold.apply(chunk));
    fold.close(outcome);
    fold.into_parts()
}

fn sound(before: Vec<Value>, chunks: &[Chunk], outcome: Outcome) -> Vec<Value> {
    let parts = closed(before, chunks, outcome);
    assert_sound(&parts);
    parts
}

/// Parts as they may be stored: whole, with nothing dangling, taken as they are from a client, and read back the same.
pub(super) fn assert_sound(parts: &[Value]) {
    let dangling = ["streaming", "input-streaming", "input-available", "approval-responded"];
    for part in parts {
        let state = part["state"].as_str();
        assert!(state.is_none_or(|state| !dangling.contains(&state)), "dangles: {part}");
        assert!(part["text"] != "" && part["type"] != "tool-", "is empty: {part}");
        let taken = parts::accept(vec![part.clone()], Role::Assistant, "parts");
        assert_eq!(taken.expect("a valid part"), std::slice::from_ref(part), "a part is not taken as it is");
    }
    let stored = Value::from(parts).to_string();
    let read: Vec<Value> = serde_json::from_str(&stored).expect("stored parts can be read");
    assert_eq!(read, parts, "stored parts change");
}
