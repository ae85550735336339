//! What a posted history means for the stored one.
//!
//! Rule: the stored history is the truth. Of what is posted only what is new counts: messages after the last known one,
//! an edit, outputs of the client's own tools. So posting a whole history again stores nothing twice.

use serde_json::Value;

use super::{
    answers::{self, Answers},
    ask::{Posted, Trigger},
    replace, respond,
};
use crate::{
    error::{Error, Result},
    store::{
        decisions::Decider,
        messages::{Message, NewMessage, Role, Status},
        turns::{HistoryView, Plan},
    },
};

/// Decides what a turn does to the history of its session.
pub fn plan(posted: Vec<Posted>, trigger: &Trigger, decider: &Decider, history: &HistoryView<'_>) -> Result<Plan> {
    match trigger {
        Trigger::Regenerate { message_id } => regenerate(message_id.as_deref(), history),
        Trigger::Submit => submit(posted, decider, history),
        Trigger::Respond(outputs) => respond::plan(posted, outputs, history),
        Trigger::Replace => replace::plan(posted, history),
        Trigger::Resume(answers) => match history.last()? {
            Some(last) if last.role == Role::Assistant => match answers::plan(&last, answers, decider, history)? {
                Some(plan) => Ok(plan),
                None => resume(history),
            },
            _ => resume(history),
        },
    }
}

/// Continues the interrupted message under its id, or replies to the question that has no reply.
fn resume(history: &HistoryView<'_>) -> Result<Plan> {
    let nothing = || Error::Conflict("no reply in this session was interrupted: send a message".into());
    let last = history.last()?.ok_or_else(nothing)?;
    if last.role == Role::User {
        return Ok(Plan::default());
    }
    // What a model server cut off is as good a beginning as what a restart did.
    if !matches!(last.status, Status::Interrupted | Status::Failed) {
        return Err(nothing());
    }
    let supersede_from = Some(last.seq);
    let continues = Some(last.id.clone());
    let message = NewMessage {
        id: last.id,
        role: Role::Assistant,
        status: Status::Interrupted,
        metadata: last.metadata,
        content: last.content,
        parts: last.parts,
    };
    Ok(Plan { supersede_from, insert: vec![message], continues, ..Plan::default() })
}

/// Replies again: the old message and what came after it are superseded.
fn regenerate(message_id: Option<&str>, history: &HistoryView<'_>) -> Result<Plan> {
    let nothing = || Error::invalid("messageId", "must be the id of a message of this session");
    let from = match message_id {
        // A reply that said nothing is not stored, yet clients show it: a question without a reply is its trace.
        Some(id) => {
            history.message(id)?.or(history.last()?.filter(|last| last.role == Role::User)).ok_or_else(nothing)?
        }
        None => history.last()?.ok_or_else(|| Error::invalid("sessionId", "has no message to reply to again"))?,
    };
    // A question stays, and everything after it is superseded.
    let supersede_from = if from.role == Role::Assistant { from.seq } else { from.seq + 1 };
    Ok(Plan { supersede_from: Some(supersede_from), ..Plan::default() })
}

fn submit(posted: Vec<Posted>, decider: &Decider, history: &HistoryView<'_>) -> Result<Plan> {
    let mut plan = what_is_new(posted, decider, history)?;
    if plan.supersede_from.is_some() || plan.insert.is_empty() {
        return Ok(plan);
    }
    // The conversation goes on without answers to the calls that wait for one.
    let last = history.last()?.filter(|last| last.role == Role::Assistant);
    let Some(last) = last else { return Ok(plan) };
    if let Some(closed) = answers::closed(&last, &history.calls(&last.id)?)? {
        plan.supersede_from = Some(last.seq);
        plan.insert.insert(0, closed);
    }
    Ok(plan)
}

