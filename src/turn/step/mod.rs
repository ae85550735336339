//! Model calls on their way to the client: deltas become chunks.
//!
//! Rule: the order is the one the AI SDK's own server writes; a part is begun, filled and ended, its id and a call's id are
//! unique in the message, and none is empty. An open text stays open while a tool's input streams, as it does there.
//! Deliberately absent: `start-step`, `finish-step` and what follows from a call's arguments. The turn knows those.

use std::collections::{HashMap, HashSet};

use super::{chunk::Chunk, line::pieces};
use crate::model::Delta;

/// The model call that runs, and the ids that the calls before it took.
#[derive(Debug, Default)]
pub struct Step {
    next_part: u32,
    open: Option<Open>,
    /// Every tool call's id in the message.
    call_ids: HashSet<String>,
    /// The ids of this model call's tool calls: the upstream's, and ours.
    renamed: HashMap<String, String>,
    /// The tools that clients do not know, by name.
    dynamic: HashSet<String>,
    /// Whether a call ends the words before it.
    is_apart: bool,
}

/// The part that takes the next delta. There is one at most: reasoning ends text, and text ends reasoning.
#[derive(Debug)]
enum Open {
    Text(String),
    Reasoning(String),
}

impl Step {
    /// For a message that has tool calls of these ids already.
    pub fn new(call_ids: impl IntoIterator<Item = String>) -> Self {
        Self { call_ids: call_ids.into_iter().collect(), ..Self::default() }
    }

    /// The same, where clients do not know the tools of these names.
    pub fn with_dynamic(self, names: impl IntoIterator<Item = String>) -> Self {
        Self { dynamic: names.into_iter().collect(), ..self }
    }

    /// The same, where a call ends the words before it if `is_apart`: a wire without open parts beside one another has them in the
    /// order in which they are stored.
    pub fn apart(self, is_apart: bool) -> Self {
        Self { is_apart, ..self }
    }

    /// Begins the next model call.
    pub fn begin(&mut self) {
        self.renamed.clear();
    }

    /// The id in the message of a call of the running model call. Upstreams count from the start in each reply, and a
    /// client that meets an id again overwrites the older call.
    pub fn call_id(&mut self, id: &str) -> String {
        if let Some(known) = self.renamed.get(id) {
            return known.clone();
        }
        let mut unique = id.to_owned();
        for n in 2.. {
            if self.call_ids.insert(unique.clone()) {
                break;
            }
            unique = format!("{id}-{n}");
        }
        self.renamed.insert(id.to_owned(), unique.clone());
        unique
    }

    /// Appends the chunks for `delta`.
    pub fn delta(&mut self, delta: Delta, out: &mut Vec<Chunk>) {
        match delta {
            Delta::Text(delta) if delta.is_empty() => {}
            Delta::Reasoning(delta) if delta.is_empty() => {}
            Delta::Text(delta) => {
                let id = self.text(out);
                out.extend(pieces(&delta).map(|delta| Chunk::TextDelta { id: id.clone(), delta: delta.to_owned() }));
            }
            Delta::Reasoning(delta) => {
                let id = self.reasoning(out);
                out.extend(
                    pieces(&delta).map(|delta| Chunk::ReasoningDelta { id: id.clone(), delta: delta.to_owned() }),
                );
            }
            Delta::ToolStart { id, name } => {
                match self.is_apart {
                    true => self.end(out),
                    false => self.end_reasoning(out),
                }
                let dynamic = self.dynamic.contains(&name);
                out.push(Chunk::ToolInputStart { tool_call_id: self.call_id(&id), tool_name: name, dynamic });
            }
            Delta::ToolArguments { id, fragment } => {
                self.end_reasoning(out);
                let id = self.call_id(&id);
                out.extend(pieces(&fragment).map(|piece| Chunk::ToolInputDelta {
                    tool_call_id: id.clone(),
                    input_text_delta: piece.to_owned(),
                }));
            }
            Delta::Source { url, title } => {
                let source_id = self.new_id();
                out.push(Chunk::SourceUrl { source_id, url, title });
            }
            // Streamed at the end of the turn, once what was said is stored.
            Delta::Fault(_) => {}
        }
    }

    /// Ends what is open; the step may go on all the same.
    pub fn end(&mut self, out: &mut Vec<Chunk>) {
        match self.open.take() {
            Some(Open::Text(id)) => out.push(Chunk::TextEnd { id }),
            Some(Open::Reasoning(id)) => out.push(Chunk::ReasoningEnd { id }),
            None => {}
        }
    }

    fn end_reasoning(&mut self, out: &mut Vec<Chunk>) {
        if let Some(Open::Reasoning(_)) = self.open {
            self.end(out);
        }
    }

    fn text(&mut self, out: &mut Vec<Chunk>) -> String {
        if let Some(Open::Text(id)) = &self.open {
            return id.clone();
        }
        self.end(out);
        let id = self.new_id();
        self.open = Some(Open::Text(id.clone()));
        out.push(Chunk::TextStart { id: id.clone() });
        id
    }

    fn reasoning(&mut self, out: &mut Vec<Chunk>) -> String {
        if let Some(Open::Reasoning(id)) = &self.open {
            return id.clone();
        }
        self.end(out);
        let id = self.new_id();
        self.open = Some(Open::Reasoning(id.clone()));
        out.push(Chunk::ReasoningStart { id: id.clone() });
        id
    }

    fn new_id(&mut self) -> String {
        let id = format!("p{}", self.next_part);
        self.next_part += 1;
        id
    }
}

#[cfg(test)]
mod tests;
