//! Parts that clients bring: what a stored message may hold, so that the AI SDK's `validateUIMessages` takes it back.
//!
//! Rule: a part of an unknown type is dropped; a malformed part of a known type is refused by its path.

use serde_json::{Map, Value};

use super::chunk::clean_json;
use crate::{
    error::{Error, Result},
    store::messages::Role,
};

/// Parts of one message.
const PARTS_MAX: usize = 1_000;

/// One text part.
pub fn of_text(text: &str) -> Vec<Value> {
    vec![serde_json::json!({ "type": "text", "text": text })]
}

/// The parts of a client's message that can be stored; `field` is their path in the body.
pub fn accept(parts: Vec<Value>, role: Role, field: &str) -> Result<Vec<Value>> {
    if parts.len() > PARTS_MAX {
        return Err(Error::invalid(field, format!("must hold at most {PARTS_MAX} parts")));
    }
    let mut accepted = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let wrong = |what: &str| Error::invalid(format!("{field}[{at}]"), what);
        let Value::Object(fields) = &part else { return Err(wrong("must be an object")) };
        match check(fields) {
            Ok(true) => accepted.push(clean_json(part)),
            Ok(false) => {}
            Err(what) => return Err(wrong(&what)),
        }
    }
    // A user's message without parts would make the whole history invalid for the SDK.
    if accepted.is_empty() && role != Role::Assistant {
        return Err(Error::invalid(
            field,
            "must hold at least one part, such as {\"type\": \"text\", \"text\": \"…\"}",
        ));
    }
    Ok(accepted)
}

/// Whether a part is of a known type and, if so, well formed.
fn check(part: &Map<String, Value>) -> Result<bool, String> {
    let kind = part.get("type").and_then(Value::as_str).ok_or("needs a type")?;
    let texts: &[&str] = match kind {
        "text" | "reasoning" => &["text"],
        "source-url" => &["sourceId", "url"],
        "source-document" => &["sourceId", "mediaType", "title"],
        "file" => &["mediaType", "url"],
        "step-start" => &[],
        "dynamic-tool" => &["toolName", "toolCallId"],
        _ if kind.starts_with("tool-") => &["toolCallId"],
        _ if kind.starts_with("data-") => return part.contains_key("data").then_some(true).ok_or("needs data".into()),
        _ => return Ok(false),
    };
    if let Some(missing) = texts.iter().find(|name| !part.get(**name).is_some_and(Value::is_string)) {
        return Err(format!("a part of type {kind} needs {missing}, a string"));
    }
    let optional = ["title", "filename", "state", "errorText", "id"];
    if let Some(odd) = optional.iter().find(|name| part.get(**name).is_some_and(|value| !value.is_string())) {
        return Err(format!("{odd} must be a string, or absent"));
    }
    match kind {
        "text" | "reasoning" => match part.get("state").and_then(Value::as_str) {
            None | Some("streaming" | "done") => Ok(true),
            Some(_) => Err("state must be streaming or done".into()),
        },
        _ if part.contains_key("toolCallId") => check_call(part).map(|()| true),
        _ => Ok(true),
    }
}

/// A tool part has exactly what its state allows.
fn check_call(part: &Map<String, Value>) -> Result<(), String> {
    let state = part.get("state").and_then(Value::as_str).ok_or("a tool part needs a state")?;
    let (needs, refuses): (&[&str], &[&str]) = match state {
        "input-streaming" => (&[], &["output", "errorText", "approval"]),
        "input-available" => (&["input"], &["output", "errorText", "approval"]),
        "approval-requested" | "approval-responded" => (&["input", "approval"], &["output", "errorText"]),
        "output-available" => (&["input", "output"], &["errorText"]),
        "output-error" => (&["errorText"], &["output"]),
        "output-denied" => (&["input", "approval"], &["output", "errorText"]),
        _ => return Err(format!("{state} is not a state of a tool part")),
    };
    // Input that is no use to its tool is kept as it came, and it may have come as JSON.
    if state == "input-streaming" && part.get("rawInput").is_some_and(|raw| !raw.is_string()) {
        return Err("rawInput must be a string while it comes in, or absent".into());
    }
    if let Some(missing) = needs.iter().find(|name| !part.contains_key(**name)) {
        return Err(format!("a tool part in state {state} needs {missing}"));
    }
    if let Some(odd) = refuses.iter().find(|name| part.contains_key(**name)) {
        return Err(format!("a tool part in state {state} must not have {odd}"));
    }
    check_approval(state, part.get("approval"))
}

