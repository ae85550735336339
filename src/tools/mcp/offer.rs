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
