//! What a stream of events comes to, where it is not streamed.

use serde_json::value::{RawValue, to_raw_value};

use super::event::{Block, Delta, Event, Message};
use crate::turn::line::write_json;

/// The events so far.
#[derive(Debug, Default)]
pub struct Whole {
    message: Option<Message>,
    /// The arguments of the call that is the last block.
    arguments: String,
}

impl Whole {
    /// Takes an event in; at the last one all is appended to `body`.
    pub fn take(&mut self, event: &Event<'_>, body: &mut Vec<u8>) {
        match event {
            Event::MessageStart { message } => self.message = Some(message.clone()),
            Event::ContentBlockStart { content_block, .. } => self.content().extend([content_block.clone()]),
            Event::ContentBlockDelta { delta, .. } => self.fill(delta),
            Event::ContentBlockStop { .. } => self.end_block(),
            Event::MessageDelta { delta, usage } => {
                if let Some(message) = &mut self.message {
                    (message.end, message.usage) = (*delta, *usage);
                }
            }
            Event::MessageStop => write_json(&self.message, body),
            Event::Error { .. } => write_json(event, body),
            Event::Ping => {}
        }
    }

    fn content(&mut self) -> &mut Vec<Block> {
        // A message begins before its blocks do.
        self.message.as_mut().map(|message| &mut message.content).expect("blocks come after the first event")
    }

    fn fill(&mut self, delta: &Delta<'_>) {
        match (self.content().last_mut(), delta) {
            (Some(Block::Text { text, .. }), Delta::Text { text: more }) => text.push_str(more),
            (Some(Block::Thinking { thinking, .. }), Delta::Thinking { thinking: more }) => thinking.push_str(more),
            (_, Delta::Input { partial_json }) => self.arguments.push_str(partial_json),
            _ => {}
        }
    }

    fn end_block(&mut self) {
        let arguments = std::mem::take(&mut self.arguments);
        if let Some(Block::ToolUse { input, .. }) = self.content().last_mut() {
            *input = raw(arguments);
        }
    }
}

/// A call's arguments, as the model wrote them; as a string if they are no JSON.
fn raw(arguments: String) -> Box<RawValue> {
    if arguments.is_empty() {
        return to_raw_value(&serde_json::Map::new()).expect("an empty object is JSON");
    }
    RawValue::from_string(arguments.clone()).unwrap_or_else(|_| to_raw_value(&arguments).expect("a string is JSON"))
}
