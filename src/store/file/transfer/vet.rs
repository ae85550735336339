//! Whether what a file brings could have been made here.

use rusqlite::Connection;

use crate::{
    error::{Error, Result},
    store::{
        mcp::{self, McpServer, McpTool},
        providers::{self, Provider},
        tools::{self, HttpTool},
    },
};

/// What an organization that was not made here has to keep to.
pub struct Vet {
    /// Returns a provider's base URL as it is kept.
    pub provider: fn(&Provider) -> Result<String>,
    pub tool: fn(&HttpTool) -> Result<()>,
    pub server: fn(&McpServer, &[McpTool]) -> Result<()>,
}

/// What a file brings keeps the rules of what is made here.
pub(super) fn check(c: &Connection, slug: &str, vet: &Vet) -> Result<()> {
    let org_id: String = c.query_row("SELECT id FROM org WHERE slug = ?1", [slug], |row| row.get(0))?;
    for provider in providers::of_org(c, &org_id)? {
        let kept = (vet.provider)(&provider)
            .map_err(|error| Error::failed(format!("the provider {}: {error}", provider.slug)))?;
        c.execute("UPDATE provider SET base_url = ?1 WHERE id = ?2", (kept, &provider.id))?;
    }
    for tool in tools::of_org(c, &org_id)? {
        (vet.tool)(&tool).map_err(|error| Error::failed(format!("the tool {}: {error}", tool.name)))?;
    }
    for server in mcp::of_org(c, &org_id)? {
        let tools = mcp::tools_of(c, &org_id, &server.id)?;
        (vet.server)(&server, &tools)
            .map_err(|error| Error::failed(format!("the MCP server {}: {error}", server.slug)))?;
    }
    Ok(())
}
