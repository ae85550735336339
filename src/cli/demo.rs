//! `alm demo`: the quickstart, run against a server of its own.
//!
//! Rule: nothing is faked. The server is the one that `alm serve` runs, on a real port and a real file, and the
//! quickstart talks to it over HTTP as anybody would.

mod room;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    address::{self, Address},
    cassette::Played,
    globals::Globals,
    local_models::{LocalModels, explained},
    output::{Patient, complain, report},
    process::{THIS_PROGRAM, raise_nofile_limit, signal},
    quickstart::{self, Replies, Style},
    tools::declared,
    variables::folder_variable,
};
use crate::{
    catalog::LOCAL_PROVIDER,
    error::{Error, Result},
    id,
    model::cassette,
    seal,
    seal::Sealer,
    server::{self, ApiKey, ErrorKind, Handle, Provider, Scopes, Server},
    store::{Store, tools::AddedBy},
    tools::declare::{self, ToolChange},
};

const ORG_SLUG: &str = "demo";
/// A provider whose model costs money, to show what an empty balance says. It is never reached.
const PAID_PROVIDER: &str = "paid";
const PAID_MODEL: &str = "example";
/// The provider that plays a cassette.
const REPLAY: &str = "replay";
/// Ports that are tried after the first, when that is taken.
const PORTS_MAX: u16 = 32;
/// A demo keeps nobody waiting at its end.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the quickstart may take to end when its server has gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Where to listen; the next free port if that one is taken
    #[arg(long, default_value = "127.0.0.1:2560", value_name = "ADDRESS", value_parser = address::parse)]
    listen: Address,
    #[command(flatten)]
    local: LocalModels,
    /// A cassette whose answers the walk gets, in place of the built-in model's
    #[arg(long, value_name = "FILE")]
    cassette: Option<PathBuf>,
    #[command(flatten)]
    played: Played,
    /// Exit after the last step, with 0 only if every check passed
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub(super) fn run(self, globals: &Globals) -> Result<()> {
        raise_nofile_limit();
        let folder = Folder::of(globals)?;
        let listen = free_port(self.listen.socket, |at| std::net::TcpListener::bind(at).is_ok())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::internal)?;
        let served = runtime.block_on(self.serve(&folder, listen));
        // A quickstart that waits for whoever reads it may wait for ever.
        runtime.shutdown_background();
        served
    }

    async fn serve(self, folder: &Folder, listen: SocketAddr) -> Result<()> {
        let builder = Server::builder().data_dir(folder.path()).listen(listen).drain(DRAIN).program(THIS_PROGRAM);
        let builder = match &self.cassette {
            Some(file) => builder.cassette_played(REPLAY.into(), file.clone(), self.played.speed, self.played.reach()),
            None => builder,
        };
        let server = self.local.build(builder)?.build().await.map_err(server::Error::into_inner)?;
        let local = server.local_models().all().first().filter(|_| self.cassette.is_none());
        if let Some(Err(why)) = local.map(|model| model.program()) {
            return Err(Error::failed(explained(why)));
        }
        let model = local.map(|model| format!("{LOCAL_PROVIDER}/{}", model.name()));
        let (key, paid_model) = prepare(&server.handle()).await.map_err(server::Error::into_inner)?;
        add_tool(folder.path()).await?;
        choose_model(folder.path(), self.cassette.as_deref()).await?;
        let url = server.url().unwrap_or_default().to_owned();
        let (once, handle, path) = (self.once, server.handle(), folder.path().to_owned());
        let told = signal();
        let quickstart = tokio::task::spawn_blocking(move || {
            let mut out = Shown::default();
            let shown = show(&url, key.expose(), model.as_deref(), &paid_model, &path, once, &mut out);
            // Nobody can use a demo whose key nobody saw.
            if once || shown.is_err() || out.is_unread {
                handle.stop();
            }
            shown
        });
        let mut was_told = false;
        let told = async {
            told.await;
            was_told = true;
        };
        server.run(told).await.map_err(server::Error::into_inner)?;
        match tokio::time::timeout(LAST_WORDS, quickstart).await {
            Ok(shown) => {
                shown.map_err(Error::internal)?.or_else(|error| if was_told && !once { Ok(()) } else { Err(error) })
            }
            Err(_) if once => Err(Error::failed("the demo was stopped before its last step")),
            Err(_) => Ok(()),
        }
    }
}

/// Standard output. What it does not take is dropped: the quickstart is run to its end all the same.
#[derive(Default)]
struct Shown {
    is_unread: bool,
}

