//! MCP servers and the tools that they told of.
//!
//! Rule: what a server is (its command, its address) changes only through its owner's hand; what it told is kept as it was
//! told, beside what a person allowed of it.

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    Org,
    audit::{Event, Kind},
    fault::unless_taken,
    tools::{AddedBy, Policy},
    words::words,
};
use crate::{
    error::{Error, Result},
    time::Timestamp,
};

/// Most MCP servers of an organization.
pub const MCP_SERVERS_MAX: usize = 32;

words! {
    /// How a server is reached.
    pub enum Transport {
        /// By its URL: Streamable HTTP.
        Http = "http",
        /// It is a command that runs here, and speaks over its standard input and output.
        Stdio = "stdio",
    }
}

words! {
    /// What the tools of a server ask of people.
    pub enum Approval {
        Never = "never",
        Ask = "ask",
        Owner = "owner",
        /// Nothing of those that say of themselves that they only read; else a yes.
        Hints = "hints",
    }
}

words! {
    /// What a tool is that a server tells of later.
    pub enum NewTools {
        Off = "off",
        Ask = "ask",
    }
}

/// An MCP server as the file holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct McpServer {
    pub id: String,
    pub slug: String,
    pub name: String,
    pub transport: Transport,
    pub added_by: AddedBy,
    pub is_active: bool,
    pub approval: Approval,
    pub new_tools: NewTools,
    /// Of one that is reached by it.
    pub url: Option<String>,
    /// A JSON object, as text.
    pub headers: String,
    /// Of one that is a command.
    pub command: Option<String>,
    /// A JSON array, as text.
    pub args: String,
    /// Where the command runs; absent: in a folder of its own.
    pub cwd: Option<String>,
    /// A JSON object, as text: header or variable → sealed, or the name of a variable.
    pub secrets: String,
    pub timeout_ms: u32,
    pub handshake_ms: u32,
    pub idle_stop_minutes: Option<u32>,
    /// Whether models read what it says of itself.
    pub use_instructions: bool,
    pub instructions: Option<String>,
    /// Its `serverInfo`, a JSON object as text.
    pub info: Option<String>,
    /// The protocol's version that it speaks; absent: not known yet.
    pub era: Option<String>,
    /// When its tools were read.
    pub listed_at: Option<Timestamp>,
    /// How long that list is good for.
    pub ttl_ms: Option<i64>,
    pub last_error: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A tool of an MCP server.
#[derive(Debug, Clone, PartialEq)]
pub struct McpTool {
    pub server_id: String,
    pub remote_name: String,
    /// As models know it.
    pub name: String,
    /// Absent: the server's.
    pub approval: Option<Policy>,
    /// Microcents a call.
    pub price: i64,
    pub is_idempotent: bool,
    pub is_on: bool,
    /// Whether the last list had it.
    pub is_there: bool,
    /// Why it cannot be offered.
    pub fault: Option<String>,
    /// SHA-256 of its definition.
    pub fingerprint: [u8; 32],
    /// The fingerprint that a person allowed.
    pub accepted: Option<[u8; 32]>,
    /// A JSON object, as text: title, description, inputSchema, annotations.
    pub definition: String,
    pub accepted_definition: Option<String>,
}

impl McpServer {
    pub(super) const COLUMNS: &str = "id, slug, name, transport, added_by, is_active, approval, new_tools, url, headers, command, args, cwd,
        secrets, timeout_ms, handshake_ms, idle_stop_minutes, use_instructions, instructions, info, era, listed_at, ttl_ms,
        last_error, created_at, updated_at";

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(McpServer {
            id: row.get(0)?,
            slug: row.get(1)?,
            name: row.get(2)?,
            transport: row.get(3)?,
            added_by: row.get(4)?,
            is_active: row.get(5)?,
            approval: row.get(6)?,
            new_tools: row.get(7)?,
            url: row.get(8)?,
            headers: row.get(9)?,
            command: row.get(10)?,
            args: row.get(11)?,
            cwd: row.get(12)?,
            secrets: row.get(13)?,
            timeout_ms: row.get(14)?,
            handshake_ms: row.get(15)?,
            idle_stop_minutes: row.get(16)?,
            use_instructions: row.get(17)?,
            instructions: row.get(18)?,
            info: row.get(19)?,
            era: row.get(20)?,
            listed_at: row.get::<_, Option<i64>>(21)?.map(Timestamp::from_millis),
            ttl_ms: row.get(22)?,
            last_error: row.get(23)?,
            created_at: Timestamp::from_millis(row.get(24)?),
            updated_at: Timestamp::from_millis(row.get(25)?),
        })
    }
}

