//! What the model says, put together of the pieces that come.
//!
//! Rule: where one kind of words gives way to another, a character of which only half has come is over.

use crate::model::{Delta, halves::Joiner};

/// What words are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Text,
    Reasoning,
}

/// The voice of one reply.
#[derive(Debug, Default)]
pub(super) struct Voice {
    kind: Kind,
    halves: Joiner,
}

impl Voice {
    /// Takes a piece of words and appends what is whole of it.
    pub fn say(&mut self, kind: Kind, piece: &str, out: &mut Vec<Delta>) {
        if piece.is_empty() {
            return;
        }
        if kind != self.kind {
            self.end(out);
            self.kind = kind;
        }
        let text = self.halves.join(piece).into_owned();
        self.put(text, out);
    }

    /// The reply is over, or says something else.
    pub fn end(&mut self, out: &mut Vec<Delta>) {
        let last = self.halves.end().map(String::from).unwrap_or_default();
        self.put(last, out);
    }

    fn put(&self, text: String, out: &mut Vec<Delta>) {
        if !text.is_empty() {
            out.push(match self.kind {
                Kind::Text => Delta::Text(text),
                Kind::Reasoning => Delta::Reasoning(text),
            });
        }
    }
}
