//! The tools of MCP servers as a turn is offered them, from the file alone.

use std::time::Duration;

use serde_json::Value;

use super::target::Target;
use crate::{
    store::{
        mcp::{Approval, McpServer, McpTool},
        tool_calls::Origin,
    },
    tools::{Tool, Way, listing},
};

/// Longest text of a server of how it wants to be used, in characters; the rest of it is cut off.
pub const INSTRUCTIONS_CHARS_MAX: usize = 4_000;

/// What a server says of how it wants to be used, if models are to read it.
pub(super) fn instructions(server: &McpServer) -> Option<String> {
    let text = server.instructions.as_deref().filter(|_| server.use_instructions)?.trim();
    (!text.is_empty()).then(|| cut(text, INSTRUCTIONS_CHARS_MAX))
}

/// The first characters of a text.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// The tool as it is offered, if it can be.
pub(super) fn offered(server: &McpServer, tool: McpTool) -> Option<Tool> {
    if !(tool.is_on && tool.is_there && tool.fault.is_none()) {
        return None;
    }
    let mut definition: Value = serde_json::from_str(&tool.definition).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Tool {
        policy: listing::policy_of(server, &tool, &definition),
        title: text(&definition["title"]),
        description: text(&definition["description"]).unwrap_or_default(),
        // A hint is a stranger's word: it may spare a question after an unknown end, and nothing more.
        is_read_only: definition["annotations"]["readOnlyHint"] == true && server.approval == Approval::Hints,
        input_schema: definition["inputSchema"].take(),
        origin: Origin::Mcp,
        server: Some(server.slug.clone()),
        fingerprint: tool.fingerprint,
        is_idempotent: tool.is_idempotent,
        price: tool.price,
        time_max: Duration::from_millis(server.timeout_ms.into()),
        way: Way::Mcp(Target { server_id: tool.server_id, remote_name: tool.remote_name }),
        name: tool.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::mcp::merge::tests::server;

    #[test]
    fn what_a_server_says_of_its_use_is_read_where_a_person_lets_it_and_cut_where_it_is_long() {
        let said = |text: &str, is_used: bool| {
            let row = server(true, crate::store::mcp::NewTools::Off);
            instructions(&McpServer { use_instructions: is_used, instructions: Some(text.into()), ..row })
        };
        assert_eq!(said("Be kind.\n", true).as_deref(), Some("Be kind."));
        assert_eq!((said("Be kind.", false), said(" \n", true)), (None, None));
        for chars in [INSTRUCTIONS_CHARS_MAX - 1, INSTRUCTIONS_CHARS_MAX, INSTRUCTIONS_CHARS_MAX + 1] {
            let kept = said(&"\u{e9}".repeat(chars), true).unwrap().chars().count();
            assert_eq!(kept, chars.min(INSTRUCTIONS_CHARS_MAX));
        }
    }
}
