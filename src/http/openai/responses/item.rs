//! One item of what a response says: words, thoughts, or a call of a client's tool.
//!
//! Rule: an item's events add up to the item.

use serde_json::{Value, json};

/// An item, as far as it has come.
#[derive(Debug, Default)]
pub struct Item {
    pub kind: Kind,
    /// What the chunks call it: a part's id, or a call's.
    pub key: String,
    pub text: String,
    /// How much of the text is out.
    pub sent: usize,
    /// Whether its beginning is out.
    pub is_added: bool,
    /// Whether nothing is added to it any more.
    pub is_closed: bool,
}

/// What it is.
#[derive(Debug, Default)]
pub enum Kind {
    #[default]
    Message,
    Reasoning,
    Call {
        name: String,
    },
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Completed,
    Incomplete,
}

/// An event and its fields.
type Event = (&'static str, Value);

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Status::Completed => "completed",
            Status::Incomplete => "incomplete",
        }
    }
}

impl Item {
    /// An empty one.
    pub fn new(kind: Kind, key: &str) -> Self {
        Item { kind, key: key.to_owned(), ..Item::default() }
    }

    /// Whether it is a call.
    pub fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Call { .. })
    }

    /// Its id, as the item of that number of a turn.
    pub fn id(&self, turn: &str, number: usize) -> String {
        let prefix = match self.kind {
            Kind::Message => "msg",
            Kind::Reasoning => "rs",
            Kind::Call { .. } => "fc",
        };
        format!("{prefix}_{turn}-{number}")
    }

    /// As it begins.
    pub fn begun(&self, id: &str) -> Value {
        match &self.kind {
            Kind::Message => {
                json!({ "id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": [] })
            }
            Kind::Reasoning => json!({ "id": id, "type": "reasoning", "summary": [], "content": [] }),
            Kind::Call { name } => json!({
                "id": id, "type": "function_call", "status": "in_progress", "call_id": self.key, "name": name,
                "arguments": "",
            }),
        }
    }

    /// As it is with all its text.
    pub fn whole(&self, id: &str, status: Status) -> Value {
        let status = status.as_str();
        match &self.kind {
            Kind::Message => json!({
                "id": id, "type": "message", "status": status, "role": "assistant", "content": [self.part(&self.text)],
            }),
            Kind::Reasoning => {
                json!({ "id": id, "type": "reasoning", "summary": [self.part(&self.text)], "content": [] })
            }
            Kind::Call { name } => json!({
                "id": id, "type": "function_call", "status": status, "call_id": self.key, "name": name,
                "arguments": self.text,
            }),
        }
    }

    /// What follows its beginning.
    pub fn opening(&self, id: &str, at: usize) -> Option<Event> {
        let part = self.part("");
        match self.kind {
            Kind::Message => Some((
                "response.content_part.added",
                json!({ "item_id": id, "output_index": at, "content_index": 0, "part": part }),
            )),
            Kind::Reasoning => Some((
                "response.reasoning_summary_part.added",
                json!({ "item_id": id, "output_index": at, "summary_index": 0, "part": part }),
            )),
            Kind::Call { .. } => None,
        }
    }

    /// A piece of its text.
    pub fn delta(&self, id: &str, at: usize, piece: &str) -> Event {
        match self.kind {
            Kind::Message => (
                "response.output_text.delta",
                json!({ "item_id": id, "output_index": at, "content_index": 0, "delta": piece, "logprobs": [] }),
            ),
            Kind::Reasoning => (
                "response.reasoning_summary_text.delta",
                json!({ "item_id": id, "output_index": at, "summary_index": 0, "delta": piece }),
            ),
            Kind::Call { .. } => {
                ("response.function_call_arguments.delta", json!({ "item_id": id, "output_index": at, "delta": piece }))
            }
        }
    }

    /// What comes before its end.
    pub fn closing(&self, id: &str, at: usize) -> Vec<Event> {
        let (text, part) = (&self.text, self.part(&self.text));
        match &self.kind {
            Kind::Message => vec![
                (
                    "response.output_text.done",
                    json!({ "item_id": id, "output_index": at, "content_index": 0, "text": text, "logprobs": [] }),
                ),
                (
                    "response.content_part.done",
                    json!({ "item_id": id, "output_index": at, "content_index": 0, "part": part }),
                ),
            ],
            Kind::Reasoning => vec![
                (
                    "response.reasoning_summary_text.done",
                    json!({ "item_id": id, "output_index": at, "summary_index": 0, "text": text }),
                ),
                (
                    "response.reasoning_summary_part.done",
                    json!({ "item_id": id, "output_index": at, "summary_index": 0, "part": part }),
                ),
            ],
            Kind::Call { name } => vec![(
                "response.function_call_arguments.done",
                json!({ "item_id": id, "output_index": at, "arguments": text, "name": name }),
            )],
        }
    }

    fn part(&self, text: &str) -> Value {
        match self.kind {
            Kind::Reasoning => json!({ "type": "summary_text", "text": text }),
            _ => json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }),
        }
    }
}
