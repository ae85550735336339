//! Whether agents' tools can be used: MCP servers are reached, greeted and asked for their tools, all at once; of HTTP tools,
//! which would do something, only the secrets are looked at.

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;

use super::check::Check;
use crate::{
    cli::{
        globals::{Globals, block_on},
        text::{as_flags, count_text},
    },
    error::{Error, Result},
    outbound::{Options, ToolClients},
    seal::{Sealer, from_environment},
    store::{file::inspect::Inspected, mcp::McpServer},
    tools::{
        Tools,
        secrets::{Secrets, Shut},
    },
};

/// Looks at the tools and asks the servers of every organization that are switched on.
pub(super) fn check(globals: &Globals, file: &Inspected, options: Options) -> Vec<Check> {
    let look = || {
        let mut checks = Vec::new();
        let (tools, mut servers) = (file.http_tools()?, file.mcp_servers()?);
        servers.retain(|(_, server)| server.is_active);
        if tools.is_empty() && servers.is_empty() {
            return Ok(checks);
        }
        let key_file = globals.key_file()?;
        let sealer = if key_file.exists() { Some(Sealer::open(&key_file)?) } else { None };
        for (org, tool) in tools.iter().filter(|(_, tool)| tool.is_active) {
            let what = format!("tool {org}/{}", tool.name);
            checks.extend(of_secrets(&what, &tool.secrets, sealer.as_ref(), &format!("tool/{}", tool.id)));
        }
        let mut asked = Vec::new();
        for (org, server) in servers {
            let what = format!("MCP server {org}/{}", server.slug);
            match of_secrets(&what, &server.secrets, sealer.as_ref(), &format!("mcp/{}", server.id)) {
                Some(check) => checks.push(check),
                None => asked.push((what, server)),
            }
        }
        checks.extend(ask_all(globals, options, asked)?);
        Ok(checks)
    };
    look().unwrap_or_else(|error: Error| vec![Check::fail("tools", error.to_string())])
}

/// What is wrong with secrets, if something is.
fn of_secrets(what: &str, secrets: &str, sealer: Option<&Sealer>, place: &str) -> Option<Check> {
    let secrets = match Secrets::from_json(secrets) {
        Some(secrets) if secrets.is_empty() => return None,
        Some(secrets) => secrets,
        None => return Some(Check::fail(what, "its secrets cannot be read")),
    };
    let Some(sealer) = sealer else { return Some(Check::fail(what, "its secrets cannot be opened")) };
    match secrets.open(sealer, place, from_environment) {
        Ok(_) => None,
        // A variable that the server has may be missing here.
        Err(shut @ Shut::NotSet(_)) => Some(Check::warn(what, format!("not checked: {shut}"))),
        Err(shut) => Some(Check::fail(what, shut.to_string())),
    }
}

/// Asks servers, without keeping what they say.
fn ask_all(globals: &Globals, options: Options, asked: Vec<(String, McpServer)>) -> Result<Vec<Check>> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let clients = Arc::new(ToolClients::new(&options).map_err(as_flags)?);
    let tools = Tools::with_commands(globals.store()?, globals.sealer()?, clients, globals.commands()?, Vec::new());
    block_on(async {
        let asks = asked.iter().map(async |(what, server)| {
            let started = Instant::now();
            let (stages, listed) = tools.mcp().look(server).await;
            let ms = started.elapsed().as_millis();
            match stages.into_iter().find_map(|stage| stage.error) {
                Some(error) => Check::fail(what, error),
                None => Check::ok(what, format!("lists {} in {ms} ms", count_text(listed.unwrap_or(0) as u64, "tool"))),
            }
        });
        let checks = join_all(asks).await;
        // What was started for this ends with it.
        tools.mcp().stop_all().await;
        Ok(checks)
    })
}
