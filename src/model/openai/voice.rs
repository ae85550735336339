//! What the model says, put together of the pieces that come.
//!
//! Rule: where one kind of words gives way to another, a character of which only half has come is over.

use super::tags::{Kind, Tags};
use crate::model::{Delta, halves::Joiner};

/// The voice of one reply.
#[derive(Debug, Default)]
pub(super) struct Voice {
    kind: Kind,
    halves: Joiner,
    tags: Tags,
}

impl Voice {
    /// Of a model whose template opens the tag of its thoughts, or may not.
    pub fn new(is_opened: bool) -> Self {
        Self { tags: Tags::new(is_opened), ..Self::default() }
    }

    /// What was thought, by its tags.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Takes a piece of words and appends what is whole of it.
    pub fn say(&mut self, kind: Kind, piece: &str, out: &mut Vec<Delta>) {
        if piece.is_empty() {
            return;
        }
        if kind != self.kind {
            self.end_half(out);
            self.kind = kind;
        }
        let text = self.halves.join(piece);
        self.put(&text, out);
    }

    /// The reply says something else than words.
    pub fn pause(&mut self, out: &mut Vec<Delta>) {
        self.tags.flush(&mut |kind, text| push(kind, text, out));
    }

    /// The reply is over; by itself, or it was cut off.
    pub fn end(&mut self, is_complete: bool, out: &mut Vec<Delta>) {
        self.end_half(out);
        self.pause(out);
        if is_complete {
            self.tags.complete(&mut |kind, text| push(kind, text, out));
        }
    }

    fn end_half(&mut self, out: &mut Vec<Delta>) {
        if let Some(half) = self.halves.end() {
            self.put(half.encode_utf8(&mut [0; 4]), out);
        }
    }

    fn put(&mut self, text: &str, out: &mut Vec<Delta>) {
        match self.kind {
            _ if text.is_empty() => {}
            Kind::Text => self.tags.text(text, &mut |kind, text| push(kind, text, out)),
            Kind::Reasoning => {
                self.tags.off(&mut |kind, text| push(kind, text, out));
                push(Kind::Reasoning, text, out);
            }
        }
    }
}

fn push(kind: Kind, text: &str, out: &mut Vec<Delta>) {
    if !text.is_empty() {
        out.push(match kind {
            Kind::Text => Delta::Text(text.to_owned()),
            Kind::Reasoning => Delta::Reasoning(text.to_owned()),
        });
    }
}
