//! What every command takes: where the data is, and how to speak.

use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use serde_json::Value;

use super::{output, process::THIS_PROGRAM, text::shell_word, variables::folder_variable};
use crate::{
    catalog::{Catalog, EnvProvider},
    child::Children,
    error::{Error, Result},
    model::upstream::Upstreams,
    outbound,
    seal::{self, Sealer},
    store::{Store, Tenant, file, orgs::OrgDetails},
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
/// Organizations that an error has room for.
const SLUGS_SHOWN: usize = 20;

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

    /// The database, which is there: whoever mistypes a folder makes none.
    pub fn database(&self) -> Result<PathBuf> {
        let file = self.folder()?.join(file::FILE_NAME);
        match file.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let remedy = "name the data folder with --data-dir, or make a database there with alm org create";
                Err(Error::failed(format!("there is no {}: {remedy}", file.display())))
            }
            // Whoever opens it says what else is wrong.
            _ => Ok(file),
        }
    }

    /// The store, beside a running server or without one.
    pub fn store(&self) -> Result<Store> {
        self.database()?;
        self.new_store()
    }

    /// The same, made where it is missing.
    pub fn new_store(&self) -> Result<Store> {
        Store::open(&self.folder()?, COMMAND_READERS_MAX)
    }

    /// An organization; where there is none of that name, the error says where it was looked for, and what is there.
    pub fn org(&self, store: &Store, slug: &str) -> Result<OrgDetails> {
        match store.org_by_slug(slug) {
            Err(Error::NotFound(_)) => {
                let folder = self.folder()?;
                let has = match &*orgs_text(store)? {
                    "" => format!("there is none yet: {}", self.command("org create")?),
                    slugs => format!("it has: {slugs}"),
                };
                Err(Error::failed(format!("no such organization: {slug}, in {}; {has}", folder.display())))
            }
            found => found,
        }
    }

    /// The same, as its tables know it.
    pub fn tenant(&self, store: &Store, slug: &str) -> Result<Tenant> {
        Ok(self.org(store, slug)?.tenant())
    }

    /// A command to type next: in the same folder, wherever it is typed.
    pub fn command(&self, words: &str) -> Result<String> {
        let folder = self.folder()?;
        let usual = Globals { data_dir: None, ..self.clone() }.folder();
        if usual.is_ok_and(|usual| usual == folder) {
            return Ok(format!("alm {words}"));
        }
        let whole = std::path::absolute(&folder).unwrap_or(folder);
        Ok(format!("alm {words} --data-dir {}", shell_word(&whole.to_string_lossy())))
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

/// The slugs of the organizations, at most so many that a line has room for them.
pub fn orgs_text(store: &Store) -> Result<String> {
    let orgs = store.orgs()?;
    let mut slugs: Vec<_> = orgs.iter().take(SLUGS_SHOWN).map(|org| org.slug.as_str()).collect();
    slugs.extend((orgs.len() > SLUGS_SHOWN).then_some("…"));
    Ok(slugs.join(", "))
}

/// A runtime for commands that do one thing and end.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
    runtime.block_on(work)
}
