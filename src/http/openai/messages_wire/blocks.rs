//! Which block takes what a model says next.
//!
//! Rule: the first block of the line is the one that is streamed. A call that is not whole as yet makes the blocks behind it wait;
//! text and thoughts end where something else begins.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    mem,
};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::event::{Block, Caller, Delta, Event};

/// Between texts of different steps, which are one to a reader.
const BETWEEN: &str = "\n\n";

/// The blocks that are not over.
#[derive(Debug, Default)]
pub struct Blocks {
    line: VecDeque<Open>,
    /// The number of the first of the line.
    index: usize,
    /// Whether it has begun.
    has_begun: bool,
    /// Every call so far.
    calls: HashSet<String>,
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    Thinking,
    Call { id: String, name: String },
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    /// What waits to be streamed; of a call, all of it.
    kept: String,
    is_whole: bool,
}

impl Blocks {
    /// Text or thoughts of another part: a blank line before it, if the block goes on.
    pub fn part<'a>(&mut self, kind: Kind, events: &mut Vec<Event<'a>>) {
        if self.takes(&kind) {
            self.say(kind, BETWEEN, events);
        }
    }

    /// More text, or more thoughts.
    pub fn say<'a>(&mut self, kind: Kind, piece: &'a str, events: &mut Vec<Event<'a>>) {
        if !self.takes(&kind) {
            self.put(kind, events);
        }
        match &mut *self.line.make_contiguous() {
            [only] => events.push(delta(self.index, &only.kind, piece.into())),
            [.., last] => last.kept.push_str(piece),
            [] => {}
        }
    }

    /// A call begins, unless it has begun.
    pub fn call<'a>(&mut self, id: &str, name: &str, events: &mut Vec<Event<'a>>) {
        if self.calls.insert(id.to_owned()) {
            self.put(Kind::Call { id: id.to_owned(), name: name.to_owned() }, events);
        }
    }

    /// More of a call's arguments.
    pub fn argue<'a>(&mut self, id: &str, piece: &'a str, events: &mut Vec<Event<'a>>) {
        let Some(at) = self.find(id) else { return };
        self.line[at].kept.push_str(piece);
        if at == 0 {
            events.push(delta(self.index, &self.line[0].kind, piece.into()));
        }
    }

    /// A call is whole; `input` is streamed if nothing of it was.
    pub fn end_call(&mut self, id: &str, input: &str, events: &mut Vec<Event<'_>>) {
        let Some(at) = self.find(id) else { return };
        let open = &mut self.line[at];
        open.is_whole = true;
        if open.kept.is_empty() {
            input.clone_into(&mut open.kept);
            if at == 0 {
                events.push(delta(self.index, &open.kind, open.kept.clone().into()));
            }
        }
        self.advance(events);
    }

    /// Nothing more comes.
    pub fn end(&mut self, events: &mut Vec<Event<'_>>) {
        self.line.iter_mut().for_each(|open| open.is_whole = true);
        self.advance(events);
    }

    /// Whether the last block takes more of that kind.
    fn takes(&self, kind: &Kind) -> bool {
        self.line.back().is_some_and(|last| last.kind == *kind)
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.line.iter().position(|open| matches!(&open.kind, Kind::Call { id: own, .. } if own == id))
    }

    fn put(&mut self, kind: Kind, events: &mut Vec<Event<'_>>) {
        if let Some(last) = self.line.back_mut() {
            last.is_whole |= !matches!(last.kind, Kind::Call { .. }) || is_json(&last.kept);
        }
        self.line.push_back(Open { kind, kept: String::new(), is_whole: false });
        self.advance(events);
    }

    /// Ends what is whole at the front of the line, and begins what comes next.
    fn advance(&mut self, events: &mut Vec<Event<'_>>) {
        while let Some(first) = self.line.front_mut() {
            if !mem::replace(&mut self.has_begun, true) {
                events.push(Event::ContentBlockStart { index: self.index, content_block: first.kind.block() });
                let kept = match first.kind {
                    Kind::Call { .. } => first.kept.clone(),
                    _ => mem::take(&mut first.kept),
                };
                if !kept.is_empty() {
                    events.push(delta(self.index, &first.kind, kept.into()));
                }
            }
            if !first.is_whole {
                return;
            }
            events.push(Event::ContentBlockStop { index: self.index });
            self.line.pop_front();
            self.index += 1;
            self.has_begun = false;
        }
    }
}

impl Kind {
    fn block(&self) -> Block {
        match self {
            Kind::Text => Block::Text { citations: None, text: String::new() },
            Kind::Thinking => Block::Thinking { thinking: String::new(), signature: "" },
            Kind::Call { id, name } => Block::ToolUse {
                caller: Caller { r#type: "direct" },
                id: id.clone(),
                name: name.clone(),
                input: RawValue::from_string("{}".into()).expect("an empty object is JSON"),
            },
        }
    }
}

fn delta<'a>(index: usize, kind: &Kind, piece: Cow<'a, str>) -> Event<'a> {
    let delta = match kind {
        Kind::Text => Delta::Text { text: piece },
        Kind::Thinking => Delta::Thinking { thinking: piece },
        Kind::Call { .. } => Delta::Input { partial_json: piece },
    };
    Event::ContentBlockDelta { index, delta }
}

/// Whether a call's arguments are whole, as far as their text tells.
fn is_json(arguments: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(arguments).is_ok()
}
