//! Every tool of an organization, as it is shown: those that are off, changed, set aside or out of reach as well.
//!
//! Rule: what is shown of a tool is what a turn would go by; nothing is asked of a server to show it.

use serde_json::{Value, json};

use super::{
    builtin::Builtin,
    declare,
    fingerprint::fingerprint,
    tool::{Tool, is_allowed},
};
use crate::{
    error::{Error, Result},
    store::{
        Org, Page,
        agents::Agent,
        mcp::{Approval, McpServer, McpTool},
        tool_calls::Origin,
        tools::{HttpTool, Policy},
    },
};

/// Bytes of JSON that are about a token.
const BYTES_PER_TOKEN: usize = 4;

/// A tool as people see it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    /// JSON, as text.
    pub input_schema: String,
    pub origin: Option<Origin>,
    /// The slug of its MCP server.
    pub server: Option<String>,
    pub policy: Policy,
    pub is_on: bool,
    pub state: State,
    /// Why models are not offered it.
    pub fault: Option<String>,
    pub fingerprint: [u8; 32],
    /// The description and the schema that were accepted of one that has changed since.
    pub accepted: Option<(String, String)>,
    pub is_changed: bool,
    pub is_idempotent: bool,
    /// Microcents a call.
    pub price: i64,
    /// How an HTTP tool was declared.
    pub declared: Option<HttpTool>,
}

/// Whether models are offered a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    /// It, or its server, is switched off.
    Off,
    /// Its definition cannot be used.
    Faulty,
    /// Its server does not answer, or lists it no more.
    Unavailable,
    /// An agent names it, and there is none.
    Missing,
}

/// Which tools a list shows.
#[derive(Default)]
pub struct Filter {
    pub origin: Option<Origin>,
    /// Those that it may use, and those that it names in vain.
    pub agent: Option<Agent>,
}

/// Where a list's cursor is: a section, and the last name in it.
type Place<'a> = (usize, &'a str);

/// What is wrong with a server, if its tools are not offered for it.
pub type Reach<'a> = &'a dyn Fn(&McpServer) -> Option<String>;

/// A page of an organization's tools: built-in, the host's, HTTP, then MCP by server and name; last the names that an agent has in
/// vain.
pub fn page(
    org: &Org<'_>,
    hosts: &[Tool],
    filter: &Filter,
    limit: usize,
    cursor: Option<&str>,
    reach: Reach<'_>,
) -> Result<Page<Shown>> {
    let after = cursor.map_or(Ok((0, "")), place_of)?;
    let mut rows = Vec::new();
    for (section, origin) in
        [Some(Origin::Builtin), Some(Origin::Host), Some(Origin::Http), Some(Origin::Mcp), None].into_iter().enumerate()
    {
        let is_wanted = filter.origin.is_none() || filter.origin == origin;
        if section < after.0 || rows.len() > limit || !is_wanted {
            continue;
        }
        let from = if section == after.0 { after.1 } else { "" };
        let mut found = match origin {
            Some(Origin::Builtin) => Builtin::ALL.map(|builtin| of_code(builtin.into())).into(),
            Some(Origin::Host) => hosts.iter().cloned().map(of_code).collect(),
            Some(Origin::Http) => org.http_tools()?.into_iter().map(|tool| of_http(tool, hosts)).collect(),
            Some(_) => of_servers(org, from, limit, reach)?,
            None => missing(org, hosts, filter.agent.as_ref())?,
        };
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found.retain(|shown| *shown.name > *from);
        rows.extend(
            found.into_iter().filter_map(|shown| for_agent(shown, filter.agent.as_ref())).map(|shown| (section, shown)),
        );
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|(section, shown)| format!("{section}.{}", shown.name));
    Ok(Page { items: rows.into_iter().map(|(_, shown)| shown).collect(), next_cursor })
}

/// The tools of one MCP server, by name.
pub fn of_server(org: &Org<'_>, slug: &str, reach: Reach<'_>) -> Result<Vec<Shown>> {
    let server = org.mcp_server(slug)?;
    Ok(org.mcp_tools_of(&server)?.into_iter().map(|tool| of_mcp(&server, tool, reach)).collect())
}

