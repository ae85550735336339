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

/// A call that can run, with its input; or its input as it came, and what is wrong with it.
pub(super) type Checked = Result<(Value, Call), (Value, String)>;

/// Checks a call before anything of it runs.
pub(super) fn check(call: &ToolCall, tools: &[Tool], finish: Finish) -> Checked {
    let Ok(input) = serde_json::from_str(&call.arguments).map(clean_json) else {
        return Err((Value::String(call.arguments.clone()), format!("The arguments of {} are not JSON.", call.name)));
    };
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
pub(super) fn input_chunk(call: &ToolCall, checked: &Checked) -> Chunk {
    let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
    match checked {
        Ok((input, _)) => Chunk::ToolInputAvailable { tool_call_id, tool_name, input: input.clone() },
        Err((input, error_text)) => {
            Chunk::ToolInputError { tool_call_id, tool_name, input: input.clone(), error_text: error_text.clone() }
        }
    }
}
