//! Chunks → parts of a stored message: what the AI SDK's client does with a stream, done here on what we sent.
//!
//! Rule: the folded parts are those the client holds after the same chunks (`process-ui-message-stream` of the SDK), so a
//! reload shows what was shown. The final message, the recovery after a crash and the replay of a finished turn all come from here.
//! A chunk at which the SDK would throw is ignored: a journal has no one to complain to.
//! Deliberately absent: metadata and ids of the message, which the turn knows anyway; the guess at half-written tool
//! arguments, since a stored call is whole or an error.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::chunk::Chunk;
use crate::{
    error::{Error, Result},
    store::turns::Outcome,
};

/// A message in the making.
///
/// Text is appended in place, so a long reply costs time in proportion to its length.
#[derive(Debug, Default)]
pub struct Fold {
    parts: Vec<Value>,
    /// Where the open text parts of this step are, by chunk id.
    texts: HashMap<String, usize>,
    /// The same for reasoning. The SDK keeps the two apart, so one id may name both.
    reasonings: HashMap<String, usize>,
    /// Calls that an interrupted turn leaves open, since they are made again.
    kept: HashSet<String>,
}

/// Why a call of a turn that ended so has no output; `None`: such a turn leaves nothing open.
fn no_output(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Complete => None,
        Outcome::Stopped => Some("The reply was stopped before this call had a result."),
        Outcome::Interrupted => Some("The server was stopped before this call had a result."),
        Outcome::Failed => Some("The reply failed before this call had a result."),
    }
}

impl Fold {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// A continued message: its parts so far.
    pub fn with_parts(parts: Vec<Value>) -> Self {
        Self { parts, ..Self::default() }
    }

