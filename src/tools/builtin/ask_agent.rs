//! `ask_agent`: another agent of the organization does a part of the work.
//!
//! Rule: only an agent that names this tool has it. What comes of it is the turn's to say; here is what a model is told.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::tools::call::{Call, Ended};

#[derive(Debug, PartialEq, Deserialize)]
pub struct Arguments {
    agent: String,
    message: String,
}

pub(super) fn spec() -> (&'static str, Value) {
    let description = "Asks another agent and waits for its answer. Call it for work that another agent is there for. It sees \
                       nothing of this conversation, so the message has to hold all that it must know.";
    let parameters = json!({
        "type": "object",
        "properties": {
            "agent": { "type": "string", "description": "The agent's slug." },
            "message": { "type": "string", "description": "What it is to do." }
        },
        "required": ["agent", "message"],
        "additionalProperties": false
    });
    (description, parameters)
}

pub(super) async fn run(call: &Call, arguments: Arguments) -> Ended {
    match &call.agents {
        Some(agents) => agents.ask(arguments.agent, arguments.message).await,
        None => Ended::Failed("No agent can be asked here.".into()),
    }
}
