//! Tools and MCP servers, as an owner or the operator leaves them in the file.

use alm::{
    id,
    seal::Sealer,
    store::{mcp::McpServer, tools::AddedBy},
    tools::{
        connect::{self, NewServer, Place, ServerChange},
        fingerprint,
    },
};
use serde_json::{Value, json};

use super::harness::{App, wait};

impl App {
    /// What seals secrets of this server's file.
    pub fn sealer(&self) -> Sealer {
        Sealer::open(&self.folder().join(alm::seal::FILE_NAME)).unwrap()
    }

    /// Connects an MCP server as the operator does.
    pub fn mcp_server(&self, name: &str, slug: &str, place: Place) -> McpServer {
        let new = NewServer { slug: slug.into(), place, more: ServerChange::default() };
        let server = connect::prepare(new, AddedBy::Operator, &self.sealer()).unwrap();
        wait(self.store().org(&self.tenant(name)).create_mcp_server(server)).unwrap()
    }

    /// A tool that a server told of, which was accepted as it is.
    pub fn mcp_tool(&self, server: &McpServer, remote_name: &str, description: &str) -> String {
        let definition = json!({ "description": description, "inputSchema": { "type": "object" } });
        let name = format!("{}__{remote_name}", server.slug);
        let fingerprint = fingerprint_of(remote_name, &definition);
        let sql = "INSERT INTO mcp_tool (server_id, remote_name, name, is_on, fingerprint, accepted, definition, accepted_definition)
            VALUES (?1, ?2, ?3, 1, ?4, ?4, ?5, ?5)";
        self.file().execute(sql, (&server.id, remote_name, &name, fingerprint, definition.to_string())).unwrap();
        name
    }

    /// The same tool, as its server tells of it now.
    pub fn mcp_tool_changes(&self, server: &McpServer, remote_name: &str, description: &str) {
        let definition = json!({ "description": description, "inputSchema": { "type": "object" } });
        let sql = "UPDATE mcp_tool SET fingerprint = ?1, definition = ?2 WHERE server_id = ?3 AND remote_name = ?4";
        let of = (fingerprint_of(remote_name, &definition), definition.to_string(), &server.id, remote_name);
        self.file().execute(sql, of).unwrap();
    }

    /// A call in a stored reply of a session, as the file keeps it.
    pub fn tool_call(&self, name: &str, session: &str, tool: &str, status: &str) -> String {
        let id = id::generate();
        let sql = "INSERT INTO tool_call (id, org_id, session, turn, message_id, call_id, tool, origin, fingerprint, input_hash,
                policy, status, asked_at, input)
            SELECT ?1, s.org_id, s.seq, t.seq, t.message_id, ?1, ?2, 'http', zeroblob(32), zeroblob(32), 'ask', ?3, t.started_at,
                '{\"q\":1}'
            FROM session s JOIN turn t ON t.session = s.seq WHERE s.org_id = ?4 AND s.id = ?5 ORDER BY t.seq LIMIT 1";
        let made = self.file().execute(sql, (&id, tool, status, self.tenant(name).org_id, session)).unwrap();
        assert_eq!(made, 1, "{session} has no turn");
        id
    }
}

fn fingerprint_of(remote_name: &str, definition: &Value) -> [u8; 32] {
    fingerprint::fingerprint(&json!([remote_name, definition]))
}

/// A new HTTP tool as the API takes it.
pub fn new_tool(name: &str, url: &str) -> Value {
    json!({ "name": name, "description": "Opens a ticket.", "inputSchema": { "type": "object" }, "method": "POST", "url": url })
}

/// Who added a tool: who runs `alm` on the machine.
pub const OPERATOR: &str = "operator";
/// An owner, over HTTP.
pub const OWNER: &str = "api";

/// A tool that is kept for acme; what `more` does not say is usual.
pub fn declare(app: &App, added_by: &str, method: &str, url: &str, more: Value) {
    let of = |key: &str, usual: Value| more.get(key).cloned().unwrap_or(usual);
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let sql = "INSERT INTO tool (id, org_id, name, added_by, approval, idempotent, method, url, body, headers, secrets, timeout_ms,
            response_bytes_max, created_at, updated_at, description, input_schema, price)
        VALUES (?1, ?2, ?3, ?4, ?14, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, 0, 'Opens a ticket.', ?13, ?15)";
    let row = (
        id::generate(),
        app.tenant("acme").org_id,
        text(of("name", json!("create_ticket"))),
        added_by,
        of("idempotent", json!(false)).as_bool(),
        method,
        url,
        text(of("body", json!("json"))),
        of("headers", json!({})).to_string(),
        of("secrets", json!({})).to_string(),
        of("timeoutMs", json!(30_000)).as_i64(),
        of("responseBytesMax", json!(262_144)).as_i64(),
        of("inputSchema", json!({ "type": "object" })).to_string(),
        text(of("approval", json!("never"))),
        of("price", json!(0)).as_i64(),
    );
    app.file().execute(sql, row).unwrap();
}
