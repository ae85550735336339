//! A server put together from its parts, for the commands that run one.

use std::{
    fs::File,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    catalog::{Catalog, EnvProvider},
    error::Result,
    http::{
        self,
        edge::metrics,
        serve::{Limits, Listener, raise_nofile_limit, serve},
        state::{Admission, App, cors::Cors, hosts::Hosts, setup_code::SetupCode},
    },
    model::upstream::Upstreams,
    outbound,
    seal::Sealer,
    store::Store,
    turn::engine::Engine,
};

/// Connections that read at once: as many as request threads and scans can use.
const READERS_MAX: u32 = 16;
/// Open files where the kernel does not say how many there may be.
const DESCRIPTORS_DEFAULT: u64 = 1024;
/// What a drained connection gets on top of its turn's drain, to send the last words.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often providers of the environment are asked for their models until they have said.
const ENV_PROVIDERS_INTERVAL: Duration = Duration::from_secs(60);

/// What a server is made of.
pub(super) struct Settings {
    pub listen: SocketAddr,
    pub metrics_listen: Option<SocketAddr>,
    pub chats_per_minute: NonZeroU32,
    pub drain: Duration,
    pub cors: Cors,
    /// Names it is reached by besides loopback's own.
    pub allow_hosts: Vec<String>,
    pub setup: Option<SetupCode>,
    pub ca_file: Option<PathBuf>,
    /// Whether providers that the environment names are used.
    pub ambient: bool,
}

/// A server that listens and does not serve yet.
pub(super) struct Server {
    app: Arc<App>,
    catalog: Arc<Catalog>,
    engine: Arc<Engine>,
    listener: Listener,
    metrics: Option<Listener>,
    drain: Duration,
    limits: Limits,
    /// Held as long as the server lives.
    _lock: File,
}

/// The store of a server.
pub(super) fn open_store(folder: &Path) -> Result<Store> {
    Store::open(folder, READERS_MAX)
}

impl Server {
    /// Listens, and ends what an earlier process left running. Needs a runtime.
    pub(super) async fn new(lock: File, store: Store, sealer: Sealer, settings: Settings) -> Result<Self> {
        let descriptors_max = raise_nofile_limit().unwrap_or_else(|error| {
            tracing::warn!(%error, "the limit on open files stays as it is");
            DESCRIPTORS_DEFAULT
        });
        let options = outbound::Options { ca_file: settings.ca_file, ..outbound::Options::default() };
        let named = if settings.ambient { EnvProvider::from_env(|name| std::env::var(name).ok()) } else { Vec::new() };
        let catalog = Arc::new(Catalog::new(store.clone(), sealer, named, Upstreams::new(&options)?));
        let engine = Engine::new(store.clone(), catalog.clone());
        engine.recover().await?;
        let admission = Admission {
            cors: settings.cors,
            hosts: Hosts::of_listener(settings.listen.ip(), &settings.allow_hosts),
            setup: settings.setup,
            chats_per_minute: settings.chats_per_minute,
        };
        let app = App::new(store, catalog.clone(), engine.clone(), admission);
        Ok(Server {
            app: Arc::new(app),
            catalog,
            engine,
            listener: Listener::bind(settings.listen)?,
            metrics: settings.metrics_listen.map(Listener::bind).transpose()?,
            drain: settings.drain,
            limits: Limits { drain_timeout: LAST_WORDS, ..Limits::default() }.within(descriptors_max),
            _lock: lock,
        })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr())
    }

    /// Serves until `shutdown`, then drains: no new turns, running ones may end, what remains is interrupted and kept.
    pub(super) async fn run(self, shutdown: impl Future<Output = ()>) {
        let Server { app, catalog, engine, listener, metrics, drain, limits, _lock } = self;
        let asking = tokio::spawn(async move {
            while !catalog.refresh_env_providers().await {
                tokio::time::sleep(ENV_PROVIDERS_INTERVAL).await;
            }
        });
        let metrics = metrics.map(|listener| {
            tokio::spawn(serve(listener, metrics::endpoint(app.clone()), Limits::default(), std::future::pending()))
        });
        let endpoint = http::endpoint(app.clone());
        let drained = async {
            shutdown.await;
            app.draining.store(true, Ordering::Relaxed);
            tracing::info!(turns = engine.turns_running(), "going down");
            engine.drain(drain).await;
        };
        serve(listener, endpoint, limits, drained).await;
        asking.abort();
        if let Some(metrics) = metrics {
            metrics.abort();
        }
    }
}

/// The first SIGTERM or Ctrl-C. A second one ends the process at once: the file is safe at any moment.
pub(super) async fn signal() {
    wait_for_signal().await;
    tokio::spawn(async {
        wait_for_signal().await;
        std::process::exit(130);
    });
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
