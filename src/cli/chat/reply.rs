//! One reply, from the request to its end: shown as it comes, joined again when the line is cut, its calls answered.

use std::{io::Write, sync::Arc, thread, time::Duration};

use serde_json::{Value, json};

use super::{
    api::{Api, Events, Fault, segment},
    running::Running,
    view::View,
};
use crate::{
    cli::{
        output::printed,
        text::{clean, shortened},
    },
    error::{Error, Result},
};

/// How often a reply is joined again after a cut; then the server is given up.
const JOINS_MAX: u32 = 8;
/// Before the first time; each wait is twice the one before.
const JOIN_WAIT: Duration = Duration::from_millis(250);
/// How much of a call's input a question has room for, in characters.
const INPUT_CHARS: usize = 400;

/// Who answers calls that wait for a person: the question, and what they say. `None`: not now.
pub type Answers<'a> = &'a mut dyn FnMut(&str) -> Option<bool>;

/// How a reply ended.
#[derive(Debug, Default)]
pub struct Reply {
    message_id: String,
    /// What it said.
    text: String,
    /// Calls that wait for a person: the approval's id, and what is asked.
    asked: Vec<(String, String)>,
    /// Inputs of calls, by the call's id.
    calls: Vec<(String, String)>,
    fault: Option<String>,
}

/// A conversation at a server.
pub struct Talk<W> {
    pub api: Arc<Api>,
    pub running: Arc<Running>,
    pub view: View<W>,
}

impl<W: Write> Talk<W> {
    /// Asks, and follows the reply to its end, through all its questions.
    pub fn ask(&mut self, session: &str, body: &Value, answers: Option<Answers>) -> Result<()> {
        self.running.begin(session);
        let replied =
            self.api.ask("/api/v1/chat", body).map_err(Error::from).and_then(|events| self.follow(session, events));
        self.running.end();
        self.answered(session, replied?, answers)
    }

    /// Follows the reply that runs in a session, if one does, and asks what waits there. Says whether there was anything.
    pub fn join(&mut self, session: &str, answers: Option<Answers>) -> Result<bool> {
        self.running.begin(session);
        let replied = match self.api.running(session, 0) {
            Ok(Some(events)) => self.follow(session, events).map(Some),
            Ok(None) => Ok(None),
            Err(fault) => Err(fault.into()),
        };
        self.running.end();
        let reply = match replied? {
            Some(reply) => reply,
            None => match self.waiting(session)? {
                asked if asked.is_empty() => return Ok(false),
                asked => Reply { asked, ..Reply::default() },
            },
        };
        self.answered(session, reply, answers)?;
        Ok(true)
    }

    /// The calls of a session that wait.
    fn waiting(&self, session: &str) -> Result<Vec<(String, String)>> {
        let page = self.api.get(&format!("/api/v1/approvals?sessionId={}", segment(session)))?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let asked = |item: &Value| {
            let id = item["approvalId"].as_str()?.to_owned();
            Some((id, question(item["toolName"].as_str().unwrap_or_default(), &item["input"])))
        };
        Ok(items.iter().filter_map(asked).collect())
    }

    /// Has the calls that wait answered, and follows what comes of it.
    fn answered(&mut self, session: &str, mut reply: Reply, mut answers: Option<Answers>) -> Result<()> {
        loop {
            if let Some(fault) = reply.fault {
                return Err(Error::failed(clean(&fault)));
            }
            if reply.asked.is_empty() {
                return Ok(());
            }
            let Some(answers) = answers.as_mut() else {
                let (id, what) = &reply.asked[0];
                let remedy =
                    format!("answer at the page, or with alm approvals allow {id}, then alm chat --session {session}");
                return Err(Error::failed(format!("a call waits for a person: {what}: {remedy}")));
            };
            let mut approvals = Vec::new();
            for (id, what) in &reply.asked {
                let Some(approved) = answers(&format!("Allow {what}? [y/N] ")) else { return Ok(()) };
                approvals.push(json!({ "approvalId": id, "approved": approved }));
            }
            self.running.begin(session);
            let path = format!("/api/v1/chat/{}/resume", segment(session));
            let asked = self.api.ask(&path, &json!({ "approvals": approvals })).map_err(Error::from);
            let replied = asked.and_then(|events| self.follow(session, events));
            self.running.end();
            reply = replied?;
        }
    }

