//! `alm mcp import` and `add-json`: entries of other programs' files, one line each.
//!
//! Rule: an entry that cannot be taken over hinders no other. What a file lets run without asking asks here all the same,
//! unless that is wanted.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    add::NO_ARGUMENT,
    entry::{Entry, File, Left, Program, Way, is_secret_name, read},
    here::Here,
    rows::opened,
    trial::{Trial, Tried},
};
use crate::{
    cli::{
        globals::{Globals, block_on},
        reach::Reach,
        text::{count_text, read_text},
    },
    error::{Error, Result},
    store::{Store, Tenant, tools::AddedBy},
    tools::{
        connect::{self, NewServer, Place, ServerChange},
        secrets::NewSecret,
    },
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Import {
    /// The organization's slug
    #[arg(long)]
    org: String,
    /// The file, such as .mcp.json, mcp.json or claude_desktop_config.json; - for standard input
    file: PathBuf,
    /// Put an entry in the place of a server that is called so
    #[arg(long)]
    replace: bool,
    /// Let tools run without asking that the file lets run so
    #[arg(long)]
    keep_approvals: bool,
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Accept the tools as they are, without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddJson {
    /// The organization's slug
    #[arg(long)]
    pub(super) org: String,
    /// What the server is called here
    name: String,
    /// Its entry, a JSON object; - for standard input, where it may hold secrets
    entry: String,
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Accept its tools as they are, without asking
    #[arg(long)]
    pub(super) yes: bool,
}

/// What became of an entry.
struct Line {
    name: String,
    outcome: &'static str,
    /// Why, or how it went.
    text: String,
    notes: Vec<String>,
}

impl Import {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let unreadable = |why| Error::failed(format!("{}: {why}", self.file.display()));
        let file = read(&read_text(&self.file)?, Program::of(&self.file)).map_err(unreadable)?;
        let (store, tenant) = opened(globals, &self.org)?;
        let mut world = Here::new(self.file != Path::new("-"));
        let lines = block_on(self.take_all(globals, (&store, &tenant), file, &mut world))?;
        let failed = lines.iter().filter(|line| line.outcome == "failed").count();
        let json = || lines.iter().map(Line::to_json).collect();
        globals.print(json, || lines.iter().map(Line::to_string).collect::<Vec<_>>().join("\n"))?;
        if failed == 0 { Ok(()) } else { Err(Error::failed(format!("{} failed", count_text(failed as u64, "entry")))) }
    }

    async fn take_all(
        &self,
        globals: &Globals,
        data: (&Store, &Tenant),
        mut file: File,
        world: &mut Here,
    ) -> Result<Vec<Line>> {
        let trial = Trial::new(globals, &self.reach, &self.org)?;
        let mut lines = Vec::new();
        for name in file.names() {
            let kept = match file.entry(&name, world) {
                Ok(entry) => self.keep(globals, data, &entry).await.map(|done| (entry, done)),
                Err(left) => Err(left),
            };
            lines.push(match kept {
                Err(left) => Line::left(&name, left),
                Ok((entry, done)) if !entry.is_active => {
                    Line { name, outcome: done, text: "off".into(), notes: entry.notes }
                }
                Ok((entry, done)) => {
                    let tried = trial.run(&entry.slug).await?;
                    if tried.fault().is_none() {
                        trial.answer(&tried, tried.count() > 0 && tried.is_accepted(self.yes)).await?;
                    }
                    if self.keep_approvals {
                        trial.allow(&tried, &entry.approved).await?;
                    }
                    Line::tried(entry, done, &tried)
                }
            });
        }
        Ok(lines)
    }

    /// Keeps an entry; answers what that was.
    async fn keep(
        &self,
        globals: &Globals,
        (store, tenant): (&Store, &Tenant),
        entry: &Entry,
    ) -> Result<&'static str, Left> {
        let org = store.org(tenant);
        let failed = |error: Error| Left::from(error.to_string());
        let is_there = org.mcp_servers().map_err(failed)?.iter().any(|server| server.slug == entry.slug);
        if is_there && !self.replace {
            return Err(Left::Skipped(format!(
                "a server is called {} already: --replace puts this in its place",
                entry.slug
            )));
        }
        let server = connect::prepare(new_server(entry), AddedBy::Operator, &globals.sealer().map_err(failed)?)
            .map_err(failed)?;
        if is_there {
            org.delete_mcp_server(entry.slug.clone()).await.map_err(failed)?;
        }
        org.create_mcp_server(server).await.map_err(failed)?;
        Ok(if is_there { "replaced" } else { "added" })
    }
}

impl AddJson {
    /// The server that was meant.
    pub(super) fn server(&self) -> Result<NewServer> {
        let is_argument = self.entry != "-";
        let text = if is_argument { self.entry.clone() } else { read_text(Path::new("-"))? };
        let mut world = Here::new(is_argument);
        let read =
            File::of_one(&self.name, &text).map_err(Left::from).and_then(|mut file| file.entry(&self.name, &mut world));
        let entry = read.map_err(|left| {
            let (Left::Skipped(why) | Left::Failed(why)) = left;
            Error::failed(format!("{}: {why}", self.name))
        })?;
        if is_argument && has_literal_secret(&entry.way) {
            return Err(Error::failed(format!(
                "{NO_ARGUMENT} Or give the entry on standard input: alm mcp add-json {} -",
                self.name
            )));
        }
        // What is typed is meant as it is typed.
        Ok(NewServer { slug: self.name.clone(), ..new_server(&entry) })
    }
}

/// Whether a value stands there that its name calls a secret.
fn has_literal_secret(way: &Way) -> bool {
    let (Way::Http { headers: values, .. } | Way::Command { env: values, .. }) = way;
    let is_secret = |name: &str| is_secret_name(name) || name.eq_ignore_ascii_case("authorization");
    values.iter().any(|(name, value)| matches!(value, NewSecret::Text(_)) && is_secret(name))
}

fn new_server(entry: &Entry) -> NewServer {
    let (place, secrets) = match &entry.way {
        Way::Http { url, headers } => (Place::Url(url.clone()), headers),
        Way::Command { command, args, env, cwd } => {
            let cwd = cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned());
            (Place::Command { command: command.clone(), args: args.clone(), cwd }, env)
        }
    };
    let more = ServerChange {
        name: Some(entry.name.clone()),
        secrets: Some(secrets.clone()),
        timeout_ms: entry.timeout.map(|timeout| timeout.as_millis() as i64),
        is_active: Some(entry.is_active),
        ..ServerChange::default()
    };
    NewServer { slug: entry.slug.clone(), place, more }
}

impl Line {
    fn left(name: &str, left: Left) -> Self {
        let (outcome, text) = match left {
            Left::Skipped(why) => ("skipped", why),
            Left::Failed(why) => ("failed", why),
        };
        Line { name: name.to_owned(), outcome, text, notes: Vec::new() }
    }

    /// A server that cannot be reached is kept, and has failed.
    fn tried(entry: Entry, done: &'static str, tried: &Tried) -> Self {
        let Entry { name, notes, .. } = entry;
        match tried.fault() {
            None => Line { name, outcome: done, text: count_text(tried.count() as u64, "tool"), notes },
            Some(fault) => Line { name, outcome: "failed", text: format!("{done}, but {fault}"), notes },
        }
    }

    fn to_json(&self) -> Value {
        json!({ "name": self.name, "outcome": self.outcome, "text": self.text, "notes": self.notes })
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.name, self.outcome, self.text)?;
        if !self.notes.is_empty() {
            write!(f, " ({})", self.notes.join("; "))?;
        }
        Ok(())
    }
}
