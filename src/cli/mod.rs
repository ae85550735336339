//! The command line: one file per command.
//!
//! Rule: what a program would read goes to standard output, everything else to standard error. Exit codes: 0 done,
//! 1 failed, 2 called wrongly, 3 to 6 why there is no server ([`exit_code`]). No secret is an argument: it comes from a file or from the environment.

use std::process::ExitCode;

use clap::{
    CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};

mod address;
mod agents;
mod approvals;
mod backup;
mod cassette;
mod chat;
mod child;
mod clients;
mod config;
mod demo;
mod deposit;
mod doctor;
mod examples;
mod gguf;
mod globals;
mod health;
mod keys;
mod ledger;
mod local_models;
mod log;
mod logs;
mod manual;
mod mcp;
mod members;
mod models;
mod openapi;
mod org;
mod output;
mod process;
mod providers;
mod prune;
mod quickstart;
mod reach;
mod record;
mod restore;
mod serve;
mod sessions;
mod sidecar;
mod terminal;
mod text;
mod tools;
mod transfer;
mod usage;
mod variables;
mod version;

use self::{examples::with_examples, globals::Globals, variables::with_variables};
use crate::error::{Error, Reason};

/// A private agent platform in one binary and one SQLite file.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API
    Serve(Box<serve::Serve>),
    /// Run the whole quickstart against a server of its own
    Demo(demo::Demo),
    /// Create and configure organizations
    #[command(subcommand)]
    Org(org::Org),
    /// Create, list, change and revoke API keys
    #[command(subcommand)]
    Keys(keys::Keys),
    /// List, invite and remove people
    #[command(subcommand)]
    Members(members::Members),
    /// Connect and test model servers
    #[command(subcommand)]
    Providers(providers::Providers),
    /// List an organization's models
    Models(models::Models),
    /// List and show agents
    #[command(subcommand)]
    Agents(agents::Agents),
    /// List and show conversations
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Show what was used, and what it cost
    Usage(usage::Usage),
    /// Keep local models' files in the data folder
    #[command(subcommand)]
    Gguf(gguf::Gguf),
    /// Show how to connect the commonest clients
    Clients(clients::Clients),
    /// Add, try and set the tools of agents
    #[command(subcommand)]
    Tools(tools::Tools),
    /// Add and test MCP servers
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    /// Answer calls of tools that wait for a person
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// Show what was asked of models, and what became of it
    Logs(logs::Logs),
    /// Talk to an agent, in a conversation or once
    Chat(chat::Chat),
    /// Ask a model questions, and write a cassette of its answers
    Record(record::Record),
    /// Look through recorded answers
    #[command(subcommand)]
    Cassette(cassette::Cassette),
    /// Add money to an organization's balance
    Deposit(deposit::Deposit),
    /// Check that the money adds up
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Export an organization as JSON Lines
    Export(transfer::Export),
    /// Import an organization that `export` wrote
    Import(transfer::Import),
    /// Permanently delete old sessions and soft-deleted items
    Prune(prune::Prune),
    /// Make a verified copy of the database, even beside a running server
    Backup(backup::Backup),
    /// Replace the database with a backup
    Restore(restore::Restore),
    /// Check everything a server depends on
    Doctor(doctor::Doctor),
    /// Print the OpenAPI document
    Openapi(openapi::Openapi),
    /// Show the settings of a server, and where they come from
    #[command(subcommand)]
    Config(config::Config),
    /// Print what a shell needs to complete commands
    Completions(manual::Completions),
    /// Write the manual's pages
    Man(manual::Man),
    /// Show what this binary is
    Version(version::Version),
    /// Ask a running server whether it is ready
    Health(health::Health),
    /// Become a command that a server starts
    #[command(name = "__child", hide = true)]
    Child(child::Child),
}

