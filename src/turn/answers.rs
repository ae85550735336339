//! What clients and people answer to the calls that a reply waits for.
//!
//! Rule: the stored call counts. What a client posts for its input, its tool or its ids counts for nothing, and all calls of a
//! message are answered together.

use serde_json::{Map, Value, json};

use super::chunk::clean_json;
use crate::{
    error::{Error, Result},
    store::{
        decisions::{CallView, Decider, Decision, REASON_CHARS_MAX},
        messages::{Message, NewMessage, Role, Status},
        tool_calls::CallStatus,
        turns::{HistoryView, Plan},
    },
};

/// Bytes of an output that a client gives.
pub const CLIENT_OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// A message with its calls ended, and the ids of the calls whose outputs are for no call of it.
type Completed = (Option<NewMessage>, Vec<String>);

/// What the model and the person read of a call that nobody answered.
const NOBODY_ANSWERED: &str = "Nobody answered: the conversation went on.";
/// The same of a client's own tool.
const NO_OUTPUT: &str = "Nobody answered this call.";
/// What they read of one that was allowed and had not run.
const NOT_RUN: &str = "The conversation went on before this call was made.";
/// What is added to why nobody knows how a call ended.
pub const MAY_HAVE_HAPPENED: &str = "It may have taken effect: check before you call it again.";

/// Answers to calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    pub approvals: Vec<Decision>,
    pub outputs: Vec<Output>,
}

/// What a client's own tool gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    pub call_id: String,
    /// An output, or why there is none.
    pub output: Result<Value, String>,
}

impl Answers {
    /// Those that a posted message brings.
    pub fn of_parts(parts: &[Value]) -> Self {
        let text = |part: &Value, key: &str| part.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut answers = Answers::default();
        for part in parts {
            let Some(call_id) = text(part, "toolCallId") else { continue };
            match part.get("state").and_then(Value::as_str) {
                Some("approval-responded") => answers.approvals.extend(decision_of(part)),
                Some("output-available") => {
                    let output = part.get("output").cloned().map(|output| Output { call_id, output: Ok(output) });
                    answers.outputs.extend(output);
                }
                Some("output-error") => {
                    let output = text(part, "errorText").map(|error| Output { call_id, output: Err(error) });
                    answers.outputs.extend(output);
                }
                _ => {}
            }
        }
        answers
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.approvals.is_empty() && self.outputs.is_empty()
    }
}

fn decision_of(part: &Value) -> Option<Decision> {
    let approval = part.get("approval")?;
    let reason = approval.get("reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
    Some(Decision {
        id: approval.get("id")?.as_str()?.to_owned(),
        approved: approval.get("approved")?.as_bool()?,
        reason: reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect()),
        remember: false,
    })
}

/// What the answers make of a stored message, as the plan of the turn that goes on with it; `None`: they are nothing new to it.
pub fn plan(stored: &Message, answers: &Answers, decider: &Decider, history: &HistoryView<'_>) -> Result<Option<Plan>> {
    let mut parts: Vec<Value> = serde_json::from_str(&stored.parts).map_err(Error::internal)?;
    let calls = history.calls(&stored.id)?;
    refuse_wrong(answers, &calls, decider)?;
    let (mut taken, mut pending, mut decisions) = (0, Vec::new(), Vec::new());
    for part in &mut parts {
        let Some(fields) = part.as_object_mut() else { continue };
        let row = row_of(fields, &calls);
        match (fields.get("state").and_then(Value::as_str), row) {
            (Some("approval-requested"), Some(row)) => match answer_approval(fields, row, answers) {
                Approval::Pending => pending.push((row.id.clone(), row.tool.clone())),
                Approval::Given(decision) => {
                    taken += 1;
                    decisions.extend(decision);
                }
            },
            (Some("input-available"), None) => match take_output(fields, answers)? {
                true => taken += 1,
                false => pending.push((text(fields, "toolCallId"), tool_name(fields))),
            },
            _ => {}
        }
    }
    if !pending.is_empty() {
        return Err(Error::Pending(pending));
    }
    if taken == 0 {
        return Ok(None);
    }
    let insert = vec![NewMessage { status: Status::Complete, ..again(stored, parts) }];
    Ok(Some(Plan { supersede_from: Some(stored.seq), insert, continues: Some(stored.id.clone()), decisions }))
}

/// What an answer does to a call that waits for a person.
enum Approval {
    Pending,
    /// With the decision that is new, if it is.
    Given(Option<Decision>),
}