    /// The message after one more chunk.
    pub fn apply(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::StartStep => self.parts.push(json!({"type": "step-start"})),
            // What a step left open stays open for ever, as it does in the SDK; `close` ends it.
            Chunk::FinishStep => self.forget_open(),
            Chunk::TextStart { id } => {
                self.texts.insert(id.clone(), self.parts.len());
                self.parts.push(json!({"type": "text", "text": "", "state": "streaming"}));
            }
            Chunk::TextDelta { id, delta } => append(&mut self.parts, self.texts.get(id), delta),
            Chunk::TextEnd { id } => end(&mut self.parts, self.texts.remove(id)),
            Chunk::ReasoningStart { id } => {
                self.reasonings.insert(id.clone(), self.parts.len());
                self.parts.push(json!({"type": "reasoning", "id": id, "text": "", "state": "streaming"}));
            }
            Chunk::ReasoningDelta { id, delta } => append(&mut self.parts, self.reasonings.get(id), delta),
            Chunk::ReasoningEnd { id } => end(&mut self.parts, self.reasonings.remove(id)),
            Chunk::SourceUrl { source_id, url, title } => {
                let mut part = json!({"type": "source-url", "sourceId": source_id, "url": url});
                if let Some(title) = title {
                    part["title"] = json!(title);
                }
                self.parts.push(part);
            }
            Chunk::File { url, media_type } => {
                self.parts.push(json!({"type": "file", "mediaType": media_type, "url": url}));
            }
            // Streamed only; the stored message has a status for it.
            Chunk::DataModel { .. } | Chunk::DataError { .. } | Chunk::Error { .. } | Chunk::Abort => {}
            // They carry ids and metadata only.
            Chunk::Start { .. } | Chunk::Finish { .. } => {}
            _ => self.apply_to_call(chunk),
        }
    }

    fn apply_to_call(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::ToolInputStart { tool_call_id, tool_name, dynamic } => {
                enter(self.begun_call(tool_call_id, tool_name, *dynamic), "input-streaming", &[]);
            }
            Chunk::ToolInputDelta { tool_call_id, input_text_delta } => {
                let Some(call) = self.call_of_this_step(tool_call_id) else { return };
                if call.get("state").is_none_or(|state| state != "input-streaming") {
                    return;
                }
                match call.entry("rawInput").or_insert_with(|| json!("")) {
                    Value::String(text) => text.push_str(input_text_delta),
                    other => *other = json!(input_text_delta),
                }
            }
            Chunk::ToolInputAvailable { tool_call_id, tool_name, input, provider_metadata, dynamic } => {
                let call = self.begun_call(tool_call_id, tool_name, *dynamic);
                enter(call, "input-available", &[]);
                call.insert("input".into(), input.clone());
                if let Some(metadata) = provider_metadata {
                    call.insert("callProviderMetadata".into(), metadata.clone());
                }
            }
            Chunk::ToolInputError { tool_call_id, tool_name, input, error_text, provider_metadata, dynamic } => {
                let call = self.begun_call(tool_call_id, tool_name, *dynamic);
                enter(call, "output-error", &[]);
                call.insert(if is_dynamic(call) { "input" } else { "rawInput" }.into(), input.clone());
                end_in_error(call, error_text);
                if let Some(metadata) = provider_metadata {
                    call.insert("resultProviderMetadata".into(), metadata.clone());
                }
            }
            Chunk::ToolApprovalRequest { approval_id, tool_call_id } => {
                let Some(call) = self.call(tool_call_id) else { return };
                call.insert("state".into(), json!("approval-requested"));
                call.insert("approval".into(), json!({"id": approval_id}));
            }
            Chunk::ToolOutputAvailable { tool_call_id, output, .. } => {
                let Some(call) = self.call(tool_call_id) else { return };
                enter(call, "output-available", &["input"]);
                call.insert("output".into(), output.clone());
                answer_approval(call, true, None);
            }
            Chunk::ToolOutputError { tool_call_id, error_text, .. } => {
                let Some(call) = self.call(tool_call_id) else { return };
                fail(call, error_text);
            }
            Chunk::ToolOutputDenied { tool_call_id } => {
                let Some(call) = self.call(tool_call_id) else { return };
                deny(call, None);
            }
            _ => {}
        }
    }

    /// Lets an interrupted turn leave these calls open.
    pub fn keep_open(&mut self, call_ids: impl IntoIterator<Item = String>) {
        self.kept.extend(call_ids);
    }

    /// Whether words or thoughts have begun and not ended.
    pub fn is_open(&self) -> bool {
        !(self.texts.is_empty() && self.reasonings.is_empty())
    }

    /// The parts as they are.
    pub fn parts(&self) -> &[Value] {
        &self.parts
    }

    /// Leaves nothing dangling in a turn that ended before its chunks did: open text is done, a call without a result is an
    /// error, empty parts are gone. A call that waits for a person waits on, and one that was allowed runs once an interrupted
    /// turn is resumed. No parts at all remain if nothing was said or done. A complete turn stays as its chunks made it.
    pub fn close(&mut self, outcome: Outcome) {
        let Some(why) = no_output(outcome) else { return };
        self.forget_open();
        let kept = std::mem::take(&mut self.kept);
        self.parts.retain_mut(|part| match part.as_object_mut() {
            Some(part) => close_part(part, why, |call| is_kept(call, outcome, &kept)),
            None => false,
        });
        if self.parts.iter().all(|part| part["type"] == "step-start") {
            self.parts.clear();
        }
    }

    /// The parts, as they are stored.
    pub fn into_parts(self) -> Vec<Value> {
        self.parts
    }

    fn forget_open(&mut self) {
        self.texts.clear();
        self.reasonings.clear();
    }

    /// The call of this id in the step that runs; a new one if there is none. Its tool is `name` from now on.
    fn begun_call(&mut self, id: &str, name: &str, dynamic: bool) -> &mut Map<String, Value> {
        let at = self.position_in_this_step(id).unwrap_or_else(|| {
            let kind = if dynamic { "dynamic-tool" } else { "" };
            self.parts.push(json!({"type": kind, "toolCallId": id, "state": ""}));
            self.parts.len() - 1
        });
        let call = self.parts[at].as_object_mut().expect("a call was found or made as an object");
        if is_dynamic(call) {
            call.insert("toolName".into(), json!(name));
        } else {
            call.insert("type".into(), json!(format!("tool-{name}")));
        }
        call
    }

    fn call_of_this_step(&mut self, id: &str) -> Option<&mut Map<String, Value>> {
        let at = self.position_in_this_step(id)?;
        self.parts[at].as_object_mut()
    }

    /// The call of this id in the step that runs, else the newest one: a continuation has outputs for calls of an earlier step.
    fn call(&mut self, id: &str) -> Option<&mut Map<String, Value>> {
        let at = match self.position_in_this_step(id) {
            Some(at) => at,
            None => self.parts.iter().rposition(|part| is_call(part, id))?,
        };
        self.parts[at].as_object_mut()
    }

    fn position_in_this_step(&self, id: &str) -> Option<usize> {
        let from = self.parts.iter().rposition(|part| part["type"] == "step-start").map_or(0, |at| at + 1);
        self.parts[from..].iter().position(|part| is_call(part, id)).map(|at| from + at)
    }
}

