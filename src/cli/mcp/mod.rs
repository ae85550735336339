//! `alm mcp`: MCP servers, whose tools agents may use.
//!
//! Rule: a server that is a command is made and changed here alone, by who runs the machine. No secret is an argument, and
//! none is printed. A row is written beside a running server, which sees it at its next use.

mod add;
mod entry;
mod here;
mod import;
mod rows;
mod trial;

use serde_json::json;

use super::{
    globals::{Globals, block_on},
    reach::Reach,
};
use crate::{
    error::{Error, Result},
    store::tools::AddedBy,
    tools::connect::{self, NewServer, ServerChange},
};
use trial::Trial;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Mcp {
    /// Add a server by its URL, or as a command after --
    Add(Box<add::Add>),
    /// Add a server by its entry in an mcp.json
    AddJson(import::AddJson),
    /// Add the servers of another program's file: Claude, Cursor, Windsurf, Gemini, VS Code
    Import(import::Import),
    /// List an organization's servers
    List {
        /// The organization's slug
        #[arg(long)]
        org: String,
    },
    /// Show a server
    Get {
        #[command(flatten)]
        named: Named,
        /// As an entry of an mcp.json, with secrets as ${VARIABLE}
        #[arg(long)]
        mcp_json: bool,
    },
    /// Reach a server, greet it and list its tools
    Test {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        reach: Reach,
        /// Accept its tools as they are
        #[arg(long)]
        yes: bool,
    },
    /// Show what a command said beside the protocol
    Logs(Named),
    /// Offer a server's tools
    Enable(Named),
    /// Do not offer a server's tools
    Disable(Named),
    /// Have a running server connect anew
    Restart(Named),
    /// Remove a server, its secrets and its tools
    Remove(Named),
}

/// One server.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// The server's name
    name: String,
}

impl Mcp {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        match self {
            Mcp::Add(add) => block_on(added(globals, &add.reach, &add.org, add.server()?, add.yes)),
            Mcp::AddJson(add) => block_on(added(globals, &add.reach, &add.org, add.server()?, add.yes)),
            Mcp::Import(import) => import.run(globals),
            Mcp::List { org } => rows::list(globals, &org),
            Mcp::Get { named, mcp_json } => rows::get(globals, &named.org, &named.name, mcp_json),
            Mcp::Test { named, reach, yes } => block_on(test(globals, &reach, &named, yes)),
            Mcp::Logs(named) => logs(globals, &named),
            Mcp::Enable(named) => named.change(globals, Some(true), "on"),
            Mcp::Disable(named) => named.change(globals, Some(false), "off"),
            Mcp::Restart(named) => named.change(globals, None, "connected anew at its next use"),
            Mcp::Remove(named) => {
                let (store, tenant) = rows::opened(globals, &named.org)?;
                let server = block_on(store.org(&tenant).delete_mcp_server(named.name.clone()))?;
                globals
                    .report(|| json!({ "removed": server.slug }), || format!("removed {} and its tools", server.slug));
                Ok(())
            }
        }
    }
}

/// Keeps a new server, tries it, and asks whether its tools are accepted. A server that cannot be used is kept.
async fn added(globals: &Globals, reach: &Reach, org: &str, new: NewServer, yes: bool) -> Result<()> {
    let (store, tenant) = rows::opened(globals, org)?;
    let server = connect::prepare(new, AddedBy::Operator, &globals.sealer()?).map_err(as_typed)?;
    let server = store.org(&tenant).create_mcp_server(server).await.map_err(as_typed)?;
    if !server.is_active {
        globals.report(|| json!({ "slug": server.slug }), || format!("added {}, switched off", server.slug));
        return Ok(());
    }
    let trial = Trial::new(globals, reach, org)?;
    let tried = trial.run(&server.slug).await?;
    if let Some(fault) = tried.fault() {
        globals.report(
            || tried.to_json(),
            || format!("added {}: {}\n{}", server.slug, rows::place(&server), tried.to_text()),
        );
        let again = globals.command(&format!("mcp test {} --org {org}", server.slug))?;
        return Err(Error::failed(format!("{fault} It is kept; once that is mended: {again}")));
    }
    if !globals.json {
        globals
            .report(|| json!(null), || format!("added {}: {}\n{}", server.slug, rows::place(&server), tried.to_text()));
    }
    let is_accepted = tried.count() > 0 && tried.is_accepted(yes);
    trial.answer(&tried, is_accepted).await?;
    let mut told = tried.to_json();
    told["accepted"] = json!(is_accepted);
    let text = match is_accepted {
        true => "accepted".to_owned(),
        false => format!(
            "not accepted, so its tools are off; to accept them: {}",
            globals.command(&format!("mcp test {} --org {org} --yes", server.slug))?
        ),
    };
    globals.report(|| told, || text);
    Ok(())
}

async fn test(globals: &Globals, reach: &Reach, named: &Named, yes: bool) -> Result<()> {
    let trial = Trial::new(globals, reach, &named.org)?;
    let tried = trial.run(&named.name).await?;
    let has_news = tried.has_news();
    globals.print(|| tried.to_json(), || tried.to_text())?;
    if let Some(fault) = tried.fault() {
        return Err(Error::failed(fault));
    }
    if yes {
        trial.answer(&tried, true).await?;
    } else if has_news && !globals.json {
        globals.report(|| json!(null), || "some are not accepted; to accept them: the same with --yes".to_owned());
    }
    Ok(())
}

impl Named {
    /// Switches a server, or only marks it as changed, so that a running server connects anew.
    fn change(&self, globals: &Globals, is_active: Option<bool>, what: &str) -> Result<()> {
        let (store, tenant) = rows::opened(globals, &self.org)?;
        let sealer = globals.sealer()?;
        let change = ServerChange { is_active, ..ServerChange::default() };
        let change = move |server: &mut _| connect::change(server, change, AddedBy::Operator, &sealer);
        let server = block_on(store.org(&tenant).update_mcp_server(self.name.clone(), change))?;
        globals.report(
            || json!({ "slug": server.slug, "isActive": server.is_active }),
            || format!("{}: {what}", server.slug),
        );
        Ok(())
    }
}

/// What is wrong with a server, said of what was typed.
fn as_typed(error: Error) -> Error {
    let Error::Invalid(mut fields) = error else { return error };
    for invalid in &mut fields {
        let typed = match &*invalid.field {
            "slug" => "NAME",
            "url" => "URL",
            "headers" => "--header",
            "secretHeaders" => "--secret-header",
            "command" | "args" => "COMMAND",
            "cwd" => "--cwd",
            _ => continue,
        };
        invalid.field = typed.to_owned();
    }
    Error::Invalid(fields)
}

/// Where a running server keeps what a command said.
fn logs(globals: &Globals, named: &Named) -> Result<()> {
    let (store, tenant) = rows::opened(globals, &named.org)?;
    let server = store.org(&tenant).mcp_server(&named.name)?;
    let file = globals.folder()?.join("run/mcp").join(format!("{}.log", server.id));
    match std::fs::read(&file) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            globals.print(|| json!({ "slug": server.slug, "log": text }), || text.trim_end().to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let sentence = format!("{} has said nothing since the server started", server.slug);
            Err(Error::failed(sentence))
        }
        Err(error) => Err(Error::failed(format!("cannot read {}: {error}", file.display()))),
    }
}
