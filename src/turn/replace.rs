//! What a conversation that its client keeps means for the stored one: the stored one becomes what is posted.
//!
//! Rule: the longest common beginning stays, with all that is stored beside its words. What follows it is superseded, and the posted
//! rest comes in its place. So a retry, an edit and a new reply do what they look like, and nothing is stored twice.
//! Rule: of a call the stored tool and input count, and of what is posted the output alone.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{
    answers::{self, Output},
    ask::{Aside, Posted},
    calls::AS_WRITTEN,
    chunk::clean_json,
};
use crate::{
    error::{Error, Result},
    store::{
        decisions::CallView,
        messages::{Message, NewMessage, Role, Status},
        turns::{HistoryView, Plan},
    },
};

/// Between what two steps said, as clients of this kind are told it.
const BETWEEN: &str = "\n\n";

/// Decides what becomes of the history of a session.
pub(super) fn plan(posted: Vec<Posted>, history: &HistoryView<'_>) -> Result<Plan> {
    let mut posted = VecDeque::from(posted);
    let (mut plan, mut last) = (Plan::default(), None);
    history.each(|stored| {
        let stored = Stored::of(stored)?;
        if !stored.is_shown() {
            return Ok(true);
        }
        let same = if posted.front().is_some_and(|next| stored.is(next)) { posted.pop_front() } else { None };
        let Some(same) = same else {
            plan.supersede_from = Some(stored.message.seq);
            return Ok(false);
        };
        if let Some(answered) = stored.answered(&same, || history.calls(&stored.message.id))? {
            plan.supersede_from = Some(stored.message.seq);
            plan.insert.push(answered);
            return Ok(false);
        }
        last = Some(stored.message);
        Ok(true)
    })?;
    if plan.insert.is_empty()
        && let Some(last) = last.filter(|last| last.role == Role::Assistant)
        && let Some(closed) = answers::closed(&last, &history.calls(&last.id)?)?
    {
        // The conversation goes on without answers to the calls that wait for one.
        plan.supersede_from = Some(last.seq);
        plan.insert.push(closed);
    }
    plan.insert.extend(posted.into_iter().filter_map(inserted));
    Ok(plan)
}

/// A posted message as it is stored, without the calls that nothing answers; none if nothing is left of it.
fn inserted(mut posted: Posted) -> Option<NewMessage> {
    if posted.role == Role::Assistant {
        posted.parts.retain(|part| part.get("toolCallId").is_none() || part.get("output").is_some());
        let says_something = posted.parts.iter().any(|part| part["type"] == "text" || part.get("output").is_some());
        says_something.then(|| posted.into_clients_message())
    } else {
        Some(posted.into_clients_message())
    }
}

/// Puts instructions where they stood among the last messages of a history.
pub(super) fn put(asides: &[Aside], history: &mut Vec<Message>) -> Result<()> {
    let (mut at, mut followed_by) = (history.len(), 0);
    for aside in asides.iter().rev() {
        while at > 0 && followed_by < aside.followed_by {
            at -= 1;
            followed_by += usize::from(Stored::of(history[at].clone())?.is_shown());
        }
        let Some(near) = history.get(at).or(history.last()) else { continue };
        let aside = Message {
            role: Role::System,
            content: aside.text.clone(),
            parts: json!([{ "type": "text", "text": aside.text }]).to_string(),
            metadata: "{}".into(),
            ..near.clone()
        };
        history.insert(at, aside);
    }
    Ok(())
}

/// A stored message, with its parts read.
struct Stored {
    message: Message,
    parts: Vec<Value>,
}

impl Stored {
    fn of(message: Message) -> Result<Self> {
        let parts = serde_json::from_str(&message.parts).map_err(Error::internal)?;
        Ok(Stored { message, parts })
    }

    /// Whether clients of this kind know of it: of words, and of calls that they run.
    fn is_shown(&self) -> bool {
        match self.message.role {
            Role::System => false,
            Role::User => true,
            Role::Assistant => !words(&self.parts).is_empty() || self.parts.iter().any(is_clients),
        }
    }

    /// Whether it is the posted one: it says the same, and made the calls that are posted.
    fn is(&self, posted: &Posted) -> bool {
        if posted.role != self.message.role {
            return false;
        }
        if posted.role != Role::Assistant {
            return said(&posted.parts).eq(said(&self.parts));
        }
        let has = |id: &Value| self.parts.iter().any(|part| part.get("toolCallId") == Some(id));
        // Some clients take the blanks off the ends.
        words(&posted.parts).trim() == words(&self.parts).trim()
            && posted.parts.iter().filter_map(|part| part.get("toolCallId")).all(has)
    }

    /// The message with the outputs that are posted for its calls; none if they are the stored ones.
    fn answered(&self, posted: &Posted, calls: impl FnOnce() -> Result<Vec<CallView>>) -> Result<Option<NewMessage>> {
        let outputs: Vec<_> = posted.parts.iter().filter_map(output).collect();
        if outputs.is_empty() {
            return Ok(None);
        }
        let calls = calls()?;
        let (mut parts, mut is_changed) = (self.parts.clone(), false);
        for call in parts.iter_mut().filter_map(Value::as_object_mut) {
            let id = call.get("toolCallId").and_then(Value::as_str).unwrap_or_default();
            let is_ours = calls.iter().any(|row| row.call_id == id);
            let Some(posted) = outputs.iter().find(|output| output.call_id == id && !is_ours) else { continue };
            if call.get("output") != posted.output.as_ref().ok() {
                call.insert("state".into(), "input-available".into());
                call.retain(|key, _| !["output", "errorText"].contains(&key.as_str()));
                is_changed = true;
            }
        }
        if !is_changed {
            return Ok(None);
        }
        let waiting = Message { parts: json!(parts).to_string(), status: Status::Complete, ..self.message.clone() };
        Ok(answers::completed(&waiting, outputs, &calls)?.0)
    }
}

/// A call that clients of this kind know of.
fn is_clients(part: &Value) -> bool {
    part.get("toolCallId").is_some() && part["callProviderMetadata"].get(AS_WRITTEN).is_some()
}

fn output(part: &Value) -> Option<Output> {
    let output = clean_json(part.get("output")?.clone());
    Some(Output { call_id: part["toolCallId"].as_str()?.to_owned(), output: Ok(output) })
}

/// The texts and the files of a message.
fn said(parts: &[Value]) -> impl Iterator<Item = &Value> {
    parts.iter().filter_map(|part| part.get("text").or(part.get("url")))
}

/// What a model said, as clients of this kind were told it.
fn words(parts: &[Value]) -> String {
    let (mut words, mut is_new_step) = (String::new(), false);
    for part in parts {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("step-start"), _) => is_new_step = !words.is_empty(),
            (Some("text"), Some(text)) if !text.is_empty() => {
                if std::mem::take(&mut is_new_step) {
                    words.push_str(BETWEEN);
                }
                words.push_str(text);
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests;
