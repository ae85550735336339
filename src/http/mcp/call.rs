//! A call of a tool: its arguments checked, the tool run, its result as the protocol has it.
//!
//! Rule: what the client's model can mend (arguments, a wait, another agent) is the tool's failure, not the protocol's.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    ask::AskAgent,
    message::{Fault, INVALID_PARAMS},
    read::{ListAgents, ReadSession, SearchHistory},
    stream::Notes,
    tools::Tool,
};
use crate::{
    error::{Error, Result},
    http::auth::{Caller, Program},
};

/// A call.
#[derive(Debug)]
pub struct Call {
    pub tool: Tool,
    arguments: Value,
    /// Names the call in news of how far it is, if any are wanted.
    progress: Option<Value>,
}

impl Call {
    /// The call that a request's parameters hold.
    pub fn of(mut params: Map<String, Value>, program: Program) -> Result<Self, Fault> {
        let Some(Value::String(name)) = params.remove("name") else {
            return Err(Fault::new(INVALID_PARAMS, "params.name: must be a string"));
        };
        let tool = Tool::of(program).find(|tool| tool.name() == name);
        let tool = tool.ok_or_else(|| Fault::new(INVALID_PARAMS, format!("unknown tool: {name}")))?;
        let arguments = match params.remove("arguments") {
            None | Some(Value::Null) => json!({}),
            Some(arguments @ Value::Object(_)) => arguments,
            Some(_) => return Err(Fault::new(INVALID_PARAMS, "params.arguments: must be an object")),
        };
        let token = params.get("_meta").and_then(|meta| meta.get("progressToken"));
        let progress = token.filter(|token| token.is_string() || token.is_number()).cloned();
        Ok(Call { tool, arguments, progress })
    }

    /// Runs it; the result of `tools/call`.
    pub async fn run(self, caller: &Caller<Program>, notes: Option<Notes>) -> Value {
        let Call { tool, arguments, progress } = self;
        let told = match tool {
            Tool::ListAgents => decoded::<ListAgents>(arguments).and_then(|asked| asked.run(caller)),
            Tool::SearchHistory => match decoded::<SearchHistory>(arguments) {
                Ok(asked) => asked.run(caller).await,
                Err(error) => Err(error),
            },
            Tool::ReadSession => match decoded::<ReadSession>(arguments) {
                Ok(asked) => asked.run(caller).await,
                Err(error) => Err(error),
            },
            Tool::AskAgent => match decoded::<AskAgent>(arguments) {
                Ok(asked) => {
                    let note = |session: &str, chars| {
                        if let (Some(notes), Some(token)) = (&notes, &progress) {
                            notes.progress(token, session, chars);
                        }
                    };
                    asked.run(caller, note).await
                }
                Err(error) => Err(error),
            },
        };
        result(told)
    }
}

fn decoded<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    serde_json::from_value(arguments).map_err(|error| Error::BadRequest(format!("the arguments are wrong: {error}")))
}

/// What a tool told, once for programs and once as text, as the protocol advises; or its failure.
fn result(told: Result<Value>) -> Value {
    match told {
        Ok(value) => json!({
            "content": [{ "type": "text", "text": value.to_string() }], "structuredContent": value, "isError": false,
        }),
        Err(error) => json!({ "content": [{ "type": "text", "text": sentence(&error) }], "isError": true }),
    }
}

/// What the client's model reads of a failure. A cause of ours is for the log.
fn sentence(error: &Error) -> String {
    match error {
        Error::TooManyRequests { retry_after } => {
            format!("{error} ({} s)", retry_after.as_millis().div_ceil(1_000).max(1))
        }
        Error::Failed { .. } | Error::Internal(_) => {
            tracing::error!(cause = %error, "internal error");
            error.public_text()
        }
        _ => error.public_text(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALL: Program = Program { reads: true, chats: true };

    fn call(params: Value, program: Program) -> Result<Call, i64> {
        Call::of(params.as_object().unwrap().clone(), program).map_err(|fault| fault.code)
    }

    #[test]
    fn a_call_names_a_tool_that_its_key_sees() {
        let listed = call(json!({ "name": "list_agents" }), ALL).unwrap();
        assert_eq!((listed.tool, listed.arguments, listed.progress), (Tool::ListAgents, json!({}), None));
        let asked = json!({ "name": "ask_agent", "arguments": {}, "_meta": { "progressToken": 3 } });
        assert_eq!(call(asked.clone(), ALL).unwrap().progress, Some(3.into()));
        assert_eq!(call(asked, Program { reads: true, chats: false }).unwrap_err(), INVALID_PARAMS);
        for wrong in [json!({}), json!({ "name": 1 }), json!({ "name": "fly" })] {
            assert_eq!(call(wrong, ALL).unwrap_err(), INVALID_PARAMS);
        }
        assert_eq!(call(json!({ "name": "list_agents", "arguments": [] }), ALL).unwrap_err(), INVALID_PARAMS);
    }

    #[test]
    fn a_failure_is_a_sentence_and_a_cause_of_ours_is_none() {
        let shown = result(Err(Error::TooManyRequests { retry_after: Duration::from_millis(1_001) }));
        assert_eq!(shown["content"][0]["text"], "too many requests: wait, then try again (2 s)");
        assert_eq!(shown["isError"], true);
        assert!(!result(Err(Error::internal("hunter2"))).to_string().contains("hunter2"));
        let wrong = decoded::<AskAgent>(json!({ "agent": "ala", "message": "hi", "model": "x" })).unwrap_err();
        assert!(wrong.to_string().contains("model"), "{wrong}");
    }
}