fn answer_approval(call: &mut Map<String, Value>, row: &CallView, answers: &Answers) -> Approval {
    let answer = answers.approvals.iter().find(|answer| answer.id == row.id);
    match (row.status, answer) {
        (CallStatus::Waiting, None) => return Approval::Pending,
        (CallStatus::Waiting, Some(answer)) => {
            respond(call, answer.approved, answer.reason.as_deref());
            return Approval::Given(Some(answer.clone()));
        }
        (CallStatus::Approved, _) => respond(call, true, None),
        (CallStatus::Denied, _) => respond(call, false, row.reason.as_deref()),
        _ => deny(call, Some(NOBODY_ANSWERED)),
    }
    Approval::Given(None)
}

/// Refuses answers to calls that are not this message's, or were answered otherwise.
fn refuse_wrong(answers: &Answers, calls: &[CallView], decider: &Decider) -> Result<()> {
    for answer in &answers.approvals {
        let row = calls.iter().find(|row| row.id == answer.id).ok_or(Error::NotFound("approval"))?;
        if let Some(error) = row.refuse(answer.approved, decider) {
            return Err(error);
        }
    }
    Ok(())
}

/// The ids of a message's calls.
pub(super) fn call_ids(message: &Message) -> Result<Vec<String>> {
    super::fold::call_ids(Some(&message.parts))
}

/// The last message as it is once the conversation goes on with these outputs of its client's calls, and without those that it
/// still waits for.
pub(super) fn completed(last: &Message, outputs: Vec<Output>, calls: &[CallView]) -> Result<Completed> {
    let mut parts: Vec<Value> = serde_json::from_str(&last.parts).map_err(Error::internal)?;
    let ids = call_ids(last)?;
    let unknown = outputs.iter().filter(|output| !ids.contains(&output.call_id)).map(|output| output.call_id.clone());
    let unknown = unknown.collect();
    let (answers, mut is_changed) = (Answers { outputs, ..Answers::default() }, false);
    for call in parts.iter_mut().filter_map(Value::as_object_mut) {
        if call.get("state").is_some_and(|state| state == "input-available") && row_of(call, calls).is_none() {
            is_changed |= take_output(call, &answers)?;
        }
    }
    if !is_changed {
        return Ok((closed(last, calls)?, unknown));
    }
    let answered = again(last, parts);
    let answered = NewMessage { status: Status::Complete, ..answered };
    let so_far = Message { parts: answered.parts.clone(), status: Status::Complete, ..last.clone() };
    Ok((Some(closed(&so_far, calls)?.unwrap_or(answered)), unknown))
}

/// The last message as it is once the conversation goes on without answers to its calls; `None`: it waits for none.
pub fn closed(last: &Message, calls: &[CallView]) -> Result<Option<NewMessage>> {
    let mut parts: Vec<Value> = serde_json::from_str(&last.parts).map_err(Error::internal)?;
    let mut is_changed = false;
    for part in &mut parts {
        let Some(fields) = part.as_object_mut() else { continue };
        let row = row_of(fields, calls);
        match fields.get("state").and_then(Value::as_str) {
            // What a person said in the inbox counts, though the conversation goes on in another way.
            Some("approval-requested") => match row.map(|row| (row.status, &row.reason)) {
                Some((CallStatus::Denied, reason)) => deny(fields, reason.as_deref()),
                Some((CallStatus::Approved, _)) => {
                    answer_in(fields, true, None);
                    fail(fields, NOT_RUN);
                }
                _ => deny(fields, Some(NOBODY_ANSWERED)),
            },
            Some("approval-responded") if fields["approval"]["approved"] == false => deny(fields, None),
            // One that was allowed, and made, and that a crash left to be made again.
            Some("approval-responded") if row.is_some_and(|row| row.status == CallStatus::Called) => {
                fail(fields, &server_stopped());
            }
            Some("approval-responded") => fail(fields, NOT_RUN),
            Some("input-available") if row.is_some() => fail(fields, &server_stopped()),
            Some("input-available") if fields.contains_key("toolCallId") => fail(fields, NO_OUTPUT),
            _ => continue,
        }
        is_changed = true;
    }
    Ok(is_changed.then(|| NewMessage { status: last.status, ..again(last, parts) }))
}

/// What the model and the person read of a call that ran when the server went away.
pub fn server_stopped() -> String {
    format!("The server stopped while this call ran. {MAY_HAVE_HAPPENED}")
}

fn again(stored: &Message, parts: Vec<Value>) -> NewMessage {
    NewMessage {
        id: stored.id.clone(),
        role: Role::Assistant,
        status: stored.status,
        metadata: stored.metadata.clone(),
        content: super::fold::content(&parts),
        parts: Value::Array(parts).to_string(),
    }
}

/// The row of a call of ours; a client's own has none.
fn row_of<'a>(call: &Map<String, Value>, calls: &'a [CallView]) -> Option<&'a CallView> {
    let id = call.get("toolCallId")?.as_str()?;
    calls.iter().find(|row| row.call_id == id)
}

