//! The command line: one file per command.
//!
//! Rule: what a program would read goes to standard output, everything else to standard error. Exit codes: 0 done,
//! 1 failed, 2 called wrongly. No secret is an argument: it comes from a file or from the environment.

use std::{path::PathBuf, process::ExitCode};

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand, builder::FalseyValueParser};
use serde_json::Value;

use crate::{
    catalog::{Catalog, EnvProvider},
    error::{Error, Invalid, Result},
    model::upstream::Upstreams,
    outbound,
    seal::{self, Sealer},
    store::Store,
};

mod backup;
mod demo;
mod deposit;
mod doctor;
mod health;
mod keys;
mod ledger;
mod models;
mod openapi;
mod org;
mod process;
mod providers;
mod prune;
mod restore;
mod serve;
mod transfer;
mod walk;

/// A private agent platform in one binary and one SQLite file.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the data is, and how to speak.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// The folder that holds everything; the XDG data folder when absent
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The file with the key that seals providers' keys; `alm.key` in the data folder when absent
    #[arg(long, global = true, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true, value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API
    Serve(serve::Serve),
    /// Show the whole quickstart on a server of its own
    Demo(demo::Demo),
    /// Make and set up organizations
    #[command(subcommand)]
    Org(org::Org),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Connect the servers that models come from
    #[command(subcommand)]
    Providers(providers::Providers),
    /// List an organization's models
    Models(models::Models),
    /// Add to an organization's balance
    Deposit(deposit::Deposit),
    /// Check that the money adds up
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Write an organization to a file, as lines of JSON
    Export(transfer::Export),
    /// Read an organization from a file that `export` wrote
    Import(transfer::Import),
    /// Let old sessions and deleted things really go
    Prune(prune::Prune),
    /// Make a checked copy of the database, beside a running server too
    Backup(backup::Backup),
    /// Put a backup in the place of the database
    Restore(restore::Restore),
    /// Look at everything that a server depends on
    Doctor(doctor::Doctor),
    /// Print the OpenAPI document
    Openapi(openapi::Openapi),
    /// Ask a running server whether it is ready
    Health(health::Health),
}

/// Reads the command line and runs its command.
pub fn run() -> ExitCode {
    let matches = with_variables(Cli::command()).get_matches();
    let Cli { place, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match command {
        Command::Serve(command) => command.run(&place),
        Command::Demo(command) => command.run(&place),
        Command::Org(command) => command.run(&place),
        Command::Keys(command) => command.run(&place),
        Command::Providers(command) => command.run(&place),
        Command::Models(command) => command.run(&place),
        Command::Deposit(command) => command.run(&place),
        Command::Ledger(command) => command.run(&place),
        Command::Export(command) => command.run(&place),
        Command::Import(command) => command.run(&place),
        Command::Prune(command) => command.run(&place),
        Command::Backup(command) => command.run(&place),
        Command::Restore(command) => command.run(&place),
        Command::Doctor(command) => command.run(&place),
        Command::Openapi(command) => command.run(),
        Command::Health(command) => command.run(&place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alm: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives every flag its variable: `--data-dir` is also `ALM_DATA_DIR`.
fn with_variables(command: clap::Command) -> clap::Command {
    let with_variable = |flag: Arg| match flag.get_long().map(|long| long.replace('-', "_").to_uppercase()) {
        Some(name) => flag.env(format!("ALM_{name}")),
        None => flag,
    };
    command.mut_args(with_variable).mut_subcommands(with_variables)
}

/// Connections that a command reads with; a command does one thing at a time.
const COMMAND_READERS_MAX: u32 = 1;

impl Place {
    /// The data folder.
    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
        let unknown = || Error::failed("there is no home folder: name the data folder with --data-dir");
        Ok(data.ok_or_else(unknown)?.join("alm"))
    }

    /// The store, beside a running server or without one.
    fn store(&self) -> Result<Store> {
        Store::open(&self.folder()?, COMMAND_READERS_MAX)
    }

    /// The file with the key that seals providers' keys.
    fn key_file(&self) -> Result<PathBuf> {
        match &self.secret_key_file {
            Some(file) => Ok(file.clone()),
            None => Ok(self.folder()?.join(seal::FILE_NAME)),
        }
    }

    /// What seals providers' keys.
    fn sealer(&self) -> Result<Sealer> {
        Sealer::open(&self.key_file()?)
    }

    /// The models of every organization. Providers that the environment names are asked what they have.
    fn catalog(&self, store: &Store) -> Result<Catalog> {
        let named = EnvProvider::from_env(|name| std::env::var(name).ok());
        let catalog =
            Catalog::new(store.clone(), self.sealer()?, named, Upstreams::new(&outbound::Options::default())?);
        block_on(async {
            catalog.refresh_env_providers().await;
            Ok(catalog)
        })
    }

    /// Prints a result: `json` for programs, `text` for people.
    fn print(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        println!("{}", if self.json { json().to_string() } else { text() });
    }
}

/// A runtime for commands that do one thing and end.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(work)
}

/// What is wrong with a field, said of the flag that it came from: `baseUrl` is `--base-url`.
fn as_flags(error: Error) -> Error {
    let Error::Invalid(mut fields) = error else { return error };
    for Invalid { field, .. } in &mut fields {
        let words =
            field.chars().flat_map(|c| c.is_ascii_uppercase().then_some('-').into_iter().chain(c.to_lowercase()));
        *field = format!("--{}", words.collect::<String>());
    }
    Error::Invalid(fields)
}

/// The secret in a file, without the line end that editors leave.
fn read_secret(file: &std::path::Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::failed(format!("cannot read {}: {error}", file.display())))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::failed(format!("{} is empty", file.display()))),
        secret => Ok(secret.to_owned()),
    }
}

/// A number of bytes, for people.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes as f64 / 1e3, 0);
    while size >= 1e3 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1e3, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// How many there are of something, for people.
fn count_text(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rows in columns, for people.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    fn flags(command: &clap::Command) -> Vec<&clap::Arg> {
        let own = command.get_arguments().filter(|flag| flag.get_long().is_some());
        own.chain(command.get_subcommands().flat_map(flags)).collect()
    }

    #[test]
    fn every_flag_has_its_variable() {
        let command = super::with_variables(super::Cli::command());
        command.clone().debug_assert();
        let flags = flags(&command);
        assert!(flags.len() > 30, "{flags:?}");
        for flag in flags {
            let variable = format!("ALM_{}", flag.get_long().unwrap().replace('-', "_").to_uppercase());
            assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(&*variable));
        }
    }

    #[test]
    fn numbers_are_told_as_people_say_them() {
        for (bytes, text) in
            [(0, "0.0 kB"), (999_900, "999.9 kB"), (302_518_272, "302.5 MB"), (u64::MAX, "18446744.1 TB")]
        {
            assert_eq!(super::size_text(bytes), text);
        }
        assert_eq!((super::count_text(1, "turn"), super::count_text(0, "turn")), ("1 turn".into(), "0 turns".into()));
    }

    #[test]
    fn a_table_lines_up() {
        let rows = [vec!["a".into(), "long cell".into()], vec!["bcd".into(), "x".into()]];
        assert_eq!(super::table(&["K", "V"], &rows), "K    V\na    long cell\nbcd  x");
    }
}
