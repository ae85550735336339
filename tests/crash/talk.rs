//! One session as its owner knows it: what was acknowledged, and the one thing that may or may not have been done.
//!
//! Rule: a session is one client's alone and is asked one thing at a time. So after a kill its history is either what it was,
//! or that and what was being asked, as far as it came. Whatever was seen once must be there for ever, to the last byte.

use serde_json::Value;

use crate::heard::Heard;

/// A message that must be there.
#[derive(Debug, Clone)]
pub struct Known {
    /// Empty where the server chose one and has not shown it yet.
    pub id: String,
    pub role: &'static str,
    pub content: String,
    /// How its parts begin, where that was acknowledged.
    pub parts: Vec<Value>,
    /// All of it, once the server has shown it.
    pub shown: Option<Value>,
}

/// What was being asked when the server went away.
#[derive(Debug, Clone)]
pub enum Doubt {
    /// A message to append.
    Append(Known),
    /// An answer.
    Turn(Box<Turn>),
}

/// An answer that was asked for.
#[derive(Debug, Clone)]
pub struct Turn {
    /// How many messages of the history stay.
    pub keep: usize,
    /// What is said after them.
    pub question: Option<Known>,
    /// The answer that goes on, as it is before it does.
    pub continues: Option<Known>,
    pub heard: Heard,
}

/// A session.
#[derive(Debug)]
pub struct Talk {
    pub id: String,
    pub history: Vec<Known>,
    pub doubt: Option<Doubt>,
    /// Whether it is known to be there: a chat makes one by an id of the client's.
    pub made: bool,
    /// Whether anything was asked since its history was last compared.
    pub touched: bool,
    /// Whether the calls of its last message were answered apart from a turn, so that it may go on by itself.
    pub answered: bool,
}

impl Known {
    /// A user's message.
    pub fn question(id: String, content: String) -> Self {
        Known { id, role: "user", content, parts: Vec::new(), shown: None }
    }

    fn of(served: &Value) -> Self {
        Known {
            id: text(served, "id").to_owned(),
            role: if served["role"] == "user" { "user" } else { "assistant" },
            content: text(served, "content").to_owned(),
            parts: served["parts"].as_array().unwrap().clone(),
            shown: Some(served.clone()),
        }
    }

    /// The status it was last shown with.
    pub fn is_interrupted(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown["status"] == "interrupted")
    }

    fn is(&self, served: &Value) -> bool {
        match &self.shown {
            Some(shown) => shown == served || closed(shown, served),
            None => {
                (self.id.is_empty() || served["id"] == *self.id)
                    && (served["role"] == self.role && served["content"] == *self.content)
                    && served["status"] != "interrupted"
                    && grew(&self.parts, served["parts"].as_array().unwrap())
            }
        }
    }
}

impl Talk {
    pub fn new(id: String, made: bool) -> Self {
        Talk { id, history: Vec::new(), doubt: None, made, touched: true, answered: false }
    }

    /// The ids of the calls that its last message asks about.
    pub fn asks(&self) -> Vec<String> {
        let parts = self.history.last().map(|last| &*last.parts).unwrap_or_default();
        let asked = parts.iter().filter(|part| part["state"] == "approval-requested");
        asked.map(|part| part["approval"]["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether its last message has a call that is made again once it goes on.
    pub fn is_open(&self) -> bool {
        let parts = self.history.last().map(|last| &*last.parts).unwrap_or_default();
        parts.iter().any(|part| {
            let state = part["state"].as_str().unwrap_or_default();
            part["type"] == "dynamic-tool" && ["input-available", "approval-responded"].contains(&state)
        })
    }

    /// The answer that is in doubt.
    pub fn turn(&mut self) -> &mut Turn {
        match &mut self.doubt {
            Some(Doubt::Turn(turn)) => turn,
            other => panic!("no answer is in doubt: {other:?}"),
        }
    }

    /// What was in doubt was refused, and so not done.
    pub fn refused(&mut self) {
        self.doubt = None;
    }

    /// What was in doubt was acknowledged. Says whether the history is known without asking for it.
    pub fn settle(&mut self) -> bool {
        match self.doubt.take() {
            None => true,
            Some(Doubt::Append(message)) => {
                self.history.push(message);
                true
            }
            // An answer without words may have been nothing at all, and calls have ends that are not heard here.
            Some(Doubt::Turn(turn)) if turn.heard.text.is_empty() || !turn.heard.whole || turn.has_calls() => {
                self.doubt = Some(Doubt::Turn(turn));
                false
            }
            Some(Doubt::Turn(turn)) => {
                let turn = *turn;
                let before = turn.continues.map(|before| (before.content, before.parts)).unwrap_or_default();
                let answer = Known {
                    id: turn.heard.message_id.unwrap(),
                    role: "assistant",
                    content: before.0 + &turn.heard.text,
                    parts: before.1,
                    shown: None,
                };
                self.history.truncate(turn.keep);
                self.history.extend(turn.question.into_iter().chain([answer]));
                true
            }
        }
    }

    /// Compares what is served with what must be; from then on all that was served must be. `None`: there is no session.
    pub fn compare(&mut self, served: Option<&[Value]>) -> Result<(), String> {
        let Some(served) = served else {
            return if self.made { Err(self.wrong("there is no such session", &[])) } else { Ok(()) };
        };
        // A reply that is being written is in no list.
        if self.answered && self.history.split_last().is_some_and(|(_, before)| are(before, served)) {
            return Ok(());
        }
        let as_before = self.doubt.is_none() || self.may_not_have_begun();
        if !(as_before && are(&self.history, served)) {
            self.compare_doubt(served).map_err(|what| self.wrong(what, served))?;
        }
        self.history = served.iter().map(Known::of).collect();
        self.doubt = None;
        self.answered &= !self.asks().is_empty();
        self.made = true;
        self.touched = false;
        Ok(())
    }

    fn may_not_have_begun(&self) -> bool {
        match &self.doubt {
            None => false,
            Some(Doubt::Turn(turn)) => !turn.heard.begun || turn.may_replace_nothing(),
            Some(_) => true,
        }
    }

    fn compare_doubt(&self, served: &[Value]) -> Result<(), &'static str> {
        match &self.doubt {
            None if self.answered => self.compare_answered(served),
            None => Err("the history is not what it was"),
            Some(Doubt::Append(message)) => {
                let all: Vec<_> = self.history.iter().cloned().chain([message.clone()]).collect();
                are(&all, served).then_some(()).ok_or("neither the history nor the history and what was appended")
            }
            Some(Doubt::Turn(turn)) => {
                let stays: Vec<_> = self.history[..turn.keep].iter().cloned().chain(turn.question.clone()).collect();
                let (before, rest) = served.split_at_checked(stays.len()).ok_or("messages are missing")?;
                are(&stays, before).then_some(()).ok_or("what came before the answer is not what it was")?;
                turn.compare(rest)
            }
        }
    }

    /// The last message may have gone on by itself.
    fn compare_answered(&self, served: &[Value]) -> Result<(), &'static str> {
        let (Some((last, before)), Some((now, rest))) = (self.history.split_last(), served.split_last()) else {
            return Err("messages are missing");
        };
        let goes_on = now["id"] == *last.id && grew(&last.parts, now["parts"].as_array().unwrap());
        let is_same = are(before, rest) && goes_on && text(now, "content").starts_with(&last.content);
        is_same.then_some(()).ok_or("the answer whose calls were answered is not what it was before them")
    }

    fn wrong(&self, what: &str, served: &[Value]) -> String {
        let served: Vec<_> = served.iter().map(Value::to_string).collect();
        format!("{what}\nsession {}\nserved:\n{}\nknown: {self:#?}", self.id, served.join("\n"))
    }
}

impl Turn {
    /// A new answer in another's place that says nothing, or has put no word on the disk, leaves the other where it is.
    fn may_replace_nothing(&self) -> bool {
        let replaces = self.question.is_none() && self.continues.is_none();
        replaces && (self.heard.text.is_empty() || !self.heard.committed)
    }

