//! A turn that is over, streamed again: the chunks whose fold is the stored message.
//!
//! Rule: what is folded from these chunks is what is stored. The words are the same, the pieces they came in are not:
//! a text comes in as few as its lines allow.

use std::time::Duration;

use serde_json::Value;

use super::{
    beside,
    chunk::{Chunk, DONE},
    fold,
    line::pieces,
    metadata,
};
use crate::{
    error::{Error, Result},
    store::turns::{Outcome, StoredTurn},
};

/// The stream of a turn that is over: server-sent events from `start` to `[DONE]`.
pub(super) fn replay(turn: &StoredTurn, outcome: Outcome, request_id: &str) -> Result<Vec<u8>> {
    let mut frames = Vec::new();
    chunks(turn, outcome, request_id)?.iter().for_each(|chunk| chunk.write_to(&mut frames));
    frames.extend_from_slice(DONE.as_bytes());
    Ok(frames)
}

/// Its chunks up to where it ended.
pub fn said(turn: &StoredTurn) -> Result<Vec<Chunk>> {
    let parts = fold::stored_parts(turn.parts.as_deref())?;
    let before = fold::stored_parts(turn.continued_parts.as_deref())?;
    let mut chunks = vec![Chunk::Start {
        message_id: turn.message_id.clone(),
        message_metadata: metadata::of_start(&turn.session_id, &turn.model, turn.agent_id.as_deref(), turn.started_at),
    }];
    // A client that continues a message holds what it had before, but for how its calls ended.
    let ended = parts.iter().zip(&before).filter(|(now, then)| now["state"] != then["state"]);
    chunks.extend(ended.filter_map(|(now, _)| output_chunk(now)));
    chunks.extend(chunks_of(parts.get(before.len()..).unwrap_or_default()));
    Ok(chunks)
}

/// Its chunks, from `start` to the last.
pub(super) fn chunks(turn: &StoredTurn, outcome: Outcome, request_id: &str) -> Result<Vec<Chunk>> {
    let mut chunks = said(turn)?;
    match outcome {
        Outcome::Complete => {
            let metadata: Value = serde_json::from_str(&turn.metadata).map_err(Error::internal)?;
            let finish_reason = metadata["finishReason"].as_str().unwrap_or("other").to_owned();
            chunks.push(Chunk::Finish { finish_reason, message_metadata: metadata });
        }
        Outcome::Stopped => chunks.push(Chunk::Abort),
        Outcome::Interrupted => {
            let message = "the server went down during this reply: what was said so far is stored, and can be resumed";
            chunks.extend(Chunk::of_error(
                &Error::Unavailable { message: message.into(), retry_after: Duration::ZERO },
                request_id,
            ));
        }
        Outcome::Failed => {
            let failed = Error::ModelUnavailable("this reply failed: ask again".into());
            chunks.extend(Chunk::of_error(&failed, request_id));
        }
    }
    Ok(chunks)
}

/// The chunks that fold to `parts`.
pub(super) fn chunks_of(parts: &[Value]) -> Vec<Chunk> {
    let (mut chunks, mut in_step) = (Vec::new(), false);
    for (n, part) in parts.iter().enumerate() {
        let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
        match part["type"].as_str().unwrap_or_default() {
            "step-start" => {
                if in_step {
                    chunks.push(Chunk::FinishStep);
                }
                in_step = true;
                chunks.push(Chunk::StartStep);
            }
            "text" => {
                let id = format!("t{n}");
                chunks.push(Chunk::TextStart { id: id.clone() });
                let deltas = pieces(part["text"].as_str().unwrap_or_default()).map(str::to_owned);
                chunks.extend(deltas.map(|delta| Chunk::TextDelta { id: id.clone(), delta }));
                chunks.push(Chunk::TextEnd { id });
            }
            "reasoning" => {
                let id = text("id");
                chunks.push(Chunk::ReasoningStart { id: id.clone() });
                let deltas = pieces(part["text"].as_str().unwrap_or_default()).map(str::to_owned);
                chunks.extend(deltas.map(|delta| Chunk::ReasoningDelta { id: id.clone(), delta }));
                chunks.push(Chunk::ReasoningEnd { id });
            }
            "source-url" => chunks.push(Chunk::SourceUrl {
                source_id: text("sourceId"),
                url: text("url"),
                title: part["title"].as_str().map(str::to_owned),
            }),
            "file" => chunks.push(Chunk::File { url: text("url"), media_type: text("mediaType") }),
            "dynamic-tool" => call_chunks(part, text("toolName"), true, &mut chunks),
            kind => {
                if let Some(tool_name) = kind.strip_prefix("tool-") {
                    call_chunks(part, tool_name.to_owned(), false, &mut chunks);
                }
            }
        }
    }
    if in_step {
        chunks.push(Chunk::FinishStep);
    }
    chunks
}

fn call_chunks(part: &Value, tool_name: String, dynamic: bool, chunks: &mut Vec<Chunk>) {
    let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let tool_call_id = text("toolCallId");
    let call = || tool_call_id.clone();
    chunks.push(match part.get("rawInput") {
        None => Chunk::ToolInputAvailable {
            tool_call_id: call(),
            tool_name,
            input: part["input"].clone(),
            provider_metadata: beside::metadata_of(part).cloned(),
            dynamic,
        },
        // A call whose arguments were useless, or were cut off.
        Some(input) => Chunk::ToolInputError {
            tool_call_id: call(),
            tool_name,
            input: input.clone(),
            error_text: text("errorText"),
            provider_metadata: beside::metadata_of(part).cloned(),
            dynamic,
        },
    });
    if let Some(approval_id) = part["approval"]["id"].as_str() {
        chunks.push(Chunk::ToolApprovalRequest { approval_id: approval_id.to_owned(), tool_call_id: call() });
    }
    chunks.extend(output_chunk(part));
}

/// The chunk that ends a call, if it has ended.
fn output_chunk(part: &Value) -> Option<Chunk> {
    let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let (tool_call_id, dynamic) = (text("toolCallId"), part["type"] == "dynamic-tool");
    match &*text("state") {
        "output-available" => {
            Some(Chunk::ToolOutputAvailable { tool_call_id, output: part["output"].clone(), dynamic })
        }
        "output-error" => Some(Chunk::ToolOutputError { tool_call_id, error_text: text("errorText"), dynamic }),
        "output-denied" => Some(Chunk::ToolOutputDenied { tool_call_id }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::turn::fold::Fold;

    #[test]
    fn what_is_folded_from_a_replay_is_what_is_stored() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fold");
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let golden: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let mut stored = golden["closed"].as_array().unwrap().clone();
            let (before, new) = stored.split_at_mut(golden["before"].as_array().unwrap().len());
            let mut fold = Fold::with_parts(before.to_vec());
            chunks_of(new).iter().for_each(|chunk| fold.apply(chunk));
            // No chunk carries the reason of a denial.
            let approvals = new.iter_mut().filter_map(|part| part.get_mut("approval")?.as_object_mut());
            approvals.for_each(|approval| drop(approval.remove("reason")));
            assert_eq!(fold.into_parts(), stored, "{}", file.display());
        }
    }
}