fn check_approval(state: &str, approval: Option<&Value>) -> Result<(), String> {
    let Some(approval) = approval else { return Ok(()) };
    let approved = approval.get("approved").and_then(Value::as_bool);
    let fits = match state {
        "approval-requested" => approval.get("approved").is_none(),
        "approval-responded" => approved.is_some(),
        "output-denied" => approved == Some(false),
        _ => approved == Some(true),
    };
    match fits && approval.get("id").is_some_and(Value::is_string) {
        true => Ok(()),
        false => Err(format!("approval does not fit the state {state}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_unknown_types_are_passed_over_and_malformed_ones_refused() {
        let parts = vec![json!({"type": "hologram", "x": 1}), json!({"type": "text", "text": "hi", "extra": true})];
        assert_eq!(accept(parts, Role::User, "parts").unwrap().len(), 1);
        accept(vec![json!({"type": "hologram"})], Role::User, "parts").unwrap_err();
        accept(vec![], Role::Assistant, "parts").unwrap();
        for bad in [
            json!("text"),
            json!({"text": "x"}),
            json!({"type": "text"}),
            json!({"type": "text", "text": "x", "state": "open"}),
            json!({"type": "file", "url": "data:,x"}),
            json!({"type": "file", "url": "data:,x", "mediaType": "text/plain", "filename": null}),
            json!({"type": "data-x"}),
            json!({"type": "tool-x", "toolCallId": "c", "state": "done", "input": {}}),
            json!({"type": "tool-x", "toolCallId": "c", "state": "input-streaming", "rawInput": {}}),
            json!({"type": "tool-x", "toolCallId": "c", "state": "output-available", "input": {}}),
            json!({"type": "tool-x", "toolCallId": "c", "state": "output-error", "errorText": "e", "output": 1}),
            json!({"type": "tool-x", "toolCallId": "c", "state": "output-denied", "input": {}, "approval": {"id": "a"}}),
        ] {
            assert!(accept(vec![bad.clone()], Role::Assistant, "parts").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_with_useless_json_is_taken_back_as_it_was_stored() {
        let call =
            json!({"type": "tool-x", "toolCallId": "c", "state": "output-error", "rawInput": {}, "errorText": "e"});
        assert_eq!(accept(vec![call.clone()], Role::Assistant, "parts").unwrap(), [call]);
    }

    #[test]
    fn tool_parts_are_taken_in_all_seven_states() {
        let call = |state: &str, more: Value| {
            let mut part = json!({"type": "tool-x", "toolCallId": "c", "state": state, "input": {}});
            part.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            part
        };
        let parts = vec![
            call("input-streaming", json!({})),
            call("input-available", json!({})),
            call("approval-requested", json!({"approval": {"id": "a"}})),
            call("approval-responded", json!({"approval": {"id": "a", "approved": true}})),
            call("output-available", json!({"output": null})),
            call("output-error", json!({"errorText": "e"})),
            call("output-denied", json!({"approval": {"id": "a", "approved": false, "reason": "no"}})),
        ];
        assert_eq!(accept(parts, Role::Assistant, "parts").unwrap().len(), 7);
    }

    #[test]
    fn a_message_may_hold_as_many_parts_as_the_bound_and_not_one_more() {
        for (count, fits) in [(PARTS_MAX - 1, true), (PARTS_MAX, true), (PARTS_MAX + 1, false)] {
            let parts = vec![json!({"type": "text", "text": "x"}); count];
            assert_eq!(accept(parts, Role::User, "parts").is_ok(), fits, "{count}");
        }
    }
}
