//! What a model may do besides talk.
//!
//! Rule: a tool that fails returns a sentence for the model; it never ends the turn. What a model asks for is foreign text and
//! is checked before a tool runs. What a tool returns is data: it changes no policy and is never read as a call.
//! Reading order: this file, `call.rs`, `builtin/`, then where the others come from.

pub mod builtin; // those that are part of `alm`
pub mod call; // one call, and how it ended
pub mod client; // tools that whoever asks runs
pub mod connect; // what an MCP server has to be
pub mod declare; // what an HTTP tool has to be
pub mod fingerprint; // what a definition is recognised by
pub mod host; // code of the program that runs the server
pub mod http; // those that are requests to an HTTP API
pub mod listing; // what is shown of them
pub mod mcp; // those of MCP servers
pub mod naming; // what a model calls tools that others named
pub mod place; // where requests go, and what is sent along
pub mod schema; // what inputs have to be
pub mod secrets; // what a tool is sent and nobody is shown
pub mod template; // URLs with places for an input
mod tool; // a tool, wherever it comes from

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use serde_json::Value;

use self::{
    builtin::Builtin,
    call::{Call, Ended},
    mcp::stdio::Commands,
};
use crate::{
    error::Result,
    id,
    outbound::ToolClients,
    seal::Sealer,
    store::{Store, Tenant, agents::Agent, mcp::McpServer, tools::Policy},
};

pub use tool::{Tool, Way};

/// Tools one request may offer a model.
pub const TOOLS_PER_REQUEST_MAX: usize = 128;
/// Bytes of their names, descriptions and schemas.
pub const TOOL_SPECS_BYTES_MAX: usize = 256 * 1024;

/// The tools of one turn.
#[derive(Debug, Default)]
pub struct Toolbox {
    /// In the order in which they are offered: client, built-in, host, HTTP, then MCP by server and name.
    pub tools: Vec<Tool>,
    /// How many more there are than may be offered.
    pub left_out: usize,
    /// Servers whose tools are not offered as long as they do not answer, by slug.
    pub unavailable: Vec<String>,
    /// What servers say of how they want to be used, by slug, where a person lets models read it.
    pub said: BTreeMap<String, String>,
}

/// All tools there are: what they need to run, once a process.
pub struct Tools {
    store: Store,
    sealer: Sealer,
    /// Of the program that runs the server, by name.
    hosts: Vec<Tool>,
    http: http::Sender,
    mcp: Arc<mcp::Servers>,
}

impl Tools {
    /// Those of the organizations in a store, with what opens their secrets and where their requests may go.
    pub fn new(store: Store, sealer: Sealer, clients: Arc<ToolClients>) -> Arc<Self> {
        let http = http::Sender::new(clients.clone(), sealer.clone());
        Tools::opening(store, sealer.clone(), http, mcp::Opening::new(clients, sealer, None), Vec::new())
    }

    /// The same, with what starts commands, and with tools of the host.
    pub fn with_commands(
        store: Store,
        sealer: Sealer,
        clients: Arc<ToolClients>,
        commands: Arc<Commands>,
        mut hosts: Vec<Tool>,
    ) -> Arc<Self> {
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        let http = http::Sender::new(clients.clone(), sealer.clone());
        Tools::opening(store, sealer.clone(), http, mcp::Opening::new(clients, sealer, Some(commands)), hosts)
    }

    fn opening(store: Store, sealer: Sealer, http: http::Sender, opening: mcp::Opening, hosts: Vec<Tool>) -> Arc<Self> {
        let mcp = mcp::Servers::new(store.clone(), opening);
        Arc::new(Tools { store, sealer, hosts, http, mcp })
    }

    /// Those of the program that runs the server.
    pub fn hosts(&self) -> &[Tool] {
        &self.hosts
    }

    /// What seals their secrets.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// What sends the calls of HTTP tools.
    pub fn http(&self) -> &http::Sender {
        &self.http
    }

    /// The MCP servers.
    pub fn mcp(&self) -> &Arc<mcp::Servers> {
        &self.mcp
    }

    /// What is wrong with an MCP server, if its tools are not offered for it.
    pub fn reach(&self, server: &McpServer) -> Option<String> {
        let seen = self.mcp.seen(server);
        let said = || format!("{} is {}.", server.slug, seen.state.word());
        seen.state.is_unavailable().then(|| seen.error.clone().unwrap_or_else(said))
    }

    /// The tools of a turn of that agent, `client` being those that whoever asks runs. Read from the file alone: no server is
    /// waited for.
    pub fn of(&self, tenant: &Tenant, agent: &Agent, client: Vec<Tool>) -> Result<Toolbox> {
        let own = client.len();
        let mut tools = client;
        let mcp::Offered { tools: listed, unavailable, said } = self.listed(tenant)?;
        for tool in listed {
            let is_taken = tools.iter().any(|other| other.name == tool.name);
            let policy = tool.policy.max(agent.settings.tool_approval.unwrap_or(Policy::Never));
            if is_taken || policy == Policy::Off || !tool.is_allowed(agent.allowed_tools.as_deref()) {
                continue;
            }
            tools.push(Tool { policy, ..tool });
        }
        // Whoever asks counts on theirs: ours make room.
        let offered = within_bounds(&tools).max(own);
        let left_out = tools.len() - offered;
        tools.truncate(offered);
        Ok(Toolbox { tools, left_out, unavailable, said })
    }

