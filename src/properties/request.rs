//! A posted body: refused in words or understood, and then it does to a history what it says and no more.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    http::{api::chat::ChatRequest, body::decode, schemas},
    store::{
        Tenant,
        decisions::Decider,
        messages::{Message, NewMessage, Role},
        sandbox::Sandbox,
        turns::HistoryView,
    },
    turn::{
        ask::{Asker, Posted, Trigger},
        parts,
        plan::plan,
    },
};

/// Takes `bytes` for the body of a chat request, and asks what they ask twice in one session.
pub fn request(bytes: &[u8]) {
    let Some(ask) =
        unless_refused(decode::<ChatRequest>(bytes, schemas()).and_then(|body| body.into_ask(asker(), true)))
    else {
        return;
    };
    for posted in &ask.messages {
        let again = parts::accept(posted.parts.clone(), posted.role, "parts");
        assert_eq!(again.expect("what was accepted is acceptable"), posted.parts);
    }
    Sandbox::with(|session| {
        for _ in 0..2 {
            if let Some(()) = unless_refused(turn(session, ask.messages.iter().map(copy).collect(), &ask.trigger)) {
                assert_history(&session.history());
                assert_posted_again_adds_only_what_is_new(session);
                assert_regenerated_replaces_one(session);
            }
        }
    });
}

fn asker() -> Asker {
    Asker::new(Tenant { org_id: String::new(), user_id: String::new() }, "")
}

/// What is posted moves into its turn: to post it twice takes a second one.
fn copy(posted: &Posted) -> Posted {
    Posted { id: posted.id.clone(), role: posted.role, parts: posted.parts.clone() }
}

/// A refusal has a reason that a client can be told.
fn unless_refused<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Internal(cause)) => panic!("a body causes an internal error: {cause}"),
        Err(_) => None,
    }
}

fn anyone() -> Decider {
    Decider { via: "sign-in".into(), is_owner: false, is_test: false }
}

/// A turn as the engine takes it, with an answer.
fn turn(session: &Sandbox, posted: Vec<Posted>, trigger: &Trigger) -> Result<()> {
    let parts = json!([{"type": "text", "text": "yes", "state": "done"}]);
    let answer = NewMessage::new(Role::Assistant, "yes".into(), parts.to_string());
    session.turn(|history: &HistoryView<'_>| plan(posted, trigger, &anyone(), history), answer)
}

/// Every message of a history can be read, and its parts are parts.
fn assert_history(history: &[Message]) {
    assert!(!history.is_empty(), "a turn leaves something");
    history.iter().for_each(|message| drop(posted(message)));
}

/// A stored message as a client that shows it posts it.
fn posted(message: &Message) -> Posted {
    let role = message.role;
    let parts: Vec<Value> = serde_json::from_str(&message.parts).expect("stored parts can be read");
    assert_eq!(parts::accept(parts.clone(), role, "parts").expect("stored parts are valid"), parts);
    Posted { id: Some(message.id.clone()), role, parts }
}

/// The whole history with one question more is one question more.
fn assert_posted_again_adds_only_what_is_new(session: &Sandbox) {
    let before = session.history();
    let question = Posted { id: None, role: Role::User, parts: parts::of_text("more") };
    let whole: Vec<_> = before.iter().map(posted).chain([question]).collect();
    turn(session, whole, &Trigger::Submit).expect("a history and a question are a request");
    let after = session.history();
    assert_eq!(after[..before.len()], before, "what was stored has changed");
    assert_eq!(after.len(), before.len() + 2, "a question and its answer are new");
}

/// The same question, another answer.
fn assert_regenerated_replaces_one(session: &Sandbox) {
    let before = session.history();
    turn(session, Vec::new(), &Trigger::Regenerate { message_id: None }).expect("the last answer can be had again");
    let after = session.history();
    let kept = before.len() - 1;
    assert_eq!((&after[..kept], after.len()), (&before[..kept], before.len()));
    assert_ne!(after[kept].id, before[kept].id);
}
