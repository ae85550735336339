//! What MCP servers told of themselves and of their tools, as it comes in.
//!
//! Rule: what a person set or accepted is not touched here; who decides what becomes of a list is `tools::mcp`, in one transaction
//! with reading what there was.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Org, Store,
    mcp::{McpServer, McpTool, Transport, tools_of},
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// A server, as far as its state asks.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerKind {
    pub id: String,
    pub transport: Transport,
    pub is_active: bool,
}

/// What a server told of itself with a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The protocol's version that it speaks.
    pub era: String,
    /// Its `serverInfo`, a JSON object as text.
    pub info: Option<String>,
    pub instructions: Option<String>,
    /// How long the list is good for.
    pub ttl_ms: i64,
    /// What there is to say of it.
    pub note: Option<String>,
}

impl Store {
    /// Every active MCP server: its organization and its id.
    pub fn active_mcp_servers(&self) -> Result<Vec<(String, String)>> {
        self.read(|c| {
            let mut statement =
                c.prepare_cached("SELECT org_id, id FROM mcp_server WHERE is_active = 1 ORDER BY id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Every server of every organization, as its state is told.
    pub fn all_mcp_servers(&self) -> Result<Vec<ServerKind>> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT id, transport, is_active FROM mcp_server")?;
            let rows = statement.query_map([], |row| {
                Ok(ServerKind { id: row.get(0)?, transport: row.get(1)?, is_active: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Whether there is still a server of that id, in whatever organization.
    pub fn has_mcp_server(&self, id: &str) -> Result<bool> {
        self.read(|c| {
            let mut statement = c.prepare_cached("SELECT EXISTS (SELECT 1 FROM mcp_server WHERE id = :id)")?;
            Ok(statement.query_row(named_params! { ":id": id }, |row| row.get(0))?)
        })
    }
}

impl Org<'_> {
    /// The MCP server of that id, which is not its slug.
    pub fn mcp_server_of_id(&self, id: &str) -> Result<McpServer> {
        self.read(|c| server_of_id(c, &self.tenant.org_id, id)?.ok_or(Error::NotFound("MCP server")))
    }

    /// A tool of an MCP server, by the name that the server has for it.
    pub fn mcp_tool_of(&self, server_id: &str, remote_name: &str) -> Result<McpTool> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {} FROM mcp_tool t JOIN mcp_server s ON s.id = t.server_id
                 WHERE s.org_id = :org AND s.id = :server AND t.remote_name = :name",
                McpTool::COLUMNS
            ))?;
            let of = named_params! { ":org": self.tenant.org_id, ":server": server_id, ":name": remote_name };
            statement.query_row(of, McpTool::from_row).optional()?.ok_or(Error::NotFound("tool"))
        })
    }

    /// Takes a server's list in: `merge` says what its tools are then; those that it leaves out are forgotten.
    pub async fn relist_mcp_tools(
        &self,
        server_id: String,
        told: Told,
        merge: impl FnOnce(&McpServer, Vec<McpTool>) -> Vec<McpTool> + Send + 'static,
    ) -> Result<()> {
        self.write(move |c, tenant| {
            let server = server_of_id(c, &tenant.org_id, &server_id)?.ok_or(Error::NotFound("MCP server"))?;
            let tools = merge(&server, tools_of(c, &tenant.org_id, &server_id)?);
            c.execute("DELETE FROM mcp_tool WHERE server_id = ?1", [&server_id])?;
            for tool in &tools {
                insert(c, &server_id, tool)?;
            }
            let mut statement = c.prepare_cached(
                "UPDATE mcp_server SET era = :era, info = :info, instructions = :instructions, ttl_ms = :ttl, listed_at = :now,
                     last_error = :note WHERE org_id = :org AND id = :server",
            )?;
            statement.execute(named_params! {
                ":era": told.era, ":info": told.info, ":instructions": told.instructions, ":ttl": told.ttl_ms, ":note": told.note,
                ":now": Timestamp::now().as_millis(), ":org": tenant.org_id, ":server": server_id,
            })?;
            Ok(())
        })
        .await
    }

    /// Notes why a server's list could not be had; the list of before stays.
    pub async fn note_mcp_error(&self, server_id: String, error: String) -> Result<()> {
        self.write(move |c, tenant| {
            c.execute(
                "UPDATE mcp_server SET last_error = :error WHERE org_id = :org AND id = :server",
                named_params! { ":error": error, ":org": tenant.org_id, ":server": server_id },
            )?;
            Ok(())
        })
        .await
    }
}

fn server_of_id(c: &Connection, org_id: &str, id: &str) -> Result<Option<McpServer>> {
    let mut statement =
        c.prepare_cached(&format!("SELECT {} FROM mcp_server WHERE org_id = :org AND id = :id", McpServer::COLUMNS))?;
    Ok(statement.query_row(named_params! { ":org": org_id, ":id": id }, McpServer::from_row).optional()?)
}

fn insert(c: &Connection, server_id: &str, tool: &McpTool) -> Result<()> {
    let mut statement = c.prepare_cached(
        "INSERT INTO mcp_tool (server_id, remote_name, name, approval, price, idempotent, is_on, is_there, fault, fingerprint,
             accepted, definition, accepted_definition)
         VALUES (:server, :remote, :name, :approval, :price, :idempotent, :on, :there, :fault, :fingerprint, :accepted,
             :definition, :accepted_definition)",
    )?;
    statement.execute(named_params! {
        ":server": server_id, ":remote": tool.remote_name, ":name": tool.name, ":approval": tool.approval, ":price": tool.price,
        ":idempotent": tool.is_idempotent, ":on": tool.is_on, ":there": tool.is_there, ":fault": tool.fault,
        ":fingerprint": tool.fingerprint, ":accepted": tool.accepted, ":definition": tool.definition,
        ":accepted_definition": tool.accepted_definition,
    })?;
    Ok(())
}
