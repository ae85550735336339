//! What a client may call: the four tools, what is told of them, and who sees them.
//!
//! Rule: a tool that the key's scopes do not reach is not listed, and unknown if it is called.

use serde_json::{Value, json};

use super::read::{HITS_DEFAULT, HITS_MAX, MESSAGES_DEFAULT, MESSAGES_MAX};
use crate::http::auth::Program;

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    ListAgents,
    AskAgent,
    SearchHistory,
    ReadSession,
}

impl Tool {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Tool; 4] = [Tool::ListAgents, Tool::AskAgent, Tool::SearchHistory, Tool::ReadSession];

    /// What clients call it.
    pub fn name(self) -> &'static str {
        match self {
            Tool::ListAgents => "list_agents",
            Tool::AskAgent => "ask_agent",
            Tool::SearchHistory => "search_history",
            Tool::ReadSession => "read_session",
        }
    }

    /// Those that whoever has this key may call.
    pub fn of(program: Program) -> impl Iterator<Item = Tool> {
        Self::ALL.into_iter().filter(move |tool| match tool {
            Tool::AskAgent => program.chats,
            _ => program.reads,
        })
    }

    /// As `tools/list` shows it.
    pub fn spec(self) -> Value {
        let mut spec = match self {
            Tool::ListAgents => list_agents(),
            Tool::AskAgent => ask_agent(),
            Tool::SearchHistory => search_history(),
            Tool::ReadSession => read_session(),
        };
        spec["annotations"] = match self {
            // What an agent does is what its own tools do.
            Tool::AskAgent => {
                json!({ "readOnlyHint": false, "destructiveHint": true, "idempotentHint": false, "openWorldHint": true })
            }
            _ => json!({ "readOnlyHint": true, "openWorldHint": false }),
        };
        spec
    }
}

/// An object with all of `properties`, but for those named `optional`.
fn object(properties: Value, optional: &[&str]) -> Value {
    let names = properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let required: Vec<_> = names.filter(|name| !optional.contains(name)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn list(item: Value) -> Value {
    json!({ "type": "array", "items": item })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn count(description: &str, max: usize) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": max, "description": description })
}

fn list_agents() -> Value {
    let agent = json!({
        "agent": text("What ask_agent calls it."),
        "name": { "type": "string" },
        "description": { "type": "string" },
    });
    json!({
        "name": Tool::ListAgents.name(),
        "title": "List agents",
        "description": "The agents of this organization that can be asked, each with what it is for.",
        "inputSchema": object(json!({}), &[]),
        "outputSchema": object(json!({ "agents": list(object(agent, &[])), "hasMore": { "type": "boolean" } }), &[]),
    })
}

fn ask_agent() -> Value {
    let input = json!({
        "agent": text("An agent from list_agents; `ala` is always there."),
        "message": text("What to ask, with all that the agent has to know: it sees nothing of this conversation."),
        "sessionId": text("To go on with a conversation: the sessionId of an earlier answer."),
    });
    let waiting = json!({
        "approvalId": { "type": "string" },
        "toolName": { "type": "string" },
    });
    let output = json!({
        "text": text("What the agent said."),
        "sessionId": text("The conversation, for a next question."),
        "messageId": { "type": ["string", "null"], "description": "The stored message; null if nothing was said." },
        "status": {
            "type": "string", "enum": ["complete", "stopped", "interrupted", "error", "awaiting_approval"],
            "description": "awaiting_approval: a person has to allow what the agent wants to do, on alm's own page.",
        },
        "finishReason": { "type": ["string", "null"] },
        "usage": { "type": ["object", "null"], "description": "Tokens, if the model counted them." },
        "costMicrocents": { "type": "integer", "description": "What it cost; 100,000,000 are one US dollar." },
        "approvals": { "description": "The calls that wait.", "type": "array", "items": object(waiting, &[]) },
    });
    json!({
        "name": Tool::AskAgent.name(),
        "title": "Ask an agent",
        "description": "Asks one of the agents and waits for its answer, which is stored in a conversation of its own. It may take \
                        minutes; if the client gives up earlier, the answer is finished and stored all the same.",
        "inputSchema": object(input, &["sessionId"]),
        "outputSchema": object(output, &["approvals"]),
    })
}

fn search_history() -> Value {
    let input = json!({
        "query": text("Words that must all be in the message. The last may be the beginning of one."),
        "limit": count(&format!("How many messages to find; {HITS_DEFAULT} if absent."), HITS_MAX),
    });
    let hit = json!({
        "sessionId": { "type": "string" },
        "session": text("The conversation's name."),
        "role": { "type": "string", "enum": ["system", "user", "assistant"] },
        "text": text("Where the words were found."),
        "createdAt": { "type": "string", "format": "date-time" },
    });
    json!({
        "name": Tool::SearchHistory.name(),
        "title": "Search conversations",
        "description": "Finds messages of earlier conversations by their words.",
        "inputSchema": object(input, &["limit"]),
        "outputSchema": object(json!({ "hits": list(object(hit, &[])) }), &[]),
    })
}

fn read_session() -> Value {
    let input = json!({
        "sessionId": text("The conversation: from search_history or ask_agent."),
        "cursor": text("The nextCursor of the page before."),
        "limit": count(&format!("Messages of a page; {MESSAGES_DEFAULT} if absent."), MESSAGES_MAX),
    });
    let message = json!({
        "id": { "type": "string" },
        "role": { "type": "string", "enum": ["system", "user", "assistant"] },
        "text": { "type": "string" },
        "status": { "type": "string", "enum": ["complete", "stopped", "interrupted", "error"] },
        "createdAt": { "type": "string", "format": "date-time" },
    });
    let output = json!({
        "sessionId": { "type": "string" },
        "session": text("The conversation's name."),
        "status": text("`running` while an answer is being written."),
        "messages": list(object(message, &[])),
        "nextCursor": { "type": ["string", "null"] },
    });
    json!({
        "name": Tool::ReadSession.name(),
        "title": "Read a conversation",
        "description": "The messages of a conversation, oldest first, page by page. Texts alone: no files, no calls of tools.",
        "inputSchema": object(input, &["cursor", "limit"]),
        "outputSchema": object(output, &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_sees_the_tools_of_its_scopes_in_order() {
        let of = |reads, chats| Tool::of(Program { reads, chats }).map(Tool::name).collect::<Vec<_>>();
        assert_eq!(of(true, true), ["list_agents", "ask_agent", "search_history", "read_session"]);
        assert_eq!(of(false, true), ["ask_agent"]);
        assert_eq!(of(true, false), ["list_agents", "search_history", "read_session"]);
    }

    #[test]
    fn every_spec_is_whole() {
        for tool in Tool::ALL {
            let spec = tool.spec();
            assert_eq!(spec["name"], tool.name());
            for schema in [&spec["inputSchema"], &spec["outputSchema"]] {
                assert_eq!(schema["type"], "object");
            }
            assert_eq!(spec["annotations"]["readOnlyHint"], tool != Tool::AskAgent);
        }
        assert_eq!(Tool::AskAgent.spec()["inputSchema"]["required"], json!(["agent", "message"]));
    }
}