impl McpTool {
    pub(super) const COLUMNS: &str =
        "t.server_id, t.remote_name, t.name, t.approval, t.price, t.idempotent, t.is_on, t.is_there, t.fault,
        t.fingerprint, t.accepted, t.definition, t.accepted_definition";

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(McpTool {
            server_id: row.get(0)?,
            remote_name: row.get(1)?,
            name: row.get(2)?,
            approval: row.get(3)?,
            price: row.get(4)?,
            is_idempotent: row.get(5)?,
            is_on: row.get(6)?,
            is_there: row.get(7)?,
            fault: row.get(8)?,
            fingerprint: row.get(9)?,
            accepted: row.get(10)?,
            definition: row.get(11)?,
            accepted_definition: row.get(12)?,
        })
    }

    /// Whether it is as a person allowed it.
    pub fn is_accepted(&self) -> bool {
        self.accepted == Some(self.fingerprint)
    }
}

impl Org<'_> {
    /// The organization's MCP servers, by slug.
    pub fn mcp_servers(&self) -> Result<Vec<McpServer>> {
        self.read(|c| of_org(c, &self.tenant.org_id))
    }

    /// The MCP server of that slug.
    pub fn mcp_server(&self, slug: &str) -> Result<McpServer> {
        self.read(|c| find(c, &self.tenant.org_id, slug)?.ok_or(Error::NotFound("MCP server")))
    }

    /// The tools of all its MCP servers, by server and name.
    pub fn mcp_tools(&self) -> Result<Vec<McpTool>> {
        self.read(|c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {} FROM mcp_tool t JOIN mcp_server s ON s.id = t.server_id
                 WHERE s.org_id = :org ORDER BY s.slug, t.name",
                McpTool::COLUMNS
            ))?;
            let rows = statement.query_map(named_params! { ":org": self.tenant.org_id }, McpTool::from_row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The tool of that name, with its server.
    pub fn mcp_tool(&self, name: &str) -> Result<(McpServer, McpTool)> {
        self.read(|c| find_tool(c, &self.tenant.org_id, name)?.ok_or(Error::NotFound("tool")))
    }

    /// The tools of one server, by name.
    pub fn mcp_tools_of(&self, server: &McpServer) -> Result<Vec<McpTool>> {
        self.read(|c| tools_of(c, &self.tenant.org_id, &server.id))
    }

    /// Keeps a new MCP server.
    pub async fn create_mcp_server(&self, server: McpServer) -> Result<McpServer> {
        self.write_audited(move |c, tenant| {
            let count = "SELECT count(*) FROM mcp_server WHERE org_id = ?1";
            let count: i64 = c.query_row(count, [&tenant.org_id], |row| row.get(0))?;
            if count >= MCP_SERVERS_MAX as i64 {
                return Err(Error::invalid(
                    "slug",
                    format!("an organization has at most {MCP_SERVERS_MAX} MCP servers"),
                ));
            }
            insert(c, &tenant.org_id, &server)?;
            let event = Event::new(Kind::ServerAdded, &server.slug);
            Ok((server, event))
        })
        .await
    }

    /// Lets `edit` change an MCP server. What it told stays.
    pub async fn update_mcp_server(
        &self,
        slug: String,
        edit: impl FnOnce(&mut McpServer) -> Result<()> + Send + 'static,
    ) -> Result<McpServer> {
        self.write_audited(move |c, tenant| {
            let mut server = find(c, &tenant.org_id, &slug)?.ok_or(Error::NotFound("MCP server"))?;
            edit(&mut server)?;
            server.updated_at = Timestamp::now();
            update(c, &server)?;
            let event = Event::new(Kind::ServerChanged, &server.slug);
            Ok((server, event))
        })
        .await
    }

    /// Forgets an MCP server, its secrets and its tools; returns what it was.
    pub async fn delete_mcp_server(&self, slug: String) -> Result<McpServer> {
        self.write_audited(move |c, tenant| {
            let server = find(c, &tenant.org_id, &slug)?.ok_or(Error::NotFound("MCP server"))?;
            c.execute("DELETE FROM mcp_server WHERE id = ?1", [&server.id])?;
            let event = Event::new(Kind::ServerRemoved, &server.slug);
            Ok((server, event))
        })
        .await
    }

    /// Lets `edit` change what a person set of an MCP tool, and what they accepted.
    pub async fn update_mcp_tool(
        &self,
        name: String,
        edit: impl FnOnce(&mut McpTool) -> Result<()> + Send + 'static,
    ) -> Result<(McpServer, McpTool)> {
        self.write_audited(move |c, tenant| {
            let (server, mut tool) = find_tool(c, &tenant.org_id, &name)?.ok_or(Error::NotFound("tool"))?;
            edit(&mut tool)?;
            c.execute(
                "UPDATE mcp_tool SET approval = :approval, price = :price, idempotent = :idempotent, is_on = :on,
                     accepted = :accepted, accepted_definition = :definition
                 WHERE server_id = :server AND remote_name = :name",
                named_params! {
                    ":approval": tool.approval, ":price": tool.price, ":idempotent": tool.is_idempotent, ":on": tool.is_on,
                    ":accepted": tool.accepted, ":definition": tool.accepted_definition, ":server": tool.server_id,
                    ":name": tool.remote_name,
                },
            )?;
            let event = Event::new(Kind::ToolChanged, &tool.name);
            Ok(((server, tool), event))
        })
        .await
    }
}

