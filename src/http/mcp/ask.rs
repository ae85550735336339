//! `ask_agent`: a question of another program's, and the whole answer.
//!
//! Rule: the turn is the server's, as every turn: a client that leaves ends nothing. What `/chat` refuses is told as the tool's failure.

use serde::Deserialize;
use serde_json::{Value, json};

use super::read::shortened;
use crate::{
    error::{Error, Result},
    http::auth::{Caller, Program},
    key::Env,
    store::{
        messages::Role,
        sessions,
        tool_calls::{CallFilter, CallStatus, ToolCall},
    },
    turn::{
        ask::{Ask, Asker, By, Posted, SessionRef},
        parts,
        whole::Whole,
    },
};

/// Bytes that are shown of an answer; it is stored whole.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Calls that are shown of those that wait: one step has no more.
const WAITING_SHOWN: usize = 32;

/// A question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AskAgent {
    agent: String,
    message: String,
    session_id: Option<String>,
}

impl AskAgent {
    /// Asks, and waits for the end of the answer. `told` hears how far it is: the session, and how many characters there are.
    pub async fn run(self, caller: &Caller<Program>, mut told: impl FnMut(&str, usize) + Send) -> Result<Value> {
        if self.message.trim().is_empty() {
            return Err(Error::invalid("message", "must not be empty"));
        }
        caller.app.chat_rate.count(&caller.tenant.user_id)?;
        caller.app.refuse_while_draining()?;
        let started = caller.app.engine.begin(self.into_ask(caller)).await?;
        let session_id = started.session_id;
        told(&session_id, 0);
        let (store, tenant) = (&caller.app.store, &caller.tenant);
        let told = |chars| told(&session_id, chars);
        let whole = Whole::of(store, tenant, session_id.clone(), started.turn, told).await?;
        let waiting = waiting(caller, session_id)?;
        answer(whole, waiting)
    }

    fn into_ask(self, caller: &Caller<Program>) -> Ask {
        let asker = Asker {
            tenant: caller.tenant.clone(),
            test: caller.env == Env::Test,
            key_id: caller.key_id.clone(),
            request_id: caller.request_id.as_str().to_owned(),
            route: caller.route,
            claim: None,
            by: By::Mcp,
            decider: caller.decider(),
        };
        let message = Posted { id: None, role: Role::User, parts: parts::of_text(&self.message) };
        Ask {
            session: self.session_id.map_or(SessionRef::New, SessionRef::Existing),
            agent: Some(self.agent),
            messages: vec![message],
            ..Ask::new(asker)
        }
    }
}

/// The calls of a session that a person is to allow.
fn waiting(caller: &Caller<Program>, session_id: String) -> Result<Vec<ToolCall>> {
    let filter =
        CallFilter { session_id: Some(session_id), status: Some(CallStatus::Waiting), ..CallFilter::default() };
    let mut calls = caller.org().tool_calls(&filter, WAITING_SHOWN, None)?.items;
    // As they were asked.
    calls.reverse();
    Ok(calls)
}

/// What the client is told of it; a reply that failed is a failure, and says where its beginning is.
fn answer(whole: Whole, waiting: Vec<ToolCall>) -> Result<Value> {
    if let Some(error) = whole.error {
        let kept = whole.message_id.map(|_| format!("; what was said before is in the session {}", whole.session_id));
        return Err(Error::ModelUnavailable(error + &kept.unwrap_or_default()));
    }
    let of = |key: &str| whole.metadata.get(key).cloned().unwrap_or_default();
    let mut told = json!({
        "text": shortened(&whole.text, ANSWER_BYTES_MAX),
        "sessionId": whole.session_id,
        "messageId": whole.message_id,
        "status": whole.status.as_str(),
        "finishReason": of("finishReason"),
        "usage": of("usage"),
        "costMicrocents": of("costMicrocents").as_i64().unwrap_or_default(),
    });
    if !waiting.is_empty() {
        let shown = waiting.iter().map(|call| json!({ "approvalId": call.id, "toolName": call.tool }));
        told["status"] = sessions::Status::AwaitingApproval.as_str().into();
        told["approvals"] = shown.collect();
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::messages::Status;

    fn whole(text: String, error: Option<&str>) -> Whole {
        let metadata = json!({ "finishReason": "stop", "costMicrocents": 7, "usage": { "inputTokens": 1 } });
        let (session_id, message_id) = ("s1".into(), Some("m1".into()));
        Whole { session_id, message_id, text, status: Status::Complete, metadata, error: error.map(Into::into) }
    }

    #[test]
    fn an_answer_is_shown_up_to_its_bound() {
        let shown = |bytes| answer(whole("x".repeat(bytes), None), Vec::new()).unwrap()["text"].as_str().unwrap().len();
        for bytes in [ANSWER_BYTES_MAX - 1, ANSWER_BYTES_MAX] {
            assert_eq!(shown(bytes), bytes);
        }
        assert!(shown(ANSWER_BYTES_MAX + 1) > ANSWER_BYTES_MAX + 1, "it says what is left out");
        let told = answer(whole("Green.".into(), None), Vec::new()).unwrap();
        assert_eq!(
            (&told["costMicrocents"], &told["usage"]["inputTokens"], &told["status"]),
            (&json!(7), &json!(1), &json!("complete"))
        );
    }

    #[test]
    fn a_failure_says_where_its_beginning_is() {
        let failed = answer(whole("Gre".into(), Some("the model is gone")), Vec::new()).unwrap_err().to_string();
        assert_eq!(failed, "the model is gone; what was said before is in the session s1");
        let unsaid = Whole { message_id: None, ..whole(String::new(), Some("gone")) };
        assert_eq!(answer(unsaid, Vec::new()).unwrap_err().to_string(), "gone");
    }
}