/// The text of a message: its text parts, joined.
pub fn content(parts: &[Value]) -> String {
    texts(parts).collect()
}

/// How long that text is, without building it.
pub fn content_bytes(parts: &[Value]) -> usize {
    texts(parts).map(str::len).sum()
}

/// The texts of a message's text parts.
pub fn texts(parts: &[Value]) -> impl Iterator<Item = &str> {
    let texts = parts.iter().filter(|part| part["type"] == "text");
    texts.filter_map(|part| part["text"].as_str())
}

/// Parts as they are stored, read; none if there are none.
pub fn stored_parts(json: Option<&str>) -> Result<Vec<Value>> {
    json.map_or(Ok(Vec::new()), |json| serde_json::from_str(json).map_err(Error::internal))
}

/// The ids of the tool calls in stored parts.
pub fn call_ids(json: Option<&str>) -> Result<Vec<String>> {
    let parts = stored_parts(json)?;
    Ok(parts.iter().filter_map(|part| part["toolCallId"].as_str().map(str::to_owned)).collect())
}

/// The chunks in a journal's bytes. Comments, `[DONE]` and what a crash tore off at the end are passed over.
pub fn parse(frames: &[u8]) -> impl Iterator<Item = Chunk> + '_ {
    // JSON text holds no line break, so every frame that is whole ends in one.
    frames.split_inclusive(|byte| *byte == b'\n').filter_map(|line| {
        let json = line.strip_prefix(b"data: ")?.strip_suffix(b"\n")?;
        serde_json::from_slice(json).ok()
    })
}

fn append(parts: &mut [Value], at: Option<&usize>, delta: &str) {
    if let Some(Value::String(text)) = at.map(|at| &mut parts[*at]["text"]) {
        text.push_str(delta);
    }
}

fn end(parts: &mut [Value], at: Option<usize>) {
    if let Some(at) = at {
        parts[at]["state"] = json!("done");
    }
}

fn is_call(part: &Value, id: &str) -> bool {
    part["toolCallId"] == id && part["type"].as_str().is_some_and(is_call_type)
}

fn is_call_type(kind: &str) -> bool {
    kind.starts_with("tool-") || kind == "dynamic-tool"
}

/// Whether its tool is one that a client does not know.
fn is_dynamic(call: &Map<String, Value>) -> bool {
    call.get("type").is_some_and(|kind| kind == "dynamic-tool")
}

/// Puts a call into `state`. Of what the former state said, only `keep` remains: validation refuses leftovers.
fn enter(call: &mut Map<String, Value>, state: &str, keep: &[&str]) {
    const OF_A_STATE: [&str; 6] = ["input", "rawInput", "inputEncoding", "output", "errorText", "preliminary"];
    call.retain(|key, _| !OF_A_STATE.contains(&key.as_str()) || keep.contains(&key.as_str()));
    call.insert("state".into(), json!(state));
}