    /// Reads a reply to its end, and joins it again where the line is cut.
    fn follow(&mut self, session: &str, mut events: Events) -> Result<Reply> {
        let mut reply = Reply::default();
        loop {
            match events.next() {
                Ok(Some(chunk)) => {
                    reply.take(&chunk);
                    printed(self.view.chunk(&chunk))?;
                }
                Ok(None) => break,
                Err(fault) => match self.again(session, events.count, fault)? {
                    Some(joined) => events = joined,
                    None => {
                        self.rest(session, &mut reply)?;
                        break;
                    }
                },
            }
        }
        printed(self.view.end())?;
        Ok(reply)
    }

    /// The same reply, after its first `count` chunks; nothing if it has ended meanwhile.
    fn again(&mut self, session: &str, count: usize, fault: Fault) -> Result<Option<Events>> {
        let mut last = fault;
        for join in 0..JOINS_MAX {
            if self.running.is_stopping() {
                break;
            }
            match self.api.running(session, count) {
                Ok(events) => return Ok(events),
                Err(Fault::Refused(why)) => return Err(Error::failed(why)),
                Err(lost) => last = lost,
            }
            thread::park_timeout(JOIN_WAIT * 2_u32.pow(join));
        }
        printed(self.view.end())?;
        Err(Error::failed(format!("{last}; what was said is kept: alm chat --session {session} goes on")))
    }

    /// What was said while nobody listened.
    fn rest(&mut self, session: &str, reply: &mut Reply) -> Result<()> {
        let path = format!("/api/v1/sessions/{}/messages?order=desc&limit=1", segment(session));
        let page = self.api.get(&path)?;
        let message = &page["items"][0];
        if message["id"].as_str() == Some(&reply.message_id) {
            let whole = message["content"].as_str().unwrap_or_default();
            if let Some(rest) = whole.strip_prefix(reply.text.as_str()) {
                printed(self.view.chunk(&json!({ "type": "text-delta", "delta": rest })))?;
            }
            let status = message["status"].as_str().unwrap_or_default();
            if status != "complete" {
                reply.fault = Some(format!("the reply is {status}: what there is of it is kept"));
            }
        }
        Ok(())
    }
}

impl Reply {
    fn take(&mut self, chunk: &Value) {
        let field = |name: &str| chunk[name].as_str().unwrap_or_default();
        match field("type") {
            "start" => self.message_id = field("messageId").to_owned(),
            "text-delta" => self.text += field("delta"),
            "tool-input-available" => {
                self.calls.push((field("toolCallId").to_owned(), question(field("toolName"), &chunk["input"])));
            }
            "tool-approval-request" => {
                let call = self.calls.iter().find(|(id, _)| id == field("toolCallId"));
                let what = call.map_or_else(|| "a call".to_owned(), |(_, what)| what.clone());
                self.asked.push((field("approvalId").to_owned(), what));
            }
            "error" => self.fault = Some(field("errorText").to_owned()),
            _ => {}
        }
    }
}

/// A call as it is asked about: no word of it moves the cursor.
fn question(tool: &str, input: &Value) -> String {
    clean(&format!("{tool} {}", shortened(&input.to_string(), INPUT_CHARS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_waits_is_asked_about_with_its_input() {
        let mut reply = Reply::default();
        for chunk in [
            json!({ "type": "start", "messageId": "m" }),
            json!({ "type": "text-delta", "delta": "a" }),
            json!({ "type": "tool-input-available", "toolCallId": "c", "toolName": "book", "input": { "people": 4 } }),
            json!({ "type": "tool-approval-request", "toolCallId": "c", "approvalId": "p" }),
            json!({ "type": "tool-approval-request", "toolCallId": "d", "approvalId": "q" }),
        ] {
            reply.take(&chunk);
        }
        assert_eq!((reply.message_id.as_str(), reply.text.as_str()), ("m", "a"));
        let asked = [("p".to_owned(), "book {\"people\":4}".to_owned()), ("q".to_owned(), "a call".to_owned())];
        assert_eq!(reply.asked, asked);
        assert!(reply.fault.is_none());
        reply.take(&json!({ "type": "error", "errorText": "broken" }));
        assert_eq!(reply.fault.as_deref(), Some("broken"));
    }

    #[test]
    fn the_waits_between_joins_have_an_end() {
        let total: Duration = (0..JOINS_MAX).map(|join| JOIN_WAIT * 2_u32.pow(join)).sum();
        assert!(total > Duration::from_secs(30) && total < Duration::from_secs(90), "{total:?}");
    }
}