pub(super) fn of_org(c: &Connection, org_id: &str) -> Result<Vec<McpServer>> {
    let mut statement =
        c.prepare_cached(&format!("SELECT {} FROM mcp_server WHERE org_id = :org ORDER BY slug", McpServer::COLUMNS))?;
    let rows = statement.query_map(named_params! { ":org": org_id }, McpServer::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn tools_of(c: &Connection, org_id: &str, server_id: &str) -> Result<Vec<McpTool>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM mcp_tool t JOIN mcp_server s ON s.id = t.server_id
         WHERE s.org_id = :org AND s.id = :server ORDER BY t.name",
        McpTool::COLUMNS
    ))?;
    let rows = statement.query_map(named_params! { ":org": org_id, ":server": server_id }, McpTool::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every organization's MCP servers, each with its organization's slug.
pub(super) fn all(c: &Connection) -> Result<Vec<(String, McpServer)>> {
    let sql = format!(
        "SELECT {}, (SELECT slug FROM org WHERE org.id = org_id) AS org FROM mcp_server ORDER BY org, slug",
        McpServer::COLUMNS
    );
    let mut statement = c.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok((row.get("org")?, McpServer::from_row(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A tool's name begins with its server's slug, which holds no `_`.
fn find_tool(c: &Connection, org_id: &str, name: &str) -> Result<Option<(McpServer, McpTool)>> {
    let Some((slug, _)) = name.split_once("__") else { return Ok(None) };
    let Some(server) = find(c, org_id, slug)? else { return Ok(None) };
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM mcp_tool t WHERE t.server_id = :server AND t.name = :name",
        McpTool::COLUMNS
    ))?;
    let of = named_params! { ":server": server.id, ":name": name };
    Ok(statement.query_row(of, McpTool::from_row).optional()?.map(|tool| (server, tool)))
}

fn find(c: &Connection, org_id: &str, slug: &str) -> Result<Option<McpServer>> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {} FROM mcp_server WHERE org_id = :org AND slug = :slug",
        McpServer::COLUMNS
    ))?;
    Ok(statement.query_row(named_params! { ":org": org_id, ":slug": slug }, McpServer::from_row).optional()?)
}

fn insert(c: &Connection, org_id: &str, server: &McpServer) -> Result<()> {
    let inserted = c.execute(
        "INSERT INTO mcp_server (id, org_id, slug, name, transport, added_by, approval, url, command, timeout_ms, handshake_ms,
             created_at, updated_at)
         VALUES (:id, :org, :slug, :name, :transport, :by, :approval, :url, :command, :timeout, :handshake, :created, :created)",
        named_params! {
            ":id": server.id, ":org": org_id, ":slug": server.slug, ":name": server.name, ":transport": server.transport,
            ":by": server.added_by, ":approval": server.approval, ":url": server.url, ":command": server.command,
            ":timeout": server.timeout_ms, ":handshake": server.handshake_ms, ":created": server.created_at.as_millis(),
        },
    );
    let taken = || Error::Conflict(format!("an MCP server with the slug {} exists: choose another", server.slug));
    unless_taken(inserted, taken)?;
    update(c, server)
}

/// Writes every column that its owner sets.
fn update(c: &Connection, server: &McpServer) -> Result<()> {
    c.execute(
        "UPDATE mcp_server SET name = :name, added_by = :by, is_active = :active, approval = :approval, new_tools = :new,
             url = :url, headers = :headers, command = :command, args = :args, cwd = :cwd, secrets = :secrets,
             timeout_ms = :timeout, handshake_ms = :handshake, idle_stop_minutes = :idle, use_instructions = :instructions,
             updated_at = :updated
         WHERE id = :id",
        named_params! {
            ":id": server.id, ":name": server.name, ":by": server.added_by, ":active": server.is_active,
            ":approval": server.approval, ":new": server.new_tools, ":url": server.url, ":headers": server.headers,
            ":command": server.command, ":args": server.args, ":cwd": server.cwd, ":secrets": server.secrets,
            ":timeout": server.timeout_ms, ":handshake": server.handshake_ms, ":idle": server.idle_stop_minutes,
            ":instructions": server.use_instructions, ":updated": server.updated_at.as_millis(),
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
