//! `alm demo`: the quickstart, walked on a server of its own.
//!
//! Rule: nothing is faked. The server is the one that `alm serve` runs, on a real port and a real file, and the walk
//! talks to it over HTTP like anybody else.

use std::{
    io::{self, Write},
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::builder::FalseyValueParser;
use tokio::sync::Notify;

use super::{
    Place,
    server::{self, Server, Settings},
    walk::{self, Style},
};
use crate::{
    error::{Error, Result},
    http::state::cors::Cors,
    id,
    key::{self, Env, Scope},
    money::Pricing,
    seal::{self, Sealer},
    store::{
        Store,
        file::lock,
        orgs::OrgDetails,
        providers::{Provider, ProviderModel},
    },
};

const ORG_SLUG: &str = "demo";
/// A provider whose model costs money, to show what an empty balance says. It is never reached.
const PAID_PROVIDER: &str = "paid";
const PAID_MODEL: &str = "example";
/// Ports that are tried after the first, when that is taken.
const PORTS_MAX: u16 = 32;
const CHATS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// A demo keeps nobody waiting at its end.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Where to listen; the next free port if it is taken
    #[arg(long, default_value = "127.0.0.1:2560", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// End after the walk; exit code 0 only if every step held
    #[arg(long, value_parser = FalseyValueParser::new())]
    once: bool,
}

impl Demo {
    pub(super) fn run(self, place: &Place) -> Result<()> {
        let folder = Folder::of(place)?;
        let store = server::open_store(folder.path())?;
        let lock = lock::lock(folder.path())?;
        let sealer = Sealer::open(&folder.path().join(seal::FILE_NAME))?;
        let org = match store.org_by_slug(ORG_SLUG) {
            Err(Error::NotFound(_)) => store.create_org(ORG_SLUG, "owner@demo.localhost", None)?,
            known => known?,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
        runtime.block_on(async {
            let key = make_key(&store, &org).await?;
            let paid_model = make_paid_model(&store, &org).await?;
            let settings = |listen| Settings {
                listen,
                metrics_listen: None,
                chats_per_minute: CHATS_PER_MINUTE,
                drain: DRAIN,
                cors: Cors::default(),
                allow_hosts: Vec::new(),
                setup: None,
                ca_file: None,
                ambient: false,
            };
            let listen = free_port(self.listen)?;
            let server = Server::new(lock, store, sealer, settings(listen)).await?;
            let url = server.url();
            let over = Arc::new(Notify::new());
            let (once, end) = (self.once, over.clone());
            let walk = tokio::task::spawn_blocking(move || {
                let shown = show(&url, &key, &paid_model, folder.path(), once);
                if once || shown.is_err() {
                    end.notify_one();
                }
                // The folder lives as long as the server, or as long as the walk if that is longer.
                shown.map(|()| folder)
            });
            let shutdown = async {
                tokio::select! {
                    () = server::signal() => {}
                    () = over.notified() => {}
                }
            };
            server.run(shutdown).await;
            walk.await.map_err(Error::internal)?.map(drop)
        })
    }
}

/// Walks, then says how to go on.
fn show(url: &str, key: &str, paid_model: &str, folder: &Path, once: bool) -> Result<()> {
    let style = Style::of_stdout();
    let mut out = io::stdout();
    let failed = |error: &dyn std::error::Error| Error::failed(format!("the demo failed: {error}"));
    writeln!(out, "{}", style.dim(&format!("alm is listening on {url}, its data is in {}", folder.display())))
        .map_err(|error| failed(&error))?;
    walk::walk(url, key, ORG_SLUG, paid_model, &mut out, style).map_err(|error| failed(&error))?;
    if once {
        return writeln!(out, "\n{}", style.good("Every step held.")).map_err(|error| failed(&error));
    }
    let curl = walk::curl_to_copy(url, key, ORG_SLUG, "Summarise the periodic table in 3 sentences.");
    writeln!(
        out,
        "\n{}\n\nYour key:  {key}\nTry:\n{}\n\nExplore:   {url}/docs\nDocument:  {url}/openapi.json\n\n{}",
        style.good("Every step held."),
        style.typed(&curl),
        style.dim("Ctrl-C ends it."),
    )
    .map_err(|error| failed(&error))
}

/// The demo's data: a folder that lasts, or one that goes with the demo.
enum Folder {
    Lasting(PathBuf),
    Own(PathBuf),
}

impl Folder {
    fn of(place: &Place) -> Result<Self> {
        match &place.data_dir {
            Some(folder) => Ok(Folder::Lasting(folder.clone())),
            None => Ok(Folder::Own(std::env::temp_dir().join(format!("alm-demo-{}", id::generate())))),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Lasting(path) | Folder::Own(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Folder::Own(path) = self
            && let Err(error) = std::fs::remove_dir_all(&*path)
        {
            eprintln!("alm: {} stays behind: {error}", path.display());
        }
    }
}

/// The first port that is free, from the wanted one on; says so if it is another.
fn free_port(wanted: SocketAddr) -> Result<SocketAddr> {
    let candidates = (0..=PORTS_MAX).filter_map(|more| wanted.port().checked_add(more));
    let free =
        candidates.map(|port| SocketAddr::new(wanted.ip(), port)).find(|at| std::net::TcpListener::bind(at).is_ok());
    let free = free.ok_or_else(|| {
        Error::failed(format!("{wanted} and the ports after it are taken: name another with --listen"))
    })?;
    if free.port() != wanted.port() {
        println!("Port {} is taken, so this demo listens on port {}.", wanted.port(), free.port());
    }
    Ok(free)
}

async fn make_key(store: &Store, org: &OrgDetails) -> Result<String> {
    let new = key::generate(Env::Live)?;
    let tenant = org.tenant();
    store.org(&tenant).create_key(&new, "demo".into(), Env::Live, Scope::ALL.to_vec(), None).await?;
    Ok(new.text)
}

async fn make_paid_model(store: &Store, org: &OrgDetails) -> Result<String> {
    let pricing = Pricing { input: parse("1")?, output: parse("2")?, cached_input: None };
    let model = ProviderModel { name: PAID_MODEL.into(), pricing: Some(pricing), context_window: None };
    // The discard port: nothing answers there, and nothing asks, since the balance is empty.
    let provider = Provider { models: vec![model], ..Provider::new(PAID_PROVIDER, "http://127.0.0.1:9/v1") };
    match store.org(&org.tenant()).create_provider(provider).await {
        Ok(_) | Err(Error::Conflict(_)) => Ok(format!("{PAID_PROVIDER}/{PAID_MODEL}")),
        Err(error) => Err(error),
    }
}

fn parse(price: &str) -> Result<crate::money::Price> {
    price.parse().map_err(Error::internal)
}
