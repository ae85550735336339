//! Which chunks a client of this API is shown: all but those of calls that are not its own.
//!
//! Rule: a call is the client's if the request brought a tool of its name, or if its arguments are kept as the model wrote them,
//! which is done for a client's calls alone.

use std::collections::HashSet;

use crate::turn::{calls::AS_WRITTEN, chunk::Chunk};

/// The client's calls, as far as they are known.
#[derive(Debug, Default)]
pub struct Theirs {
    /// The tools that the request brought, by name.
    tools: HashSet<String>,
    calls: HashSet<String>,
}

impl Theirs {
    /// Of a request that brought these tools.
    pub fn new(tools: impl IntoIterator<Item = String>) -> Self {
        Theirs { tools: tools.into_iter().collect(), calls: HashSet::new() }
    }

    /// Whether the client is shown that chunk.
    pub fn has(&mut self, chunk: &Chunk) -> bool {
        match chunk {
            Chunk::ToolInputStart { tool_call_id, tool_name, .. } => {
                let is_theirs = self.tools.contains(tool_name);
                if is_theirs {
                    self.calls.insert(tool_call_id.clone());
                }
                is_theirs
            }
            Chunk::ToolInputDelta { tool_call_id, .. } => self.calls.contains(tool_call_id),
            Chunk::ToolInputAvailable { tool_call_id, tool_name, provider_metadata, .. }
            | Chunk::ToolInputError { tool_call_id, tool_name, provider_metadata, .. } => {
                let is_kept = provider_metadata.as_ref().is_some_and(|metadata| metadata.get(AS_WRITTEN).is_some());
                is_kept || self.calls.contains(tool_call_id) || self.tools.contains(tool_name)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_is_shown_its_own_calls_and_no_others() {
        let mut theirs = Theirs::new(["f".to_owned()]);
        let mut has = |chunk: serde_json::Value| theirs.has(&serde_json::from_value(chunk).unwrap());
        let start = |id: &str, name: &str| json!({"type": "tool-input-start", "toolCallId": id, "toolName": name});
        let delta = |id: &str| json!({"type": "tool-input-delta", "toolCallId": id, "inputTextDelta": "{"});
        let input = |id: &str, name: &str| json!({"type": "tool-input-available", "toolCallId": id, "toolName": name, "input": {}});
        assert!(has(start("1", "f")) && has(delta("1")) && has(input("1", "f")) && has(input("3", "f")));
        assert!(!has(start("2", "ours")) && !has(delta("2")) && !has(input("2", "ours")));
        let mut written = input("4", "odd");
        written["providerMetadata"] = json!({"alm": {"arguments": "{}"}});
        assert!(has(written));
        assert!(has(json!({"type": "text-delta", "id": "p", "delta": "x"})));
    }
}
