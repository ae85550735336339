//! The prompt: whatever becomes of replies, in whatever order, a model reads an answer behind each call, and no answer without one.

use serde_json::{Value, json};

use super::{
    fold::{chunk, closed},
    tape::Tape,
};
use crate::{
    model,
    store::{
        messages::{Message, Role},
        turns::Outcome,
    },
    turn::{
        ask::Posted,
        chunk::Chunk,
        history::{Room, fit},
        parts,
    },
};

/// What happens to a session in one case.
const EVENTS_MAX: usize = 24;
/// Chunks of one reply.
const CHUNKS_MAX: u8 = 24;

/// A turn may end in each of these ways; a crash is an interruption.
const OUTCOMES: [Outcome; 4] = [Outcome::Complete, Outcome::Stopped, Outcome::Interrupted, Outcome::Failed];
/// What becomes of a call that waits: it was allowed, denied or withdrawn, or its run left no answer.
const DECIDED: [&str; 3] = ["approval-responded", "output-denied", "output-error"];

/// A message as it is stored.
type Stored = (Role, Vec<Value>);

/// Reads the life of a session off `bytes`.
pub fn prompt(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let mut session = vec![question()];
    for _ in 0..EVENTS_MAX {
        if tape.is_over() {
            break;
        }
        live(&mut session, &mut tape);
        let room = Room { tokens: u64::from(tape.byte()), bytes_per_token: 4.0, output_bytes: 1_024 };
        for room in [None, Some(room)] {
            // What does not fit is refused, in words.
            if let Ok(fitted) = fit("Be kind.", &history(&session), room, None) {
                assert_answered(&fitted.messages);
            }
        }
    }
}

/// The next thing that happens.
fn live(session: &mut Vec<Stored>, tape: &mut Tape<'_>) {
    match tape.byte() % 8 {
        0 => session.push(question()),
        // An edit, or another reply in the place of the last one: what followed is gone.
        1 => session.truncate(1 + usize::from(tape.byte()) % session.len()),
        2 => decide(session, tape),
        // The last reply goes on, after an approval or a crash.
        3 | 4 => {
            let parts = match session.pop() {
                Some((Role::Assistant, parts)) => parts,
                other => {
                    session.extend(other);
                    Vec::new()
                }
            };
            session.push(reply(parts, tape));
        }
        _ => session.push(reply(Vec::new(), tape)),
    }
    // A reply without any parts is not stored.
    session.retain(|(_, parts)| !parts.is_empty());
}

fn question() -> Stored {
    (Role::User, parts::of_text("Go on"))
}

/// A reply that begins with these parts, and is cut off anywhere.
fn reply(begun: Vec<Value>, tape: &mut Tape<'_>) -> Stored {
    let count = tape.byte() % CHUNKS_MAX;
    let chunks: Vec<Chunk> = (0..count).map(|_| chunk(tape)).collect();
    (Role::Assistant, closed(begun, &chunks, *tape.pick(&OUTCOMES)))
}

/// Some of the calls that wait in the last reply wait no longer.
fn decide(session: &mut [Stored], tape: &mut Tape<'_>) {
    let Some((Role::Assistant, parts)) = session.last_mut() else { return };
    for part in parts.iter_mut().filter(|part| part["state"] == "approval-requested") {
        let state = *tape.pick(&DECIDED);
        part["state"] = json!(state);
        part["approval"]["approved"] = json!(state != "output-denied");
        if state == "output-error" {
            part["errorText"] = json!("It broke.");
        }
    }
}

fn history(session: &[Stored]) -> Vec<Message> {
    let message =
        |(role, parts): &Stored| Message::of(Posted { id: None, role: *role, parts: parts.clone() }.into_message());
    session.iter().map(message).collect()
}

/// Each call has one answer, before anything else is said.
fn assert_answered(messages: &[model::Message]) {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        match message {
            model::Message::Tool { call_id, .. } => {
                let at = open.iter().position(|open| open == call_id);
                open.remove(at.unwrap_or_else(|| panic!("an answer to no call: {messages:#?}")));
            }
            model::Message::Assistant { calls, .. } => {
                assert!(open.is_empty(), "a call without an answer: {messages:#?}");
                open = calls.iter().map(|call| call.id.as_str()).collect();
            }
            _ => assert!(open.is_empty(), "a call without an answer: {messages:#?}"),
        }
    }
    assert!(open.is_empty(), "a call without an answer: {messages:#?}");
}