/// The tool of that name.
pub fn one(org: &Org<'_>, hosts: &[Tool], name: &str, reach: Reach<'_>) -> Result<Shown> {
    let builtin = Builtin::ALL.into_iter().map(Tool::from);
    if let Some(tool) = builtin.chain(hosts.iter().cloned()).find(|tool| tool.name == name) {
        return Ok(of_code(tool));
    }
    if is_of_server(name) {
        let (server, tool) = org.mcp_tool(name)?;
        return Ok(of_mcp(&server, tool, reach));
    }
    org.http_tool(name).map(|tool| of_http(tool, hosts))
}

/// Whether that can be the name of a tool of an MCP server alone.
pub fn is_of_server(name: &str) -> bool {
    name.contains("__")
}

/// What a tool of a server asks of people: its own setting, else its server's; what has changed since it was accepted asks.
pub fn policy_of(server: &McpServer, tool: &McpTool, definition: &Value) -> Policy {
    let only_reads = definition["annotations"]["readOnlyHint"] == true;
    let of_server = match server.approval {
        Approval::Never => Policy::Never,
        Approval::Ask => Policy::Ask,
        Approval::Owner => Policy::Owner,
        Approval::Hints if only_reads => Policy::Never,
        Approval::Hints => Policy::Ask,
    };
    let policy = tool.approval.unwrap_or(of_server);
    if tool.is_accepted() { policy } else { policy.max(Policy::Ask) }
}

fn place_of(cursor: &str) -> Result<Place<'_>> {
    let place = cursor.split_once('.').and_then(|(section, name)| Some((section.parse().ok()?, name)));
    place.ok_or_else(|| Error::invalid("cursor", "must be the nextCursor of a page"))
}

/// The tool as an agent has it, if it may use it.
fn for_agent(shown: Shown, agent: Option<&Agent>) -> Option<Shown> {
    let Some(agent) = agent else { return Some(shown) };
    let may_use = is_allowed(agent.allowed_tools.as_deref(), &shown.name, shown.server.as_deref());
    if !may_use && shown.state != State::Missing {
        return None;
    }
    let policy = shown.policy.max(agent.settings.tool_approval.unwrap_or(Policy::Never));
    Some(Shown { policy, ..shown })
}

/// One that is code: built in, or the host's.
fn of_code(tool: Tool) -> Shown {
    Shown {
        name: tool.name,
        title: tool.title,
        description: tool.description,
        input_schema: tool.input_schema.to_string(),
        origin: Some(tool.origin),
        server: None,
        policy: tool.policy,
        is_on: true,
        state: State::Ready,
        fault: None,
        fingerprint: tool.fingerprint,
        accepted: None,
        is_changed: false,
        is_idempotent: tool.is_idempotent,
        price: tool.price,
        declared: None,
    }
}

fn of_http(tool: HttpTool, hosts: &[Tool]) -> Shown {
    let is_off = !tool.is_active || tool.approval == Policy::Off;
    let is_taken = hosts.iter().any(|host| host.name == tool.name);
    Shown {
        name: tool.name.clone(),
        title: None,
        description: tool.description.clone(),
        input_schema: tool.input_schema.clone(),
        origin: Some(Origin::Http),
        server: None,
        policy: tool.approval,
        is_on: tool.is_active,
        state: match is_off {
            true => State::Off,
            false if is_taken => State::Faulty,
            false => State::Ready,
        },
        fault: is_taken.then(|| "The program that runs this server has a tool of this name.".into()),
        fingerprint: declare::fingerprint_of(&tool),
        accepted: None,
        is_changed: false,
        is_idempotent: tool.is_idempotent,
        price: tool.price,
        declared: Some(tool),
    }
}