/// Reads the command line and runs its command.
pub fn run() -> ExitCode {
    let matches =
        with_examples(with_variables(Cli::command())).try_get_matches().unwrap_or_else(|error| hinted(error).exit());
    let Cli { globals, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    process::take_file_size_signal();
    let done = match command {
        Command::Serve(command) => command.run(&globals),
        Command::Demo(command) => command.run(&globals),
        Command::Org(command) => command.run(&globals),
        Command::Keys(command) => command.run(&globals),
        Command::Members(command) => command.run(&globals),
        Command::Providers(command) => command.run(&globals),
        Command::Models(command) => command.run(&globals),
        Command::Agents(command) => command.run(&globals),
        Command::Sessions(command) => command.run(&globals),
        Command::Usage(command) => command.run(&globals),
        Command::Gguf(command) => command.run(&globals),
        Command::Clients(command) => command.run(&globals),
        Command::Tools(command) => command.run(&globals),
        Command::Mcp(command) => command.run(&globals),
        Command::Approvals(command) => command.run(&globals),
        Command::Logs(command) => command.run(&globals),
        Command::Chat(command) => command.run(&globals),
        Command::Record(command) => command.run(&globals),
        Command::Cassette(command) => command.run(&globals),
        Command::Deposit(command) => command.run(&globals),
        Command::Ledger(command) => command.run(&globals),
        Command::Export(command) => command.run(&globals),
        Command::Import(command) => command.run(&globals),
        Command::Prune(command) => command.run(&globals),
        Command::Backup(command) => command.run(&globals),
        Command::Restore(command) => command.run(&globals),
        Command::Doctor(command) => command.run(&globals),
        Command::Openapi(command) => command.run(),
        Command::Config(command) => command.run(&globals, with_variables(Cli::command())),
        Command::Completions(command) => command.run(Cli::command()),
        Command::Man(command) => command.run(&globals, with_examples(Cli::command())),
        Command::Version(command) => command.run(&globals),
        Command::Health(command) => command.run(&globals),
        Command::Child(command) => command.run(),
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::fail(&error);
            exit_code(&error)
        }
    };
    log::finish();
    code
}

/// What a program that ran the command learns of why it failed.
fn exit_code(error: &Error) -> ExitCode {
    ExitCode::from(match error {
        Error::Failed { reason: Reason::DataDirInUse, .. } => 3,
        Error::Failed { reason: Reason::AddressInUse, .. } => 4,
        Error::Failed { reason: Reason::NewerFile, .. } => 5,
        Error::Failed { reason: Reason::DataDirDenied, .. } => 6,
        _ => 1,
    })
}

/// The same error with the flag that is meant, where other programs call it otherwise.
fn hinted(mut error: clap::Error) -> clap::Error {
    let is = |kind, words: &[&str]| match error.get(kind) {
        Some(ContextValue::String(text)) => words.contains(&&**text),
        Some(ContextValue::StyledStr(text)) => words.iter().any(|word| text.to_string().contains(word)),
        _ => false,
    };
    let meant = is(ContextKind::InvalidArg, &["--port", "-p", "--host", "--bind", "--address"]);
    if meant && is(ContextKind::Usage, &["alm serve", "alm demo"]) {
        error.insert(ContextKind::SuggestedArg, ContextValue::String("--listen".into()));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    fn flags(command: &clap::Command) -> Vec<&clap::Arg> {
        let own = command.get_arguments().filter(|flag| flag.get_long().is_some());
        own.chain(command.get_subcommands().flat_map(flags)).collect()
    }

    #[test]
    fn every_flag_has_its_variable_but_what_destroys_or_agrees() {
        let command = super::with_variables(super::Cli::command());
        command.clone().debug_assert();
        let flags = flags(&command);
        assert!(flags.len() > 30, "{flags:?}");
        for flag in flags {
            if super::variables::is_meant_once(flag.get_long().unwrap()) {
                assert_eq!(flag.get_env(), None, "{flag}");
                continue;
            }
            let variable = format!("ALM_{}", flag.get_long().unwrap().replace('-', "_").to_uppercase());
            assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(&*variable));
        }
    }
}
