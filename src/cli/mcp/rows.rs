//! What is kept of servers, for people and for programs: names of secrets, never values.

use serde_json::{Value, json};

use super::entry::{Printed, PrintedWay};
use crate::{
    cli::{globals::Globals, text::table},
    error::Result,
    store::{
        Store,
        mcp::{McpServer, McpTool, Transport},
    },
    tools::{place::headers_of, secrets::Secrets},
};

/// `alm mcp list`.
pub(super) fn list(globals: &Globals, org: &str) -> Result<()> {
    let (store, tenant) = opened(globals, org)?;
    let org = store.org(&tenant);
    let servers = org.mcp_servers()?;
    let tools = servers.iter().map(|server| org.mcp_tools_of(server)).collect::<Result<Vec<_>>>()?;
    let each = || servers.iter().zip(&tools);
    let text = || {
        let row = |(server, tools): (&McpServer, &Vec<McpTool>)| {
            let secrets = secrets_of(server).names().collect::<Vec<_>>().join(", ");
            let told = server.last_error.clone().unwrap_or_default();
            vec![server.slug.clone(), state(server).into(), count(tools).to_string(), place(server), secrets, told]
        };
        table(&["NAME", "STATE", "TOOLS", "PLACE", "SECRETS", "LAST ERROR"], &each().map(row).collect::<Vec<_>>())
    };
    globals.print(|| each().map(|(server, tools)| to_json(server, tools)).collect(), text)
}

/// `alm mcp get`.
pub(super) fn get(globals: &Globals, org: &str, slug: &str, as_entry: bool) -> Result<()> {
    let (store, tenant) = opened(globals, org)?;
    let server = store.org(&tenant).mcp_server(slug)?;
    if as_entry {
        return globals.print(|| entry(&server), || format!("{:#}", entry(&server)));
    }
    let tools = store.org(&tenant).mcp_tools_of(&server)?;
    let text = || {
        let Value::Object(facts) = to_json(&server, &tools) else { return String::new() };
        let told = facts.iter().filter(|(_, value)| !value.is_null() && **value != json!([]) && **value != json!({}));
        let line = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        };
        told.map(line).collect::<Vec<_>>().join("\n")
    };
    globals.print(|| to_json(&server, &tools), text)
}

/// The store, and the organization in it.
pub(super) fn opened(globals: &Globals, org: &str) -> Result<(Store, crate::store::Tenant)> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    Ok((store, tenant))
}

/// As another program's `mcp.json` has it.
fn entry(server: &McpServer) -> Value {
    let (headers, args, secrets) = (headers_of(&server.headers), args_of(server), secrets_of(server));
    let way = match (&server.url, &server.command) {
        (Some(url), _) => PrintedWay::Http { url, headers: &headers },
        (None, command) => PrintedWay::Command {
            command: command.as_deref().unwrap_or_default(),
            args: &args,
            cwd: server.cwd.as_deref(),
        },
    };
    let timeout_ms = Some(server.timeout_ms.into());
    super::entry::print(&Printed {
        slug: &server.slug,
        way,
        secrets: &secrets,
        is_active: server.is_active,
        timeout_ms,
    })
}

fn to_json(server: &McpServer, tools: &[McpTool]) -> Value {
    let secrets = secrets_of(server);
    let (kind, other) =
        if server.transport == Transport::Http { ("secretHeaders", "env") } else { ("env", "secretHeaders") };
    // What is sealed says so; what is named says where it comes from.
    let named: Value = secrets.iter().map(|(name, kept)| json!({ "name": name, "from": kept.to_string() })).collect();
    json!({
        "slug": server.slug, "name": server.name, "transport": server.transport.as_str(), "url": server.url,
        "command": server.command, "args": args_of(server), "cwd": server.cwd,
        "headers": serde_json::from_str::<Value>(&server.headers).unwrap_or_default(), kind: named, other: [],
        "approval": server.approval.as_str(), "newTools": server.new_tools.as_str(), "timeoutMs": server.timeout_ms,
        "isActive": server.is_active, "state": state(server), "era": server.era, "toolCount": count(tools),
        "addedBy": server.added_by.as_str(), "listedAt": server.listed_at.map(|at| at.to_string()), "lastError": server.last_error,
    })
}

/// What is known of a server without asking it.
fn state(server: &McpServer) -> &'static str {
    match () {
        () if !server.is_active => "off",
        () if server.last_error.is_some() => "failing",
        () if server.listed_at.is_none() => "new",
        () => "on",
    }
}

/// Tools that are there and can be offered.
fn count(tools: &[McpTool]) -> usize {
    tools.iter().filter(|tool| tool.is_there && tool.fault.is_none()).count()
}

/// Where it is: its URL, or what is run.
pub(super) fn place(server: &McpServer) -> String {
    match (&server.url, &server.command) {
        (Some(url), _) => url.clone(),
        (None, command) => [vec![command.clone().unwrap_or_default()], args_of(server)].concat().join(" "),
    }
}

fn args_of(server: &McpServer) -> Vec<String> {
    serde_json::from_str(&server.args).unwrap_or_default()
}

fn secrets_of(server: &McpServer) -> Secrets {
    Secrets::from_json(&server.secrets).unwrap_or_default()
}
