//! What every command takes: where the data is, and how to speak.

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;

use super::{output, process::THIS_PROGRAM, variables::folder_variable};
use crate::{
    catalog::{Catalog, EnvProvider},
    child::Children,
    error::{Error, Result},
    model::upstream::Upstreams,
    outbound,
    seal::{self, Sealer},
    store::Store,
    tools::mcp::stdio::Commands,
};

/// Where the data is, and how to speak.
#[derive(Debug, Clone, clap::Args)]
pub struct Globals {
    /// The folder that holds everything; the XDG data folder by default
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// The file with the key that seals providers' keys; `alm.key` in the data folder by default
    #[arg(long, global = true, value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// Connections that a command reads with; a command does one thing at a time.
const COMMAND_READERS_MAX: u32 = 1;

impl Globals {
    /// The data folder.
    pub fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.data_dir {
            return Ok(folder.clone());
        }
        let unknown = || Error::failed("there is no home folder: name the data folder with --data-dir");
        let data = match folder_variable("XDG_DATA_HOME")? {
            Some(data) => data,
            None => folder_variable("HOME")?.ok_or_else(unknown)?.join(".local/share"),
        };
        Ok(data.join("alm"))
    }

    /// The store, beside a running server or without one.
    pub fn store(&self) -> Result<Store> {
        Store::open(&self.folder()?, COMMAND_READERS_MAX)
    }

    /// The file with the key that seals providers' keys.
    pub fn key_file(&self) -> Result<PathBuf> {
        match &self.secret_key_file {
            Some(file) => Ok(file.clone()),
            None => Ok(self.folder()?.join(seal::FILE_NAME)),
        }
    }

    /// The folder of the key file, where that is not the data folder.
    pub fn key_folder(&self) -> Result<Option<PathBuf>> {
        let own = self.folder()?;
        let elsewhere = |file: PathBuf| file.parent().filter(|folder| *folder != own).map(PathBuf::from);
        let folder = elsewhere(self.key_file()?);
        Ok(folder.map(|folder| if folder.as_os_str().is_empty() { ".".into() } else { folder }))
    }

    /// What seals providers' keys.
    pub fn sealer(&self) -> Result<Sealer> {
        Sealer::open(&self.key_file()?)
    }

    /// What starts MCP servers that are commands, as a server does, and ends with this command.
    pub fn commands(&self) -> Result<Arc<Commands>> {
        Ok(Arc::new(Commands::beside(self.folder()?, Arc::new(Children::new(Ok(THIS_PROGRAM.into()))))))
    }

    /// The models of every organization. Providers that the environment names are asked what they have.
    pub fn catalog(&self, store: &Store) -> Result<Catalog> {
        let named = EnvProvider::from_env(|name| std::env::var(name).ok());
        let catalog =
            Catalog::new(store.clone(), self.sealer()?, named, Upstreams::new(&outbound::Options::default())?);
        block_on(async {
            catalog.refresh_env_providers().await;
            Ok(catalog)
        })
    }

    /// Prints what a command is for: `json` for programs, `text` for people.
    pub fn print(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<()> {
        output::print(&self.line(json, text))
    }

    /// Prints what a command has done, which stays done if nobody hears of it.
    pub fn report(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        output::report(&self.line(json, text));
    }

    fn line(&self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> String {
        format!("{}\n", if self.json { json().to_string() } else { text() })
    }
}

/// A runtime for commands that do one thing and end.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(work)
}