fn what_is_new(mut posted: Vec<Posted>, decider: &Decider, history: &HistoryView<'_>) -> Result<Plan> {
    let Some(last) = posted.last() else {
        return Err(Error::invalid("messages", "must hold at least one message"));
    };
    if history.last()?.is_none() {
        return adopt(posted);
    }
    match last.role {
        Role::User => {}
        Role::Assistant => return continue_message(last, decider, history),
        Role::System => return Err(must_end_with_user()),
    }
    // From the end back to the last one the history has: what comes after it is new.
    for (at, message) in posted.iter().enumerate().rev() {
        let Some(stored) = known_as(message, history)? else { continue };
        if stored.role != message.role {
            return Err(Error::invalid("messages", format!("the id {} belongs to another message", stored.id)));
        }
        let edited = at + 1 == posted.len() || (message.role == Role::User && !same(message, &stored));
        return match edited {
            // Sent again as it is, it asks for a new reply: what followed is superseded.
            true if same(message, &stored) => Ok(Plan { supersede_from: Some(stored.seq + 1), ..Plan::default() }),
            true => Ok(Plan {
                supersede_from: Some(stored.seq),
                insert: new_messages(posted.split_off(at)),
                ..Plan::default()
            }),
            false => Ok(Plan { insert: new_messages(posted.split_off(at + 1)), ..Plan::default() }),
        };
    }
    // Nothing of it is known by id. Plain messages carry none: the new ones are those after the last reply.
    let after_reply = posted.iter().rposition(|message| message.role == Role::Assistant).map_or(0, |at| at + 1);
    Ok(Plan { insert: new_messages(posted.split_off(after_reply)), ..Plan::default() })
}

/// The first turn of a session takes what is posted whole, replies included: it is all the history there is.
fn adopt(posted: Vec<Posted>) -> Result<Plan> {
    if posted.last().is_none_or(|last| last.role != Role::User) {
        return Err(must_end_with_user());
    }
    Ok(Plan { insert: posted.into_iter().map(Posted::into_message).collect(), ..Plan::default() })
}

fn must_end_with_user() -> Error {
    Error::invalid("messages", "must end with a user message")
}

/// The client has answers to calls that a reply left open; the message is continued under its own id.
fn continue_message(posted: &Posted, decider: &Decider, history: &HistoryView<'_>) -> Result<Plan> {
    let nothing_new = || {
        Error::invalid(
            "messages",
            "must end with a user message, or with an assistant message that has new tool outputs",
        )
    };
    let stored = known_as(posted, history)?.ok_or_else(nothing_new)?;
    let answers = Answers::of_parts(&posted.parts);
    if answers.is_empty() {
        return Err(nothing_new());
    }
    match answers::plan(&stored, &answers, decider, history)? {
        Some(plan) => Ok(plan),
        // A restart came between the answer and what was to follow.
        None if !answers.approvals.is_empty() && stored.status == Status::Interrupted => resume(history),
        None => Err(nothing_new()),
    }
}

fn known_as(message: &Posted, history: &HistoryView<'_>) -> Result<Option<Message>> {
    message.id.as_deref().map_or(Ok(None), |id| history.message(id))
}

/// Whether a message says what it said: its text and its files. The rest (state, metadata) is the client's own.
fn same(posted: &Posted, stored: &Message) -> bool {
    let stored: Vec<Value> = serde_json::from_str(&stored.parts).unwrap_or_default();
    let said =
        |part: &Value| ["text", "url"].iter().find_map(|key| part.get(key).and_then(Value::as_str).map(str::to_owned));
    posted.parts.iter().filter_map(said).eq(stored.iter().filter_map(said))
}

