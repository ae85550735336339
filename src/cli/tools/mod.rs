//! `alm tools`: HTTP tools, and what is set of those of MCP servers.
//!
//! Rule: who can run this on the machine vouches for an address, so a tool of theirs may be on a private network. A secret
//! comes from the tool's file or from the environment, and is never printed.

pub(super) mod declared;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    globals::{Globals, block_on},
    reach::Reach,
    text::{as_flags, read_text, shortened, table},
};
use crate::{
    error::{Error, Result},
    id,
    money::format_usd,
    outbound::ToolClients,
    store::tools::{AddedBy, Policy},
    tools::{
        call::Ended,
        declare::{self, ToolChange},
        fingerprint,
        http::Sender,
        listing::{self, Filter, Shown},
        schema::Schema,
    },
};

/// Tools that are read at once for a list.
const PAGE: usize = 200;
/// How much of a description a list has room for, in characters.
const DESCRIPTION_CHARS: usize = 60;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Tools {
    /// List an organization's tools
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Add an HTTP tool that a file of JSON declares
    Add {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The file; - for standard input
        file: PathBuf,
    },
    /// Run an HTTP tool once
    Test {
        #[command(flatten)]
        reach: Reach,
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The tool's name
        name: String,
        /// Its input, a JSON object
        #[arg(default_value = "{}")]
        input: String,
    },
    /// Change what a tool asks of people, and whether it is on
    Set(Set),
    /// Remove an HTTP tool
    Remove {
        /// The organization's slug
        #[arg(long)]
        org: String,
        /// The tool's name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// The tool's name
    name: String,
    /// What it asks before it runs: `never` anything, `ask` who may chat, `owner` an owner; `off` is not offered
    #[arg(long, value_parser = policy, value_name = "POLICY")]
    approval: Option<Policy>,
    /// Offer it to models
    #[arg(long, conflicts_with = "off")]
    on: bool,
    /// Do not offer it to models
    #[arg(long)]
    off: bool,
    /// Whether the same call twice is once, so that one that was cut off may be repeated
    #[arg(long, value_name = "YES|NO", value_parser = clap::builder::BoolishValueParser::new())]
    idempotent: Option<bool>,
    /// What a call costs, in US dollars; 0 is free
    #[arg(long, value_name = "USD")]
    price: Option<String>,
    /// Accept what an MCP server says of it now
    #[arg(long)]
    accept: bool,
}

/// What a tool asks of people, by its word.
pub(super) fn policy(text: &str) -> Result<Policy, String> {
    Policy::parse(text).ok_or_else(|| "must be never, ask, owner or off".to_owned())
}

impl Tools {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Tools::List { org } => list(globals, &org),
            Tools::Add { org, file } => add(globals, &org, &file),
            Tools::Test { reach, org, name, input } => block_on(tried(globals, &reach, &org, &name, &input)),
            Tools::Set(set) => set.run(globals),
            Tools::Remove { org, name } => {
                let store = globals.store()?;
                let tenant = globals.tenant(&store, &org)?;
                block_on(store.org(&tenant).delete_http_tool(name.clone()))?;
                globals.report(|| json!({ "removed": name }), || format!("removed {name}"));
                Ok(())
            }
        }
    }
}

fn add(globals: &Globals, org: &str, file: &Path) -> Result<()> {
    let new = declared::read(&read_text(file)?)?;
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let tool = declare::prepare(new, AddedBy::Operator, &globals.sealer()?)?;
    let made = block_on(store.org(&tenant).create_http_tool(tool))?;
    globals.report(
        || json!({ "name": made.name, "url": made.url, "approval": made.approval.as_str() }),
        || format!("added {}: {} {}, approval {}", made.name, made.method, made.url, made.approval.as_str()),
    );
    Ok(())
}

/// Runs a tool once: whoever types this allows it.
async fn tried(globals: &Globals, reach: &Reach, org: &str, name: &str, input: &str) -> Result<()> {
    let object = serde_json::from_str::<Value>(input).ok().filter(Value::is_object);
    let input = object.ok_or_else(|| Error::invalid("INPUT", "must be a JSON object, such as '{\"id\": 7}'"))?;
    if listing::is_of_server(name) {
        return Err(Error::failed("a tool of an MCP server is not run here: alm mcp test lists what there is"));
    }
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let tool = store.org(&tenant).http_tool(name)?;
    let schema = serde_json::from_str(&tool.input_schema).unwrap_or_default();
    let faults =
        Schema::compile(&schema).map_err(|fault| Error::failed(format!("its input schema {fault}")))?.faults(&input);
    if !faults.is_empty() {
        return Err(Error::invalid("INPUT", faults.join("; ")));
    }
    let clients = Arc::new(ToolClients::new(&reach.options()?).map_err(as_flags)?);
    let tried = Sender::new(clients, globals.sealer()?).try_once(&tool, &input, &id::generate()).await;
    let (output, error) = match tried.ended {
        Ended::Done { output, .. } => (Some(output), None),
        Ended::Failed(why) => (None, Some(tried.forbidden.unwrap_or(why))),
        Ended::Unknown(why) => (None, Some(why)),
    };
    let ms = tried.duration.as_millis() as u64;
    let request =
        tried.sent.map(|sent| json!({ "method": sent.method, "url": sent.url, "headerNames": sent.header_names }));
    let answered = tried.status.map_or(String::new(), |status| format!("HTTP {status}, "));
    globals.print(
        || json!({ "ok": error.is_none(), "output": output, "error": error, "status": tried.status, "durationMs": ms, "request": request }),
        || format!("{answered}{ms} ms\n{}", output.as_ref().map(|output| format!("{output:#}")).unwrap_or_default()).trim_end().to_owned(),
    )?;
    error.map_or(Ok(()), |error| Err(Error::failed(error)))
}