fn text(call: &Map<String, Value>, key: &str) -> String {
    call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn tool_name(call: &Map<String, Value>) -> String {
    let kind = text(call, "type");
    kind.strip_prefix("tool-").map_or_else(|| text(call, "toolName"), str::to_owned)
}

/// Gives a stored call the output that a client has for it; whether it has one.
fn take_output(call: &mut Map<String, Value>, answers: &Answers) -> Result<bool> {
    let id = text(call, "toolCallId");
    let Some(answer) = answers.outputs.iter().find(|answer| answer.call_id == id) else { return Ok(false) };
    match &answer.output {
        Ok(output) => {
            let output = clean_json(output.clone());
            if output.to_string().len() > CLIENT_OUTPUT_BYTES_MAX {
                let most = CLIENT_OUTPUT_BYTES_MAX / 1024;
                return Err(Error::invalid("toolOutputs", format!("an output must have at most {most} KiB")));
            }
            call.insert("state".into(), "output-available".into());
            call.insert("output".into(), output);
        }
        Err(error) => fail(call, error),
    }
    Ok(true)
}

fn respond(call: &mut Map<String, Value>, approved: bool, reason: Option<&str>) {
    call.insert("state".into(), "approval-responded".into());
    answer_in(call, approved, reason);
}

/// Says no, for the reason that is given, or was given before.
fn deny(call: &mut Map<String, Value>, reason: Option<&str>) {
    call.insert("state".into(), "output-denied".into());
    answer_in(call, false, reason);
}

fn fail(call: &mut Map<String, Value>, error: &str) {
    call.insert("state".into(), "output-error".into());
    call.insert("errorText".into(), error.into());
}

fn answer_in(call: &mut Map<String, Value>, approved: bool, reason: Option<&str>) {
    let approval = call.entry("approval").or_insert_with(|| json!({}));
    approval["approved"] = approved.into();
    if let Some(reason) = reason {
        approval["reason"] = reason.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{decisions, messages::Place},
        time::Timestamp,
    };

    #[test]
    fn an_allowed_call_says_whether_it_may_have_happened_once_the_conversation_goes_on() {
        let part = json!([{ "type": "dynamic-tool", "toolName": "buy", "toolCallId": "c", "state": "approval-responded",
            "input": {}, "approval": { "id": "a", "approved": true } }]);
        let last = Message {
            seq: 1,
            id: "m".to_owned(),
            role: Role::Assistant,
            status: Status::Interrupted,
            created_at: Timestamp::from_millis(0),
            metadata: "{}".to_owned(),
            content: String::new(),
            parts: part.to_string(),
            place: Place::default(),
        };
        for (status, said) in [(CallStatus::Approved, NOT_RUN), (CallStatus::Called, MAY_HAVE_HAPPENED)] {
            let row = CallView {
                id: "a".into(),
                call_id: "c".into(),
                tool: "buy".into(),
                status,
                needs_owner: false,
                asked_at: Timestamp::from_millis(0),
                decided_at: None,
                decided_by: None,
                decided_turn: None,
                reason: None,
            };
            let closed = closed(&last, &[row]).unwrap().unwrap();
            assert!(closed.parts.contains(said), "{status:?}: {}", closed.parts);
        }
    }

    #[test]
    fn a_posted_reason_is_kept_up_to_its_bound() {
        for chars in [decisions::REASON_CHARS_MAX - 1, decisions::REASON_CHARS_MAX, decisions::REASON_CHARS_MAX + 1] {
            let part = json!({"toolCallId": "c", "state": "approval-responded",
                "approval": {"id": "a", "approved": false, "reason": "x".repeat(chars), "odd": 1}});
            let answers = Answers::of_parts(&[part]);
            assert_eq!(answers.approvals[0].reason.as_ref().unwrap().len(), chars.min(decisions::REASON_CHARS_MAX));
        }
    }

    #[test]
    fn a_clients_output_is_taken_up_to_its_bound() {
        for bytes in [CLIENT_OUTPUT_BYTES_MAX - 1, CLIENT_OUTPUT_BYTES_MAX, CLIENT_OUTPUT_BYTES_MAX + 1] {
            let mut call = json!({"toolCallId": "c", "state": "input-available"}).as_object().unwrap().clone();
            let output = Output { call_id: "c".into(), output: Ok("x".repeat(bytes - 2).into()) };
            let answers = Answers { outputs: vec![output], ..Answers::default() };
            assert_eq!(take_output(&mut call, &answers).is_ok(), bytes <= CLIENT_OUTPUT_BYTES_MAX, "{bytes}");
        }
    }
}