/// What a client may add to a history that is there: what people and operators say. Replies come from models.
fn new_messages(posted: Vec<Posted>) -> Vec<NewMessage> {
    posted.into_iter().filter(|message| message.role != Role::Assistant).map(Posted::into_message).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::sandbox::Sandbox;

    fn said(role: Role, id: Option<&str>, text: &str) -> Posted {
        Posted { id: id.map(str::to_owned), role, parts: vec![json!({ "type": "text", "text": text })] }
    }

    fn anyone() -> Decider {
        Decider { via: "sign-in".into(), is_owner: false, is_test: false }
    }

    fn asked(id: &str) -> Posted {
        said(Role::User, Some(id), id)
    }

    /// A session of two questions and their replies: `q1 a1 q2 a2`.
    fn with_history(run: impl FnOnce(&Sandbox)) {
        Sandbox::with(|session| {
            for (question, reply) in [("q1", "a1"), ("q2", "a2")] {
                let parts = json!([{ "type": "text", "text": reply }]).to_string();
                let answer = NewMessage { id: reply.into(), ..NewMessage::new(Role::Assistant, reply.into(), parts) };
                session
                    .turn(|history| plan(vec![asked(question)], &Trigger::Submit, &anyone(), history), answer)
                    .unwrap();
            }
            run(session);
        });
    }

    /// What is planned, undone at once: the id of the first message that goes, and the texts that come.
    fn look(session: &Sandbox, posted: Vec<Posted>, trigger: &Trigger) -> Result<(Option<String>, Vec<String>)> {
        let mut planned = None;
        let answer = NewMessage::new(Role::Assistant, String::new(), "[]".into());
        let undone = session.turn(
            |history| {
                planned = Some(plan(posted, trigger, &anyone(), history)?);
                Err(Error::Conflict("only looked".into()))
            },
            answer,
        );
        let Some(planned) = planned else { return Err(undone.unwrap_err()) };
        let from = planned.supersede_from;
        let gone = session.history().into_iter().find(|message| from.is_some_and(|seq| message.seq >= seq));
        Ok((gone.map(|message| message.id), planned.insert.into_iter().map(|message| message.content).collect()))
    }

    #[test]
    fn what_follows_the_last_known_message_is_new_and_nothing_else() {
        with_history(|session| {
            let look = |posted| look(session, posted, &Trigger::Submit).unwrap();
            let whole = || vec![asked("q1"), said(Role::Assistant, Some("a1"), "a1"), asked("q2")];
            let new = |ids: &[&str]| whole().into_iter().chain(ids.iter().map(|id| asked(id))).collect::<Vec<_>>();
            // After q2 in what is posted comes one message, or two; the reply between is the stored one.
            assert_eq!(look(new(&["q3"])), (None, vec!["q3".to_owned()]));
            assert_eq!(look(new(&["q3", "q4"])), (None, vec!["q3".to_owned(), "q4".to_owned()]));
            // It ends with one that is known: that one is asked again, and stays.
            assert_eq!(look(new(&[])), (Some("a2".to_owned()), Vec::new()));
            // An edit goes from there on, with what follows it.
            let edited = vec![said(Role::User, Some("q1"), "other"), asked("q3")];
            assert_eq!(look(edited), (Some("q1".to_owned()), vec!["other".to_owned(), "q3".to_owned()]));
            // Plain messages: what follows the last reply.
            let plain = |role, text| said(role, None, text);
            let posted = vec![
                plain(Role::User, "q1"),
                plain(Role::Assistant, "a1"),
                plain(Role::User, "x"),
                plain(Role::User, "y"),
            ];
            assert_eq!(look(posted), (None, vec!["x".to_owned(), "y".to_owned()]));
        });
    }

    #[test]
    fn a_reply_is_given_again_from_the_message_that_is_named() {
        with_history(|session| {
            let again = |id: Option<&str>| {
                look(session, Vec::new(), &Trigger::Regenerate { message_id: id.map(str::to_owned) })
            };
            // A question stays and what follows goes; a reply goes itself.
            for (named, gone) in [(Some("q1"), "a1"), (Some("a1"), "a1"), (Some("q2"), "a2"), (None, "a2")] {
                assert_eq!(again(named).unwrap(), (Some(gone.to_owned()), Vec::new()), "{named:?}");
            }
            assert!(again(Some("nothing")).is_err());
        });
    }

    #[test]
    fn every_open_call_of_a_reply_needs_its_output_before_it_goes_on() {
        Sandbox::with(|session| {
            let call =
                |id: &str, state: &str| json!({ "type": "tool-x", "toolCallId": id, "state": state, "input": {} });
            let parts = json!([call("c1", "input-available"), call("c2", "input-available")]).to_string();
            let answer = NewMessage { id: "a".into(), ..NewMessage::new(Role::Assistant, String::new(), parts) };
            session.turn(|history| plan(vec![asked("q")], &Trigger::Submit, &anyone(), history), answer).unwrap();
            let output = |id: &str| {
                let mut part = call(id, "output-available");
                part["output"] = json!(1);
                part
            };
            let posted =
                |parts: Vec<Value>| vec![asked("q"), Posted { id: Some("a".into()), role: Role::Assistant, parts }];
            let look = |parts| look(session, posted(parts), &Trigger::Submit);
            assert!(look(Vec::new()).is_err());
            assert!(look(vec![output("c1")]).is_err(), "one of two");
            assert!(look(vec![output("c3")]).is_err(), "of another call");
            assert_eq!(look(vec![output("c1"), output("c2")]).unwrap(), (Some("a".into()), vec![String::new()]));
        });
    }
}