impl Set {
    fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let org = store.org(&tenant);
        let is_on = self.on.then_some(true).or(self.off.then_some(false));
        let price = self.price.as_deref().map(|text| declared::price("--price", text)).transpose()?;
        let nothing = self.approval.is_none() && is_on.is_none() && self.idempotent.is_none() && price.is_none();
        if nothing && !self.accept {
            return Err(Error::failed("say what to set: --approval, --on, --off, --idempotent, --price or --accept"));
        }
        if listing::is_of_server(&self.name) {
            let (approval, idempotent, accept) = (self.approval, self.idempotent, self.accept);
            let set = move |tool: &mut crate::store::mcp::McpTool| {
                tool.approval = approval.or(tool.approval);
                tool.is_on = is_on.unwrap_or(tool.is_on);
                tool.is_idempotent = idempotent.unwrap_or(tool.is_idempotent);
                tool.price = price.unwrap_or(tool.price);
                if accept {
                    tool.accepted = Some(tool.fingerprint);
                    tool.accepted_definition = Some(tool.definition.clone());
                }
                declare::check_price(tool.price)
            };
            block_on(org.update_mcp_tool(self.name.clone(), set))?;
        } else {
            if self.accept {
                return Err(Error::failed(
                    "only a tool of an MCP server changes by itself: there is nothing to accept",
                ));
            }
            let (approval, is_idempotent) = (self.approval, self.idempotent);
            let change = ToolChange { approval, is_active: is_on, is_idempotent, price, ..ToolChange::default() };
            let sealer = globals.sealer()?;
            let change = move |tool: &mut _| declare::change(tool, change, AddedBy::Operator, &sealer);
            block_on(org.update_http_tool(self.name.clone(), change))?;
        }
        let shown = listing::one(&org, &[], &self.name, &|_| None)?;
        globals.report(
            || to_json(&shown),
            || format!("{}: approval {}, {}", shown.name, shown.policy.as_str(), on_off(&shown)),
        );
        Ok(())
    }
}

fn list(globals: &Globals, org: &str) -> Result<()> {
    let store = globals.store()?;
    let tenant = globals.tenant(&store, org)?;
    let (mut tools, mut cursor): (Vec<Shown>, Option<String>) = (Vec::new(), None);
    loop {
        let page = listing::page(&store.org(&tenant), &[], &Filter::default(), PAGE, cursor.as_deref(), &|_| None)?;
        tools.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let head = ["NAME", "ORIGIN", "APPROVAL", "STATE", "USD A CALL", "DESCRIPTION"];
    let text = || {
        let row = |tool: &Shown| {
            let origin = tool.origin.map_or("-", |origin| origin.as_str());
            let price = if tool.price > 0 { format_usd(tool.price) } else { "-".into() };
            let told = tool.fault.as_deref().unwrap_or(&tool.description);
            vec![
                tool.name.clone(),
                origin.into(),
                tool.policy.as_str().into(),
                on_off(tool).into(),
                price,
                shortened(told, DESCRIPTION_CHARS),
            ]
        };
        table(&head, &tools.iter().map(row).collect::<Vec<_>>())
    };
    globals.print(|| tools.iter().map(to_json).collect(), text)
}

/// Whether models are offered it, in a word.
fn on_off(tool: &Shown) -> &'static str {
    match tool.state {
        listing::State::Off => "off",
        listing::State::Faulty => "set aside",
        listing::State::Unavailable | listing::State::Missing => "not there",
        listing::State::Ready if tool.is_changed => "changed",
        listing::State::Ready => "on",
    }
}

/// For programs, as the API says it.
fn to_json(tool: &Shown) -> Value {
    json!({
        "name": tool.name, "title": tool.title, "description": tool.description, "server": tool.server,
        "origin": tool.origin.map(|origin| origin.as_str()), "approval": tool.policy.as_str(), "isOn": tool.is_on,
        "state": on_off(tool), "fault": tool.fault, "changed": tool.is_changed, "idempotent": tool.is_idempotent,
        "pricePerCall": (tool.price > 0).then(|| format_usd(tool.price)), "fingerprint": fingerprint::hex(&tool.fingerprint),
        "inputSchema": serde_json::from_str::<Value>(&tool.input_schema).unwrap_or_default(),
    })
}