fn fail(call: &mut Map<String, Value>, error_text: &str) {
    let keep: &[&str] = if is_dynamic(call) { &["input"] } else { &["input", "rawInput"] };
    enter(call, "output-error", keep);
    end_in_error(call, error_text);
    answer_approval(call, true, None);
}

/// A call without a usable input keeps a null for it: with a zod of today the oldest SDKs refuse a part that lacks the key.
fn end_in_error(call: &mut Map<String, Value>, error_text: &str) {
    call.entry("input").or_insert(Value::Null);
    call.insert("errorText".into(), json!(error_text));
}

fn deny(call: &mut Map<String, Value>, reason: Option<&str>) {
    enter(call, "output-denied", &["input"]);
    answer_approval(call, false, reason);
}

/// An approval's answer may not have come through this message: what ran was allowed, what was denied was not.
fn answer_approval(call: &mut Map<String, Value>, approved: bool, reason: Option<&str>) {
    let Some(Value::Object(approval)) = call.get_mut("approval") else { return };
    approval.insert("approved".into(), json!(approved));
    if let Some(reason) = reason {
        approval.insert("reason".into(), json!(reason));
    }
}

/// Whether a turn that ended so leaves a call as it is: a person's answer is waited for, and outlives the process.
fn is_kept(call: &Map<String, Value>, outcome: Outcome, kept: &HashSet<String>) -> bool {
    let is_named = || call.get("toolCallId").and_then(Value::as_str).is_some_and(|id| kept.contains(id));
    match state(call) {
        "approval-requested" => true,
        "approval-responded" => outcome == Outcome::Interrupted && was_approved(call),
        "input-available" => outcome == Outcome::Interrupted && is_named(),
        _ => false,
    }
}

fn was_approved(call: &Map<String, Value>) -> bool {
    call.get("approval").is_some_and(|approval| approval["approved"] == true)
}

/// Closes one part; says whether anything of it is worth keeping.
fn close_part(part: &mut Map<String, Value>, why: &str, is_kept: impl Fn(&Map<String, Value>) -> bool) -> bool {
    let field = |key| part.get(key).and_then(Value::as_str).unwrap_or_default();
    match (field("type"), field("state")) {
        ("text" | "reasoning", state) => {
            let (is_open, is_empty) = (state == "streaming", field("text").is_empty());
            if is_open {
                part.insert("state".into(), json!("done"));
            }
            !is_empty
        }
        ("tool-", _) => false,
        // Nothing is known of such a call but that it began.
        (kind, "input-streaming") if is_call_type(kind) && field("rawInput").is_empty() => false,
        (kind, _) if is_call_type(kind) => {
            match is_kept(part) {
                true => tidy_call(part),
                false => close_call(part, why),
            }
            true
        }
        _ => true,
    }
}

/// A call that stays open, without what its state does not have.
fn tidy_call(call: &mut Map<String, Value>) {
    let state = state(call).to_owned();
    enter(call, &state, &["input"]);
    call.entry("input").or_insert(Value::Null);
}

fn close_call(call: &mut Map<String, Value>, why: &str) {
    match state(call) {
        "approval-responded" if !was_approved(call) => deny(call, None),
        "input-streaming" | "input-available" | "approval-responded" => {
            enter(call, "output-error", &["input", "rawInput"]);
            call.insert("errorText".into(), json!(why));
        }
        _ => {}
    }
    complete(call);
}

/// What a call's last state needs, where its chunks came in an order that left it out.
fn complete(call: &mut Map<String, Value>) {
    let was_denied = state(call) == "output-denied";
    if was_denied {
        let id = call["toolCallId"].clone();
        call.entry("approval").or_insert_with(|| json!({"id": id}));
    }
    call.entry("input").or_insert(Value::Null);
    answer_approval(call, !was_denied, None);
}

fn state(call: &Map<String, Value>) -> &str {
    call.get("state").and_then(Value::as_str).unwrap_or_default()
}