/// The tools of MCP servers, from a name on: of one server after the other, until there are more than enough.
fn of_servers(org: &Org<'_>, from: &str, limit: usize, reach: Reach<'_>) -> Result<Vec<Shown>> {
    let prefix = |slug: &str| format!("{slug}__");
    let first = from.split_once("__").map_or(String::new(), |(slug, _)| prefix(slug));
    let mut servers = org.mcp_servers()?;
    // As their tools' names stand after each other: `-` comes before `_`.
    servers.sort_by_key(|server| prefix(&server.slug));
    let mut found: Vec<Shown> = Vec::new();
    for server in servers.iter().filter(|server| prefix(&server.slug) >= first) {
        let of_server = org.mcp_tools_of(server)?.into_iter().filter(|tool| *tool.name > *from);
        found.extend(of_server.map(|tool| of_mcp(server, tool, reach)));
        if found.len() > limit {
            break;
        }
    }
    Ok(found)
}

fn of_mcp(server: &McpServer, tool: McpTool, reach: Reach<'_>) -> Shown {
    let definition: Value = serde_json::from_str(&tool.definition).unwrap_or_default();
    let policy = policy_of(server, &tool, &definition);
    let is_changed = tool.accepted.is_some() && !tool.is_accepted();
    let (state, fault) = match (&tool.fault, reach(server)) {
        _ if !server.is_active || !tool.is_on || policy == Policy::Off => (State::Off, None),
        (Some(fault), _) => (State::Faulty, Some(fault.clone())),
        (None, _) if !tool.is_there => (State::Unavailable, Some(format!("{} lists it no more.", server.slug))),
        (None, Some(fault)) => (State::Unavailable, Some(fault)),
        (None, None) => (State::Ready, None),
    };
    let accepted = tool.accepted_definition.as_deref().filter(|_| is_changed).map(definition_texts);
    let (description, input_schema) = definition_texts(&tool.definition);
    Shown {
        title: definition["title"].as_str().map(str::to_owned),
        description,
        input_schema,
        origin: Some(Origin::Mcp),
        server: Some(server.slug.clone()),
        policy,
        is_on: tool.is_on,
        state,
        fault,
        fingerprint: tool.fingerprint,
        accepted,
        is_changed,
        is_idempotent: tool.is_idempotent,
        price: tool.price,
        declared: None,
        name: tool.name,
    }
}

/// The description and the schema of a definition, as text.
fn definition_texts(definition: &str) -> (String, String) {
    let definition: Value = serde_json::from_str(definition).unwrap_or_default();
    let description = definition["description"].as_str().unwrap_or_default().to_owned();
    (description, definition["inputSchema"].to_string())
}

/// What an agent names and nobody has: it is kept, since a server may come back.
fn missing(org: &Org<'_>, hosts: &[Tool], agent: Option<&Agent>) -> Result<Vec<Shown>> {
    let mut missing = Vec::new();
    for name in agent.and_then(|agent| agent.allowed_tools.as_ref()).into_iter().flatten() {
        let found = match name.strip_suffix("__*") {
            Some(slug) => org.mcp_server(slug).map(drop),
            None => one(org, hosts, name, &|_| None).map(drop),
        };
        match found {
            Ok(()) => {}
            Err(Error::NotFound(_)) => missing.push(of_nobody(name)),
            Err(other) => return Err(other),
        }
    }
    Ok(missing)
}

fn of_nobody(name: &str) -> Shown {
    let schema = json!({});
    Shown {
        name: name.to_owned(),
        title: None,
        description: String::new(),
        fingerprint: fingerprint(&json!(name)),
        input_schema: schema.to_string(),
        origin: None,
        server: None,
        policy: Policy::Off,
        is_on: false,
        state: State::Missing,
        fault: Some("There is no tool of this name.".into()),
        accepted: None,
        is_changed: false,
        is_idempotent: false,
        price: 0,
        declared: None,
    }
}

impl From<HttpTool> for Shown {
    fn from(tool: HttpTool) -> Self {
        of_http(tool, &[])
    }
}

impl Shown {
    /// About what its definition takes of a request.
    pub fn estimated_tokens(&self) -> usize {
        (self.name.len() + self.description.len() + self.input_schema.len()).div_ceil(BYTES_PER_TOKEN)
    }
}