    fn has_calls(&self) -> bool {
        let had = |before: &Known| before.parts.iter().any(is_open_call);
        self.heard.asks || self.continues.as_ref().is_some_and(had)
    }

    /// Compares what follows the question: nothing, or the answer as far as it came.
    fn compare(&self, rest: &[Value]) -> Result<(), &'static str> {
        let heard = &self.heard;
        let answer = match rest {
            [] if self.continues.is_some() => return Err("the answer that was to go on is gone"),
            [] if heard.committed && !heard.text.is_empty() => return Err("an answer whose end was heard is gone"),
            [] => return Ok(()),
            [answer] => answer,
            _ => return Err("there is more than one answer"),
        };
        if answer["role"] != "assistant" || heard.message_id.as_ref().is_some_and(|id| answer["id"] != **id) {
            return Err("the answer is another one");
        }
        let (before, parts) = self.continues.as_ref().map(|known| (&*known.content, &*known.parts)).unwrap_or_default();
        if !grew(parts, answer["parts"].as_array().unwrap()) {
            return Err("the answer lost parts that it had before it went on");
        }
        let said = text(answer, "content").strip_prefix(before).ok_or("the answer lost what it had said before")?;
        let interrupted = answer["status"] == "interrupted";
        match (heard.committed, heard.whole) {
            (true, _) if interrupted => Err("an answer whose end was heard is interrupted"),
            (true, true) if said != heard.text => Err("an answer that was heard to its end says something else"),
            (true, false) if !said.starts_with(&heard.text) => {
                Err("an answer that is on the disk lacks what was heard")
            }
            (false, _) if !(said.starts_with(&heard.text) || interrupted && heard.text.starts_with(said)) => {
                Err("the answer does not say what was heard")
            }
            _ => Ok(()),
        }
    }
}

fn are(known: &[Known], served: &[Value]) -> bool {
    known.len() == served.len() && known.iter().zip(served).all(|(known, served)| known.is(served))
}

/// The message once the conversation went on without answers to its calls: kept anew, with a sentence for each.
fn closed(shown: &Value, served: &Value) -> bool {
    let parts = |message: &Value| message["parts"].as_array().unwrap().clone();
    let (before, now) = (parts(shown), parts(served));
    let without = |message: &Value| {
        let mut rest = message.clone();
        (rest["parts"], rest["createdAt"]) = (Value::Null, Value::Null);
        rest
    };
    let is_closed = now.iter().all(|part| !is_open_call(part));
    is_closed && without(shown) == without(served) && before.len() == now.len() && grew(&before, &now)
}

/// Whether these parts are those, and more: calls that were open may have ended, or been answered.
fn grew(before: &[Value], now: &[Value]) -> bool {
    let same_call = |before: &Value, now: &Value| {
        is_open_call(before) && ["type", "toolCallId", "input"].iter().all(|key| before[*key] == now[*key])
    };
    now.len() >= before.len() && before.iter().zip(now).all(|(before, now)| before == now || same_call(before, now))
}

fn is_open_call(part: &Value) -> bool {
    let state = part["state"].as_str().unwrap_or_default();
    ["input-available", "approval-requested", "approval-responded"].contains(&state)
}

fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message[key].as_str().unwrap()
}