impl Write for Shown {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.is_unread {
            self.is_unread = Patient(io::stdout()).write_all(text).is_err();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The demo's organization: a key, and a model that costs money.
async fn prepare(handle: &Handle) -> Result<(ApiKey, String), server::Error> {
    let org = handle.ensure_org(ORG_SLUG).await?;
    let key = org.create_key("demo", Scopes::ALL).await?;
    // The discard port: nothing answers there, and nothing asks, since the balance is empty.
    let provider = Provider::new(PAID_PROVIDER, "http://127.0.0.1:9/v1").paid_model(PAID_MODEL, "1", "2");
    match org.connect(provider).await {
        Ok(()) => {}
        // An earlier demo in the same folder has connected it.
        Err(error) if error.kind() == ErrorKind::Conflict => {}
        Err(error) => return Err(error),
    }
    Ok((key, format!("{PAID_PROVIDER}/{PAID_MODEL}")))
}

/// A tool of one's own: an HTTP API on loopback, which only who runs the machine may give to agents.
async fn add_tool(folder: &Path) -> Result<()> {
    let url = room::serve().map_err(|error| Error::failed(format!("the demo's own tool cannot be served: {error}")))?;
    let new = declared::read(&room::declaration(&url).to_string())?;
    let store = Store::open(folder, 1)?;
    let tenant = store.org_by_slug(ORG_SLUG)?.tenant();
    let sealer = Sealer::open(&folder.join(seal::FILE_NAME))?;
    match store.org(&tenant).create_http_tool(declare::prepare(new, AddedBy::Operator, &sealer)?).await {
        // An earlier demo in the same folder has added it, for a port of its own.
        Err(Error::Conflict(_)) => {
            let change = ToolChange { url: Some(url), ..ToolChange::default() };
            let change = move |tool: &mut _| declare::change(tool, change, AddedBy::Operator, &sealer);
            store.org(&tenant).update_http_tool(room::NAME.to_owned(), change).await.map(drop)
        }
        made => made.map(drop),
    }
}

/// Has the walk ask the first model of the cassette, or the built-in one, whatever an earlier demo in the same folder asked.
async fn choose_model(folder: &Path, cassette: Option<&Path>) -> Result<()> {
    let read = cassette.map(cassette::read).transpose().map_err(Error::failed)?;
    let first = read.iter().flat_map(|read| &read.exchanges).next();
    let model = first.map(|first| format!("{REPLAY}/{}", first.exchange.model));
    let store = Store::open(folder, 1)?;
    let tenant = store.org_by_slug(ORG_SLUG)?.tenant();
    store.org(&tenant).set_default_model(model).await
}

/// Runs the quickstart, then says what to try next.
fn show(
    url: &str,
    key: &str,
    model: Option<&str>,
    paid_model: &str,
    folder: &Path,
    once: bool,
    out: &mut Shown,
) -> Result<()> {
    let style = Style::of_stdout();
    let failed = |error: &dyn std::error::Error| Error::failed(format!("the demo failed: {error}"));
    writeln!(out, "{}", style.dim(&format!("alm is listening on {url}; its data is in {}", folder.display())))
        .map_err(|error| failed(&error))?;
    let replies = match model {
        None => Replies::Prepared,
        Some(model) => {
            let loads = format!("{model} replies, once it is loaded");
            writeln!(out, "{}", style.dim(&loads)).map_err(|error| failed(&error))?;
            Replies::Real
        }
    };
    quickstart::run(url, key, ORG_SLUG, (replies, paid_model), out, style).map_err(|error| failed(&error))?;
    if once {
        return writeln!(out, "\n{}", style.good("Every check passed.")).map_err(|error| failed(&error));
    }
    let curl = quickstart::curl_to_copy(url, key, ORG_SLUG, "Summarise the periodic table in 3 sentences.");
    writeln!(
        out,
        "\n{}\n\nYour key:  {key}\nTry:\n{}\n\nExplore:   {url}/docs\nDocument:  {url}/openapi.json\n\n{}",
        style.good("Every check passed."),
        style.typed(&curl),
        style.dim("Press Ctrl-C to stop."),
    )
    .map_err(|error| failed(&error))
}

/// The demo's data: a folder that lasts, or one that goes with the demo.
enum Folder {
    Lasting(PathBuf),
    Own(PathBuf),
}

impl Folder {
    fn of(globals: &Globals) -> Result<Self> {
        match &globals.data_dir {
            Some(folder) => Ok(Folder::Lasting(folder.clone())),
            None => {
                let temporary = folder_variable("TMPDIR")?.unwrap_or_else(|| {
                    // A variable that is empty is one to the system, and would mean the folder one stands in.
                    Some(std::env::temp_dir()).filter(|folder| folder.is_absolute()).unwrap_or("/var/tmp".into())
                });
                Ok(Folder::Own(temporary.join(format!("alm-demo-{}", id::generate()))))
            }
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
            complain(&format!("cannot delete {}: {error}", path.display()));
        }
    }
}

/// The first port that is free, from the wanted one on; says so if it is another.
fn free_port(wanted: SocketAddr, is_free: impl Fn(&SocketAddr) -> bool) -> Result<SocketAddr> {
    let candidates = (0..=PORTS_MAX).filter_map(|more| wanted.port().checked_add(more));
    let free = candidates.map(|port| SocketAddr::new(wanted.ip(), port)).find(is_free);
    let free = free.ok_or_else(|| {
        Error::failed(format!("{wanted} and the ports after it are taken: choose another with --listen"))
    })?;
    if free.port() != wanted.port() {
        report(&format!("Port {} is taken: this demo listens on port {}.\n", wanted.port(), free.port()));
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_free_port_is_taken_if_it_is_not_far() {
        let wanted: SocketAddr = "127.0.0.1:2560".parse().unwrap();
        let after = |taken: u16| free_port(wanted, |at| at.port() >= 2560 + taken).map(|at| at.port() - 2560).ok();
        for taken in [0, 1, PORTS_MAX - 1, PORTS_MAX] {
            assert_eq!(after(taken), Some(taken));
        }
        assert_eq!(after(PORTS_MAX + 1), None);
        let last: SocketAddr = "127.0.0.1:65535".parse().unwrap();
        assert!(free_port(last, |_| true).is_ok() && free_port(last, |_| false).is_err());
    }
}