    /// Every tool of the organization that can be offered, in the order in which they are; and what there is to say of servers.
    fn listed(&self, tenant: &Tenant) -> Result<mcp::Offered> {
        let of_http = self.store.org(tenant).http_tools()?.into_iter().filter(|tool| tool.is_active);
        let of_servers = self.mcp.offered(tenant)?;
        let own = Builtin::ALL.into_iter().map(Tool::from).chain(self.hosts.iter().cloned());
        let tools = own.chain(of_http.map(Tool::from)).chain(of_servers.tools);
        Ok(mcp::Offered { tools: tools.collect(), ..of_servers })
    }

    /// Calls a tool once for its owner, who allows the call by asking for it.
    pub async fn try_once(&self, tenant: &Tenant, name: &str, input: &Value) -> Result<http::Tried> {
        let began = Instant::now();
        let is_hosts = self.hosts.iter().any(|tool| tool.name == name);
        if !Builtin::has(name) && !is_hosts && !listing::is_of_server(name) {
            let row = self.store.org(tenant).http_tool(name)?;
            return Ok(match Tool::from(row.clone()).refuse(input) {
                Some(faults) => tried(Ended::Failed(faults), began),
                None => self.http.try_once(&row, input, &id::generate()).await,
            });
        }
        let ended = match self.listed(tenant)?.tools.into_iter().find(|tool| tool.name == name) {
            Some(tool) => match tool.refuse(input) {
                Some(faults) => Ended::Failed(faults),
                None => self.run(&tool, input, self.call_of_nobody(tenant)).await,
            },
            None => {
                self.store.org(tenant).mcp_tool(name)?;
                Ended::Failed(format!("{name} is off, set aside, or its server does not answer."))
            }
        };
        Ok(tried(ended, began))
    }

    /// A call in no session, which asks no agent.
    fn call_of_nobody(&self, tenant: &Tenant) -> Call {
        let (store, tenant) = (self.store.clone(), tenant.clone());
        Call { store, tenant, session_id: String::new(), id: id::generate(), agents: None }
    }

    /// Runs a call whose input was checked. Dropping it ends it.
    pub async fn run(&self, tool: &Tool, input: &Value, call: Call) -> Ended {
        match &tool.way {
            Way::Builtin(builtin) => builtin.run(input, call).await,
            Way::Http(request) => self.http.call(request, input, &call.id).await,
            Way::Mcp(target) => self.mcp.call(tool, target, input, &call).await,
            Way::Host(code) => code.run(&tool.name, tool.time_max, input, call).await,
            Way::Client => Ended::Failed(format!("{} is run by whoever asks.", tool.name)),
        }
    }
}

impl Toolbox {
    /// The tool of that name.
    pub fn find(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// What the servers of these tools say of how they want to be used, each under its slug; empty if nothing.
    pub fn instructions(&self) -> String {
        let is_offered = |slug: &str| self.tools.iter().any(|tool| tool.server.as_deref() == Some(slug));
        let said = self.said.iter().filter(|(slug, _)| is_offered(slug));
        let texts: Vec<_> = said.map(|(slug, text)| format!("# {slug}\n\n{text}")).collect();
        match texts.is_empty() {
            true => String::new(),
            false => format!("What the servers of tools say of their use:\n\n{}", texts.join("\n\n")),
        }
    }
}

/// What came of a call that sent no request of an HTTP tool.
fn tried(ended: Ended, began: Instant) -> http::Tried {
    http::Tried { ended, forbidden: None, status: None, duration: began.elapsed(), sent: None }
}

/// How many of them, from the first, one request may offer.
fn within_bounds(tools: &[Tool]) -> usize {
    let mut bytes = 0;
    let fits = |tool: &&Tool| {
        bytes += tool.spec_bytes();
        bytes <= TOOL_SPECS_BYTES_MAX
    };
    tools.iter().take(TOOLS_PER_REQUEST_MAX).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str) -> Tool {
        Tool { name: name.into(), description: description.into(), ..Builtin::CurrentTime.into() }
    }

    #[test]
    fn what_a_server_says_of_its_use_is_read_with_a_tool_of_it_and_not_without() {
        let said = [("a", "First a."), ("b", "Then b.")].map(|(slug, text)| (slug.to_owned(), text.to_owned()));
        let of = |slugs: &[&str]| {
            let tools = slugs.iter().map(|slug| Tool { server: Some((*slug).into()), ..tool("t", "") }).collect();
            Toolbox { tools, said: BTreeMap::from(said.clone()), ..Toolbox::default() }.instructions()
        };
        assert_eq!(of(&["c"]), "");
        assert_eq!(of(&["b"]), "What the servers of tools say of their use:\n\n# b\n\nThen b.");
        assert!(of(&["b", "a"]).ends_with("# a\n\nFirst a.\n\n# b\n\nThen b."));
    }

    #[test]
    fn a_request_offers_so_many_tools_and_so_many_bytes_of_them() {
        for count in [TOOLS_PER_REQUEST_MAX - 1, TOOLS_PER_REQUEST_MAX, TOOLS_PER_REQUEST_MAX + 1] {
            let tools: Vec<_> = (0..count).map(|n| tool(&format!("t{n}"), "")).collect();
            assert_eq!(within_bounds(&tools), count.min(TOOLS_PER_REQUEST_MAX));
        }
        let rest = TOOL_SPECS_BYTES_MAX - tool("t", "").spec_bytes();
        for (bytes, offered) in [(rest - 1, 1), (rest, 1), (rest + 1, 0)] {
            assert_eq!(within_bounds(&[tool("t", &"x".repeat(bytes))]), offered, "{bytes}");
        }
    }
}
