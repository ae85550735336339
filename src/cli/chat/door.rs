//! Which server a chat asks, and with which key.
//!
//! Rule: a server that runs is asked; where none does, one of this command's own is, on a free port of loopback. No database is made.
//! A key that is made for a chat is revoked at its end, and works no longer than [`KEY_LIFE`] in any case.

use std::{path::PathBuf, time::Duration};

use crate::{
    cli::{
        globals::{Globals, orgs_text},
        process::THIS_PROGRAM,
        text::{as_flags, read_secret},
    },
    error::{Error, Result},
    key::{self, Env, Scope},
    seal::from_environment,
    server::{self, ErrorKind, Server},
    store::{
        Store, Tenant,
        file::lock,
        keys::{KeyTerms, KeysOf},
    },
    time::Timestamp,
};

/// How long a key of this command is good for.
const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const DRAIN: Duration = Duration::from_secs(1);

/// What was asked for.
pub struct Wish {
    pub url: Option<String>,
    pub key_file: Option<PathBuf>,
    pub org: Option<String>,
}

/// A server, a key, and what ends with the chat.
pub struct Door {
    pub url: String,
    pub key: String,
    pub org: Option<String>,
    /// A server of this command's own.
    pub server: Option<Server>,
    pub lent: Option<Lent>,
}

/// A key that was made for one chat.
pub struct Lent {
    store: Store,
    tenant: Tenant,
    id: String,
}

impl Door {
    pub async fn open(wish: Wish, globals: &Globals) -> Result<Self> {
        let named = match &wish.key_file {
            Some(file) => Some(read_secret(file)?.trim().to_owned()),
            None => from_environment("ALM_KEY").map(|secret| secret.expose().to_owned()),
        };
        if let Some(url) = wish.url {
            let key = named
                .ok_or_else(|| Error::failed("--url needs a key: set ALM_KEY, or name its file with --key-file"))?;
            return Ok(Door { url, key, org: wish.org, server: None, lent: None });
        }
        globals.database()?;
        let (url, server) = match own(globals).await {
            Ok(server) => (server.url().unwrap_or_default().to_owned(), Some(server)),
            Err(error) if error.kind() == ErrorKind::DataDirInUse => (running(globals)?, None),
            Err(error) => return Err(as_flags(error.into_inner())),
        };
        let (key, org, lent) = match named {
            Some(key) => (key, wish.org, None),
            None => {
                let (key, lent) = lend(globals, wish.org.as_deref()).await?;
                (key, None, Some(lent))
            }
        };
        Ok(Door { url, key, org, server, lent })
    }
}

impl Lent {
    /// Revokes it.
    pub async fn give_back(self) -> Result<()> {
        self.store.org(&self.tenant).revoke_key(self.id, KeysOf::Own).await.map(drop)
    }
}

/// A server on a free port, which this command alone knows.
async fn own(globals: &Globals) -> Result<Server, server::Error> {
    let builder = Server::builder()
        .data_dir(globals.folder()?)
        .secret_key_file(globals.key_file()?)
        .variables(|name| std::env::var(name).ok())
        .proxy_from_env()
        .program(THIS_PROGRAM)
        .drain(DRAIN);
    builder.build().await
}

/// Where the server is that uses the folder.
fn running(globals: &Globals) -> Result<String> {
    let folder = globals.folder()?;
    lock::announced(&folder).map(|said| said.url).ok_or_else(|| {
        let text = format!("a server uses {} and does not say where it listens: name it with --url", folder.display());
        Error::failed(text)
    })
}

/// A key for this run, in the organization that is named or the only one there is.
async fn lend(globals: &Globals, slug: Option<&str>) -> Result<(String, Lent)> {
    let store = globals.store()?;
    let tenant = match (slug, &*store.orgs()?) {
        (Some(slug), _) => globals.tenant(&store, slug)?,
        (None, [only]) => only.tenant(),
        (None, []) => {
            let create = globals.command("org create")?;
            return Err(Error::failed(format!(
                "there is no organization in {} yet: {create}",
                globals.folder()?.display()
            )));
        }
        (None, _) => {
            return Err(Error::failed(format!("which organization? --org takes one of {}", orgs_text(&store)?)));
        }
    };
    let new = key::generate(Env::Live)?;
    let until = Timestamp::now().plus(KEY_LIFE);
    let terms = KeyTerms { expires_at: Some(until), ..KeyTerms::live("alm chat", vec![Scope::Read, Scope::Chat]) };
    let row = store.org(&tenant).create_key(&new, terms).await?;
    Ok((new.text, Lent { store, tenant, id: row.id }))
}
