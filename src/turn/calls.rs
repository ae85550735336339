//! A model's calls, checked before any of them runs.
//!
//! Rule: what a model wrote is foreign text. A call runs only if its arguments are JSON, its tool exists and takes them,
//! and the reply that holds it came to its own end.

use serde_json::Value;

use super::{
    chunk::{Chunk, clean_json},
    tools::{Call, Tool},
};
use crate::model::{Finish, ToolCall};

/// How deep arguments may nest: a message holds them a few levels deeper, and JSON of more than 128 is not read back.
const DEPTH_MAX: usize = 64;

/// A call that can run, with its input; or its input as it came, and what is wrong with it.
pub type Checked = Result<(Value, Call), (Value, String)>;

/// Checks a call before anything of it runs.
pub fn check(call: &ToolCall, tools: &[Tool], finish: Finish) -> Checked {
    let Ok(input) = serde_json::from_str(&call.arguments).map(clean_json) else {
        return Err((Value::String(call.arguments.clone()), format!("The arguments of {} are not JSON.", call.name)));
    };
    if !is_within(DEPTH_MAX, &input) {
        let sentence = format!("The arguments of {} are nested more than {DEPTH_MAX} deep.", call.name);
        return Err((Value::String(call.arguments.clone()), sentence));
    }
    if !finish.allows_calls() {
        return Err((input, "The reply was cut off before this call was whole, so it was not run.".into()));
    }
    let Some(tool) = tools.iter().find(|tool| tool.name() == call.name) else {
        return Err((input, format!("There is no tool called {}.", call.name)));
    };
    match tool.call(&input) {
        Ok(ready) => Ok((input, ready)),
        Err(sentence) => Err((input, sentence)),
    }
}

/// How a client is told of a call's arguments.
pub fn input_chunk(call: &ToolCall, checked: &Checked) -> Chunk {
    let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
    match checked {
        Ok((input, _)) => Chunk::ToolInputAvailable { tool_call_id, tool_name, input: input.clone() },
        Err((input, error_text)) => {
            Chunk::ToolInputError { tool_call_id, tool_name, input: input.clone(), error_text: error_text.clone() }
        }
    }
}

fn is_within(depth: usize, value: &Value) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_within(depth - 1, item)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| is_within(depth - 1, field)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_nested_too_deep_to_be_read_back_are_kept_as_text() {
        for (depth, is_text) in [(DEPTH_MAX, false), (DEPTH_MAX + 1, true), (127, true)] {
            let arguments = "[".repeat(depth) + &"]".repeat(depth);
            let call = ToolCall { id: "c".into(), name: "none".into(), arguments };
            let (input, sentence) = check(&call, &[], Finish::ToolCalls).expect_err("there is no such tool");
            assert_eq!((input.is_string(), sentence.contains("nested")), (is_text, is_text), "{depth}");
        }
    }
}
