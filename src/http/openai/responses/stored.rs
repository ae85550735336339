//! A response as it is stored, told as it was told when it was written.
//!
//! Rule: what was streamed and what is read later come from the same wire: only the pieces that words came in are not the same.

use serde_json::Value;

use super::object::Object;
use crate::{
    http::openai::{responses_wire::ResponsesWire, theirs::Theirs},
    store::{responses::Response, turns::Outcome},
    turn::{
        calls::AS_WRITTEN,
        chunk::{Chunk, ErrorData},
        ending::Ending,
    },
};

/// The events of a response, and its wire after them.
pub type Told = (Vec<u8>, ResponsesWire);

/// The wire of a response, and the calls that its client is shown.
pub fn wire_of(response: &Response) -> (ResponsesWire, Theirs) {
    wire(&response.id, &response.asked)
}

fn wire(turn_id: &str, asked: &str) -> (ResponsesWire, Theirs) {
    let object = Object::of_asked(asked);
    let theirs = Theirs::new(object.tools());
    (ResponsesWire::new(object.into_map(), turn_id), theirs)
}

/// Tells a response that is over, of which `said` is what it said.
pub fn tell(response: &Response, outcome: Outcome, said: Vec<Chunk>) -> Told {
    told(wire_of(response), Ending::of(response.ending.as_deref()), outcome, said)
}

fn told((mut wire, mut theirs): (ResponsesWire, Theirs), ending: Ending, outcome: Outcome, said: Vec<Chunk>) -> Told {
    let mut chunks: Vec<Chunk> = said.into_iter().filter(|chunk| theirs.has(chunk)).collect();
    if outcome != Outcome::Complete {
        chunks = reopened(chunks, ending.is_open);
    }
    chunks.push(last(outcome, ending));
    let mut frames = Vec::new();
    chunks.iter().for_each(|chunk| wire.chunk(chunk, &mut frames));
    wire.end(None, &mut frames);
    (frames, wire)
}

/// The chunk that ended it.
fn last(outcome: Outcome, ending: Ending) -> Chunk {
    match outcome {
        Outcome::Complete => Chunk::Finish {
            finish_reason: ending.finish_reason().to_owned(),
            message_metadata: Value::Object(ending.metadata),
        },
        Outcome::Stopped => Chunk::Abort,
        Outcome::Interrupted | Outcome::Failed => {
            let data = ending.error.unwrap_or_else(|| ErrorData {
                code: "SERVICE_UNAVAILABLE".into(),
                message: "the server went down during this response: ask again".into(),
                ..ErrorData::default()
            });
            Chunk::DataError { data, transient: true }
        }
    }
}

/// What was said, without the ends that storing it gave to what had none.
fn reopened(mut chunks: Vec<Chunk>, is_open: bool) -> Vec<Chunk> {
    if matches!(chunks.last(), Some(Chunk::FinishStep)) {
        chunks.pop();
    }
    if is_open && matches!(chunks.last(), Some(Chunk::TextEnd { .. } | Chunk::ReasoningEnd { .. })) {
        chunks.pop();
    }
    chunks.into_iter().flat_map(broken_off).collect()
}

/// A call whose arguments were broken off is stored as one that failed.
fn broken_off(chunk: Chunk) -> Vec<Chunk> {
    match chunk {
        Chunk::ToolInputError {
            tool_call_id,
            tool_name,
            input: Value::String(text),
            provider_metadata,
            dynamic,
            ..
        } if provider_metadata.as_ref().is_none_or(|metadata| metadata.get(AS_WRITTEN).is_none()) => {
            let delta = Chunk::ToolInputDelta { tool_call_id: tool_call_id.clone(), input_text_delta: text };
            vec![Chunk::ToolInputStart { tool_call_id, tool_name, dynamic }, delta]
        }
        chunk => vec![chunk],
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;
    use crate::{
        store::turns::StoredTurn,
        time::Timestamp,
        turn::{fold::Fold, replay},
    };

    /// What was streamed of the chunks of a golden file, and what is told of them when they are stored.
    fn both(chunks: &[Chunk]) -> (Value, Value) {
        let tools = ["weather", "odd", "a", "b"].map(|name| json!({"type": "function", "name": name}));
        let asked = json!({"tools": tools}).to_string();
        let id = "019ad20f-2800-7c51-9f0a-1d2b3c4d5e6f";
        let (mut wire, _) = super::wire(id, &asked);
        let (mut unread, mut fold) = (Vec::new(), Fold::new());
        let (mut outcome, mut error, mut metadata) = (Outcome::Complete, None, json!({}));
        for chunk in chunks {
            wire.chunk(chunk, &mut unread);
            fold.apply(chunk);
            match chunk {
                Chunk::Abort => outcome = Outcome::Stopped,
                Chunk::DataError { data, .. } => (outcome, error) = (Outcome::Failed, Some(data.clone())),
                Chunk::Finish { message_metadata, finish_reason } => {
                    metadata = message_metadata.clone();
                    metadata["finishReason"] = json!(finish_reason);
                }
                _ => {}
            }
        }
        wire.end(None, &mut unread);
        let ending = Ending::of(Some(&Ending::new(error, fold.is_open(), &metadata).to_text()));
        fold.close(outcome);
        let stored = StoredTurn {
            session_id: String::new(),
            message_id: String::new(),
            model: String::new(),
            agent_id: None,
            outcome: Some(outcome),
            started_at: Timestamp::now(),
            metadata: "{}".into(),
            parts: Some(json!(fold.into_parts()).to_string()),
            continued_parts: None,
        };
        let (_, told) = told(super::wire(id, &asked), ending, outcome, replay::said(&stored).unwrap());
        (wire.into_object(), told.into_object())
    }

    #[test]
    fn what_is_told_later_is_what_was_streamed() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/responses");
        for file in fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            // A turn of a response ends words where a call begins; and one without an end is never stored so.
            let is_left_out = ["words-between-calls", "torn"].contains(&&*name);
            if file.extension().is_none_or(|extension| extension != "json") || is_left_out {
                continue;
            }
            let chunks: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let chunks: Vec<Chunk> = chunks
                .into_iter()
                .filter(Value::is_object)
                .map(|chunk| serde_json::from_value(chunk).unwrap())
                .collect();
            let (streamed, told) = both(&chunks);
            assert_eq!(told, streamed, "{name}");
        }
    }
}
