//! The order of a stream: what the SDK's client enforces, and what we promise beyond it.
//!
//! Enforced there: nothing fills or ends a part that is not open; nothing answers a call that is not there. Ours: ids are
//! used once in a message, no piece is empty, one part of text or reasoning is open at most, every call has a name, an
//! input and an output, and a step leaves nothing open.

use std::collections::{HashMap, HashSet};

use crate::turn::chunk::Chunk;

/// How far a call has come.
#[derive(Debug, PartialEq)]
enum Call {
    Begun,
    HasInput,
    HasOutput,
}

/// A client's view of a stream; panics at what it could not take.
#[derive(Debug, Default)]
pub(super) struct Order {
    in_step: bool,
    used: HashSet<String>,
    /// The part that takes deltas, whether it is reasoning, and whether it has any yet.
    open: Option<(String, bool, bool)>,
    calls: HashMap<String, (String, Call)>,
}

impl Order {
    /// Takes the next chunk of a step.
    pub fn take(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::StartStep => assert!(!std::mem::replace(&mut self.in_step, true), "a step in a step"),
            Chunk::FinishStep => {
                assert!(std::mem::take(&mut self.in_step), "no step to finish");
                self.end();
            }
            _ if !self.in_step => panic!("outside a step: {chunk:?}"),
            Chunk::TextStart { id } => self.start(id, false),
            Chunk::ReasoningStart { id } => self.start(id, true),
            Chunk::TextDelta { id, delta } => self.fill(id, false, delta),
            Chunk::ReasoningDelta { id, delta } => self.fill(id, true, delta),
            Chunk::TextEnd { id } => self.end_part(id, false),
            Chunk::ReasoningEnd { id } => self.end_part(id, true),
            Chunk::SourceUrl { source_id, .. } => {
                assert!(self.used.insert(source_id.clone()), "{source_id} is used twice");
            }
            _ => self.take_call(chunk),
        }
    }

    fn take_call(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::ToolInputStart { tool_call_id, tool_name, .. } => {
                assert!(!tool_name.trim().is_empty(), "a call without a name");
                let before = self.calls.insert(tool_call_id.clone(), (tool_name.clone(), Call::Begun));
                assert!(before.is_none(), "{tool_call_id} begins twice");
            }
            Chunk::ToolInputDelta { tool_call_id, input_text_delta } => {
                assert!(!input_text_delta.is_empty(), "an empty piece of arguments");
                assert_eq!(self.calls[tool_call_id].1, Call::Begun);
            }
            Chunk::ToolInputAvailable { tool_call_id, tool_name, .. }
            | Chunk::ToolInputError { tool_call_id, tool_name, .. } => {
                let call = self.calls.get_mut(tool_call_id).expect("a call that has begun");
                assert_eq!(*call, (tool_name.clone(), Call::Begun));
                call.1 = Call::HasInput;
            }
            Chunk::ToolOutputAvailable { tool_call_id, .. } | Chunk::ToolOutputError { tool_call_id, .. } => {
                let call = self.calls.get_mut(tool_call_id).expect("a call that has begun");
                assert_eq!(std::mem::replace(&mut call.1, Call::HasOutput), Call::HasInput);
            }
            other => panic!("not in a step: {other:?}"),
        }
    }

    /// Nothing may be open now.
    pub fn end(&self) {
        assert_eq!(self.open, None, "a part is left open");
        assert!(self.calls.values().all(|(_, call)| *call == Call::HasOutput), "a call without an output");
    }

    fn start(&mut self, id: &str, is_reasoning: bool) {
        assert!(self.used.insert(id.to_owned()), "{id} is used twice");
        let before = self.open.replace((id.to_owned(), is_reasoning, false));
        assert_eq!(before, None, "two parts are open");
    }

    fn fill(&mut self, id: &str, is_reasoning: bool, delta: &str) {
        assert!(!delta.is_empty(), "an empty delta");
        let open = self.open.as_mut().expect("an open part");
        assert_eq!((&*open.0, open.1), (id, is_reasoning));
        open.2 = true;
    }

    fn end_part(&mut self, id: &str, is_reasoning: bool) {
        assert_eq!(
            self.open.take(),
            Some((id.to_owned(), is_reasoning, true)),
            "an end of what is not open or is empty"
        );
    }
}
