//! What becomes of a stored history.

use super::*;
use crate::{
    store::sandbox::Sandbox,
    turn::{ask::CLIENT, parts},
};

fn user(text: &str) -> Posted {
    Posted { id: None, role: Role::User, parts: parts::of_text(text) }
}

fn said(text: &str) -> Posted {
    Posted { id: None, role: Role::Assistant, parts: parts::of_text(text) }
}

fn call(id: &str, output: Option<&str>) -> Value {
    let mut call = json!({"type": "tool-f", "toolCallId": id, "state": "input-available", "input": {"own": id},
        "callProviderMetadata": {AS_WRITTEN: {"arguments": "{}"}}});
    if let Some(output) = output {
        (call["state"], call["output"]) = ("output-available".into(), output.into());
    }
    call
}

fn calling(text: &str, calls: Vec<Value>) -> Posted {
    let parts = parts::of_text(text).into_iter().chain(calls).collect();
    Posted { parts, ..said(text) }
}

fn reply(parts: Vec<Value>) -> NewMessage {
    let content = words(&parts);
    NewMessage::new(Role::Assistant, content, Value::from(parts).to_string())
}

/// One turn: what is posted, then the reply to it.
fn turn(session: &Sandbox, posted: Vec<Posted>, parts: Vec<Value>) {
    session.turn(|history| plan(posted, history), reply(parts)).unwrap();
}

/// The history, and the rows that it has.
fn history(session: &Sandbox) -> (Vec<String>, Vec<i64>) {
    let history = session.history();
    let shown = history.iter().map(|message| {
        let origin = if message.metadata.contains(CLIENT) { "*" } else { "" };
        format!("{}{origin} {}", &message.role.as_str()[..1], message.content)
    });
    (shown.collect(), history.iter().map(|message| message.seq).collect())
}

/// A session of `q1 a1 q2 a2`, of which the first reply ran a tool of ours between two steps.
fn with_history(run: impl FnOnce(&Sandbox)) {
    Sandbox::with(|session| {
        let ours =
            json!({"type": "tool-ours", "toolCallId": "o", "state": "output-available", "input": {}, "output": 1});
        let step = json!({"type": "step-start"});
        let text = |text: &str| parts::of_text(text).remove(0);
        turn(session, vec![user("q1")], vec![step.clone(), text("a"), ours, step, text("1")]);
        turn(session, vec![user("q1"), said("a\n\n1 "), user("q2")], parts::of_text("a2"));
        run(session);
    });
}

#[test]
fn a_conversation_that_goes_on_stores_what_is_new_and_nothing_twice() {
    with_history(|session| {
        let (said_so_far, rows) = history(session);
        assert_eq!(said_so_far, ["u q1", "a a\n\n1", "u q2", "a a2"]);
        turn(session, vec![user("q1"), said("a\n\n1"), user("q2"), said("a2"), user("q3")], parts::of_text("a3"));
        let (more, kept) = history(session);
        assert_eq!((more.len(), &kept[..4]), (6, &*rows));
    });
}

#[test]
fn a_retry_an_edit_and_a_shorter_history_supersede_what_followed() {
    with_history(|session| {
        let rows = history(session).1;
        // The last question once more: it stays, and is answered anew.
        turn(session, vec![user("q1"), said("a\n\n1"), user("q2")], parts::of_text("b2"));
        let (said_now, kept) = history(session);
        assert_eq!((&*said_now[3], &kept[..3]), ("a b2", &rows[..3]));
        turn(session, vec![user("q1"), said("other"), user("q2")], parts::of_text("c2"));
        let (said_now, kept) = history(session);
        assert_eq!((&said_now[1..], kept[0]), (&["a* other", "u q2", "a c2"].map(str::to_owned)[..], rows[0]));
        turn(session, vec![user("new")], parts::of_text("d"));
        assert_eq!(history(session).0, ["u new", "a d"]);
    });
}

#[test]
fn outputs_complete_the_stored_calls_whatever_else_is_posted_of_them() {
    Sandbox::with(|session| {
        turn(session, vec![user("q")], vec![parts::of_text("x").remove(0), call("1", None), call("2", None)]);
        let mut forged = call("1", Some("one"));
        forged["input"] = json!({"forged": true});
        let posted = || vec![user("q"), calling("x", vec![forged.clone(), call("2", Some("two"))])];
        turn(session, posted(), parts::of_text("done"));
        let parts = |session: &Sandbox| -> Vec<Value> { serde_json::from_str(&session.history()[1].parts).unwrap() };
        let now = parts(session);
        assert_eq!((&now[1]["input"], &now[1]["output"]), (&json!({"own": "1"}), &json!("one")));
        assert_eq!(history(session).0, ["u q", "a x", "a done"]);
        // Once more it is a retry: the outputs are there.
        let rows = history(session).1;
        turn(session, posted(), parts::of_text("again"));
        assert_eq!(history(session).1[..2], rows[..2]);
        // Another output is an edit.
        turn(session, vec![user("q"), calling("x", vec![call("1", Some("uno"))])], parts::of_text("other"));
        let now = parts(session);
        assert_eq!((&now[1]["output"], &now[2]["output"], history(session).0.len()), (&json!("uno"), &json!("two"), 3));
    });
}

#[test]
fn a_call_that_nobody_answers_is_closed_once_the_conversation_goes_on() {
    Sandbox::with(|session| {
        turn(session, vec![user("q")], vec![call("1", None)]);
        turn(session, vec![user("q"), calling("", vec![call("1", None)]), user("never mind")], parts::of_text("well"));
        assert!(session.history()[1].parts.contains("output-error"));
        assert_eq!(history(session).0, ["u q", "a ", "u never mind", "a well"]);
    });
}

#[test]
fn instructions_stand_where_they_stood() {
    with_history(|session| {
        let mut now = session.history();
        let aside = |followed_by: usize, text: &str| Aside { followed_by, text: text.to_owned() };
        put(&[aside(3, "s"), aside(3, "t"), aside(0, "u")], &mut now).unwrap();
        let said: Vec<_> = now.iter().map(|message| &*message.content).collect();
        assert_eq!(said, ["q1", "s", "t", "a\n\n1", "q2", "a2", "u"]);
        let mut none = Vec::new();
        put(&[aside(0, "s")], &mut none).unwrap();
        assert!(none.is_empty());
    });
}
