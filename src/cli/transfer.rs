//! `alm export` and `alm import`: one organization, out of a file and into another.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    globals::Globals,
    output::Patient,
    text::{count_text, read_secret},
};
use crate::{
    catalog,
    error::{Error, Result},
    password,
    store::file::transfer::{Exported, Vet},
    tools::{connect, declare},
};

/// What is read in keeps the rules of what is made here.
const VET: Vet = Vet { provider: catalog::vet, tool: declare::check, server: connect::check_with_tools };
/// An export holds everybody's conversations: it is its owner's alone.
const FILE_MODE: u32 = 0o600;

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The organization's slug
    #[arg(long, value_name = "SLUG")]
    org: String,
    /// The file to create; standard output by default
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// A file written by `alm export`
    file: PathBuf,
    /// A new slug for the organization; its own by default
    #[arg(long, value_name = "SLUG")]
    slug: Option<String>,
    /// A file with a password for the owner, if the owner has none here
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let store = globals.store()?;
        let tenant = globals.tenant(&store, &self.org)?;
        let org = store.org(&tenant);
        let Some(path) = &self.file else {
            let mut out = BufWriter::new(Output::default());
            let exported = match org.export(&mut out) {
                Err(_) if out.get_ref().is_gone => return Ok(()),
                exported => exported?,
            };
            drop(writeln!(Patient(io::stderr()), "{}", summary(&self.org, &exported)));
            return Ok(());
        };
        let file = create(path)?;
        // Half an export is none.
        let exported = org.export(&mut BufWriter::new(&file)).inspect_err(|_| drop(fs::remove_file(path)))?;
        file.sync_all().map_err(|error| cannot(path, &error))?;
        globals.report(|| json!({ "slug": self.org, "rows": exported.rows }), || summary(&self.org, &exported));
        Ok(())
    }
}

impl Import {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        let file = File::open(&self.file).map_err(|error| cannot(&self.file, &error))?;
        let hash = self.password_file.map(|file| password::hash(&read_secret(&file)?)).transpose()?;
        let imported = globals.new_store()?.import(BufReader::new(file), self.slug, hash, VET)?;
        let (slug, rows) = (imported.slug, imported.rows);
        let next = globals.command(&format!("keys create --org {slug} --name first"))?;
        globals.report(
            || json!({ "slug": slug, "rows": rows }),
            || {
                let rows = count_text(rows, "row");
                format!("imported {slug}: {rows}\nnext: {next}; then set its providers' keys and its tools' secrets again, if it has any")
            },
        );
        Ok(())
    }
}

/// Standard output. Whoever stops reading an export has read enough.
#[derive(Default)]
struct Output {
    is_gone: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Patient(io::stdout()).write(bytes).inspect_err(|error| self.is_gone = error.kind() == ErrorKind::BrokenPipe)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn summary(slug: &str, exported: &Exported) -> String {
    let Exported { rows, api_keys, providers, tools, servers, commands, cassettes } = exported;
    let without = match tools + servers + commands {
        0 => String::new(),
        _ => format!(
            ", secrets of {} and {} (switched off), {}",
            count_text(tools.unsigned_abs(), "HTTP tool"),
            count_text(servers.unsigned_abs(), "MCP server"),
            count_text(commands.unsigned_abs(), "MCP command"),
        ),
    };
    let cassettes = match cassettes {
        0 => String::new(),
        count => format!(", {}", count_text(count.unsigned_abs(), "cassette")),
    };
    format!(
        "exported {slug}: {}; left out: passwords, {}, keys and headers of {}{without}{cassettes}",
        count_text(*rows, "row"),
        count_text(api_keys.unsigned_abs(), "API key"),
        count_text(providers.unsigned_abs(), "provider"),
    )
}

fn create(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Conflict(format!("{} exists: choose another name", path.display())),
        _ => cannot(path, &error),
    })
}

fn cannot(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("cannot use {}: {error}", path.display()))
}
