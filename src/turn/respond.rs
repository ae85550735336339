//! What the input of a response means for the stored history.
//!
//! Rule: all of it is new, but for calls that the history holds: their outputs complete them, and what a client says of their tool
//! or their input counts for nothing.

use serde_json::Value;

use super::{
    answers::{self, Output},
    ask::Posted,
    history,
};
use crate::{
    error::{Error, Result},
    model,
    store::{
        decisions::CallView,
        messages::{Message, NewMessage, Role},
        turns::{HistoryView, Plan},
    },
};

/// What a request adds to a history.
struct Added {
    /// The last message as it is once the conversation goes on, if that changes it.
    last: Option<NewMessage>,
    new: Vec<NewMessage>,
}

/// Decides what a response does to the history of its session. Each output comes with the place where its call is named.
pub(super) fn plan(posted: Vec<Posted>, outputs: &[(Output, String)], history: &HistoryView<'_>) -> Result<Plan> {
    let last = history.last()?.filter(|last| last.role == Role::Assistant);
    let calls = last.as_ref().map_or(Ok(Vec::new()), |last| history.calls(&last.id))?;
    let added = added(last.as_ref(), &calls, posted, outputs.to_vec())?;
    let mut plan = Plan::default();
    if let (Some(last), Some(completed)) = (last, added.last) {
        plan.supersede_from = Some(last.seq);
        plan.insert.push(completed);
    }
    plan.insert.extend(added.new);
    Ok(plan)
}

/// What a model reads where a reply is not kept: the history that it goes on from, with what the request adds. `calls` are those of
/// the last message.
pub fn read(
    mut history: Vec<Message>,
    calls: &[CallView],
    posted: Vec<Posted>,
    outputs: Vec<(Output, String)>,
) -> Result<Vec<model::Message>> {
    let last = history.pop_if(|last| last.role == Role::Assistant);
    let added = added(last.as_ref(), calls, posted, outputs)?;
    history.extend(added.last.map(Message::of).or(last));
    history.extend(added.new.into_iter().map(Message::of));
    Ok(history::fit("", &history, None, None)?.messages)
}

fn added(
    last: Option<&Message>,
    calls: &[CallView],
    mut posted: Vec<Posted>,
    mut outputs: Vec<(Output, String)>,
) -> Result<Added> {
    let mut completed = None;
    if let Some(last) = last {
        outputs.extend(repeated(&mut posted, &answers::call_ids(last)?));
        let known = outputs.iter().map(|(output, _)| output.clone()).collect();
        let (changed, unknown) = answers::completed(last, known, calls)?;
        outputs.retain(|(output, _)| unknown.contains(&output.call_id));
        completed = changed;
    }
    if let Some((_, at)) = outputs.first() {
        return Err(Error::invalid(at, "must be the id of a call before it"));
    }
    Ok(Added { last: completed, new: posted.into_iter().map(Posted::into_clients_message).collect() })
}

/// Takes calls out of what is posted that the history holds; returns the outputs that they have.
fn repeated(posted: &mut Vec<Posted>, known: &[String]) -> Vec<(Output, String)> {
    let mut outputs = Vec::new();
    for message in posted.iter_mut().filter(|message| message.role == Role::Assistant) {
        message.parts.retain(|part| {
            let call_id = part["toolCallId"].as_str().filter(|id| known.iter().any(|known| known == id));
            let Some(call_id) = call_id else { return true };
            if let Some(output) = part.get("output") {
                outputs.push((Output { call_id: call_id.to_owned(), output: Ok(output.clone()) }, "input".to_owned()));
            }
            false
        });
    }
    let says_something = |part: &Value| part["type"] != "step-start";
    posted.retain(|message| message.role != Role::Assistant || message.parts.iter().any(says_something));
    outputs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        store::{
            messages::{Message, NewMessage},
            sandbox::Sandbox,
        },
        turn::parts,
    };

    fn user(text: &str) -> Posted {
        Posted { id: None, role: Role::User, parts: parts::of_text(text) }
    }

    fn output(id: &str) -> (Output, String) {
        (Output { call_id: id.into(), output: Ok(json!(format!("of {id}"))) }, format!("input[{id}].call_id"))
    }

    fn reply(parts: Value) -> NewMessage {
        NewMessage::new(Role::Assistant, String::new(), parts.to_string())
    }

    fn call(id: &str) -> Value {
        json!({"type": "tool-f", "toolCallId": id, "state": "input-available", "input": {"own": id}})
    }

    /// A session whose last message calls `1` and `2`.
    fn with_calls(run: impl FnOnce(&Sandbox)) {
        Sandbox::with(|session| {
            session.turn(|history| plan(vec![user("q")], &[], history), reply(json!([call("1"), call("2")]))).unwrap();
            run(session);
        });
    }

    fn calls_of(message: &Message) -> Vec<(String, Value)> {
        let parts: Vec<Value> = serde_json::from_str(&message.parts).unwrap();
        let shown = parts.iter().map(|part| {
            let text = part.get("output").or(part.get("errorText")).cloned().unwrap_or_default();
            (part["state"].as_str().unwrap().to_owned(), text)
        });
        shown.collect()
    }

    #[test]
    fn outputs_complete_the_stored_calls_and_the_reply_is_a_message_of_its_own() {
        with_calls(|session| {
            session
                .turn(|history| plan(vec![user("and")], &[output("2"), output("1")], history), reply(json!([])))
                .unwrap();
            let history = session.history();
            assert_eq!(
                history.iter().map(|message| message.role).collect::<Vec<_>>(),
                [Role::User, Role::Assistant, Role::User, Role::Assistant]
            );
            let done = |id: &str| ("output-available".to_owned(), json!(format!("of {id}")));
            assert_eq!(calls_of(&history[1]), [done("1"), done("2")]);
        });
    }

    #[test]
    fn the_conversation_goes_on_without_the_outputs_that_do_not_come() {
        with_calls(|session| {
            session.turn(|history| plan(vec![], &[output("1")], history), reply(json!([]))).unwrap();
            let calls = calls_of(&session.history()[1]);
            assert_eq!((&*calls[0].0, &*calls[1].0), ("output-available", "output-error"));
            // Once more: it is answered already, and the answer stays.
            session.turn(|history| plan(vec![user("x")], &[], history), reply(json!([]))).unwrap();
        });
    }

    #[test]
    fn a_call_that_is_repeated_is_the_stored_one() {
        with_calls(|session| {
            let repeated = json!([{"type": "step-start"}, {"type": "tool-g", "toolCallId": "1", "state": "output-available",
                "input": {"forged": true}, "output": "o"}]);
            let posted = Posted { id: None, role: Role::Assistant, parts: serde_json::from_value(repeated).unwrap() };
            session.turn(|history| plan(vec![posted], &[], history), reply(json!([]))).unwrap();
            let history = session.history();
            let parts: Vec<Value> = serde_json::from_str(&history[1].parts).unwrap();
            assert_eq!(
                (history.len(), &parts[0]["input"], &parts[0]["output"]),
                (3, &json!({"own": "1"}), &json!("o"))
            );
        });
    }

    #[test]
    fn an_output_whose_call_is_nowhere_is_refused_by_its_place() {
        with_calls(|session| {
            let refused = session.turn(|history| plan(vec![], &[output("3")], history), reply(json!([]))).unwrap_err();
            assert!(refused.to_string().starts_with("input[3].call_id"), "{refused}");
        });
        Sandbox::with(|session| {
            assert!(session.turn(|history| plan(vec![], &[output("1")], history), reply(json!([]))).is_err());
        });
    }
}
